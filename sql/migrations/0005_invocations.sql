-- One row per invocation, in daily partitions so that retention is dropping a table.
SET LOCAL ROLE aerofn_owner;

CREATE TABLE aerofn_internal.invocations (
  id uuid NOT NULL,
  function text NOT NULL,
  version int,
  "trigger" text NOT NULL,
  event_id bigint,
  attempt int NOT NULL,
  status text NOT NULL,
  duration_ms double precision NOT NULL,
  cpu_ms double precision NOT NULL,
  memory_peak_mb double precision,
  queries int NOT NULL,
  user_id text,
  role text NOT NULL,
  error jsonb,
  logs jsonb NOT NULL,
  "timestamp" timestamptz NOT NULL
) PARTITION BY RANGE ("timestamp");
CREATE INDEX invocations_recent ON aerofn_internal.invocations (function, "timestamp" DESC);
CREATE INDEX invocations_event ON aerofn_internal.invocations (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX invocations_id ON aerofn_internal.invocations (id);
-- Rows of a day whose partition is missing: none is ever refused.
CREATE TABLE aerofn_internal.invocations_default PARTITION OF aerofn_internal.invocations DEFAULT;

RESET ROLE;
