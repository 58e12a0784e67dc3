-- Durable events and the nodes that run them.
SET LOCAL ROLE aerofn_owner;

-- A node holds the advisory lock (aerofn_internal.node_lock_class(), id) while it lives.
CREATE TABLE aerofn_internal.nodes (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now()
);

CREATE TYPE aerofn_internal.event_state AS ENUM ('pending', 'running', 'dead', 'cancelled');
CREATE SEQUENCE aerofn_internal.lease_tokens CACHE 100;

-- A completed event's row is removed; what ran stays in aerofn_internal.invocations.
CREATE TABLE aerofn_internal.events (
  id bigint GENERATED ALWAYS AS IDENTITY (CACHE 20) PRIMARY KEY,
  function_id int NOT NULL,
  trigger_id int,
  source text NOT NULL CHECK (source IN ('row', 'invoke', 'schedule', 'webhook')),
  state aerofn_internal.event_state NOT NULL DEFAULT 'pending',
  priority smallint NOT NULL DEFAULT 0,
  attempt smallint NOT NULL DEFAULT 0,
  max_attempts smallint NOT NULL DEFAULT 5,
  depth smallint NOT NULL DEFAULT 0,
  leased_by int,
  run_at timestamptz NOT NULL DEFAULT now(),
  lease_until timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  token bigint,
  operation text,
  role text NOT NULL,
  claims jsonb,
  record json,
  old_record json,
  payload json,
  dedup_key text,
  errors jsonb
) WITH (
  fillfactor = 85,
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.2, autovacuum_analyze_threshold = 5000
);
CREATE INDEX events_due ON aerofn_internal.events (priority DESC, run_at, id) WHERE state = 'pending';
CREATE INDEX events_running ON aerofn_internal.events (leased_by) WHERE state = 'running';
CREATE INDEX events_ended ON aerofn_internal.events (function_id) WHERE state IN ('dead', 'cancelled');
CREATE UNIQUE INDEX events_dedup ON aerofn_internal.events (function_id, dedup_key) WHERE dedup_key IS NOT NULL;

RESET ROLE;
