-- How far each backfill of a trigger is; and completed events, where they are to be kept for a while.
SET LOCAL ROLE aerofn_owner;

CREATE TABLE aerofn_internal.backfills (
  trigger_id int PRIMARY KEY REFERENCES aerofn_internal.triggers ON DELETE CASCADE,
  condition text,
  last_key text[],
  final_key text[],
  events bigint NOT NULL DEFAULT 0,
  expected bigint NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz
);
COMMENT ON COLUMN aerofn_internal.backfills.last_key IS 'Primary key of the last row that has its event';
COMMENT ON COLUMN aerofn_internal.backfills.final_key IS 'Primary key of the last row that was there at the start';
COMMENT ON COLUMN aerofn_internal.backfills.expected IS 'About how many rows the table had at the start';

ALTER TABLE aerofn_internal.settings ADD COLUMN keep_done interval;
COMMENT ON COLUMN aerofn_internal.settings.keep_done IS 'How long completed events are kept; null: not at all';

CREATE TABLE aerofn_internal.done_events (
  id bigint PRIMARY KEY,
  function_id int NOT NULL,
  trigger_id int,
  source text NOT NULL,
  priority smallint NOT NULL,
  attempt smallint NOT NULL,
  max_attempts smallint NOT NULL,
  depth smallint NOT NULL,
  node int,
  run_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL,
  done_at timestamptz NOT NULL DEFAULT now(),
  operation text,
  role text NOT NULL,
  claims jsonb,
  record json,
  old_record json,
  payload json,
  dedup_key text,
  errors jsonb
);
CREATE INDEX done_events_at ON aerofn_internal.done_events (done_at);

RESET ROLE;
