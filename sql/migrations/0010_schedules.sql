-- When schedules are due. What they start, and as whom, is in their row of triggers. And since when a component
-- belongs to no version: it stays a while, for nodes that have not heard yet.
SET LOCAL ROLE aerofn_owner;

ALTER TABLE aerofn_internal.components ADD COLUMN unused_since timestamptz;

CREATE TABLE aerofn_internal.schedules (
  trigger_id int PRIMARY KEY REFERENCES aerofn_internal.triggers ON DELETE CASCADE,
  cron text NOT NULL,
  timezone text NOT NULL,
  missed text NOT NULL CHECK (missed IN ('skip', 'once')),
  payload jsonb,
  fields text NOT NULL,
  either_day boolean NOT NULL,
  revision bigint NOT NULL DEFAULT 1,
  decided_until timestamptz NOT NULL,
  next_at timestamptz,
  error jsonb
);
CREATE INDEX schedules_next ON aerofn_internal.schedules (next_at);
COMMENT ON COLUMN aerofn_internal.schedules.fields IS 'cron as lists of numbers: second minute hour day month weekday';
COMMENT ON COLUMN aerofn_internal.schedules.either_day IS 'A day of the month or a day of the week will do';
COMMENT ON COLUMN aerofn_internal.schedules.revision IS 'Counts changes: a node whose view is older decides nothing';
COMMENT ON COLUMN aerofn_internal.schedules.decided_until IS 'Every tick up to here has its event, or was passed over';
COMMENT ON COLUMN aerofn_internal.schedules.next_at IS 'The first tick after decided_until; null until a node says it';

RESET ROLE;
