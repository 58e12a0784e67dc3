-- HTTP in full: what a request may be repeated with, events that HTTP asks for, and rates.
SET LOCAL ROLE aerofn_owner;

-- What a request came to, kept for whoever sent it: of requests with an Idempotency-Key, and of those that asked
-- to be answered later. While it runs, token fences it off from a node that lost it.
CREATE TABLE aerofn_internal.results (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  function_id int NOT NULL,
  event_id bigint,
  token bigint NOT NULL,
  leased_by int,
  lease_until timestamptz,
  expires_at timestamptz NOT NULL,
  caller bytea NOT NULL,
  key text,
  request bytea NOT NULL,
  output bytea,
  invocation uuid
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02);
CREATE UNIQUE INDEX results_key ON aerofn_internal.results (function_id, caller, key) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX results_event ON aerofn_internal.results (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX results_expiry ON aerofn_internal.results (expires_at);
COMMENT ON COLUMN aerofn_internal.results.caller IS 'Digest of who sent the request: nobody else is told';
COMMENT ON COLUMN aerofn_internal.results.request IS 'Digest of the request: the same key for another one is refused';
COMMENT ON COLUMN aerofn_internal.results.output IS 'What the function returned; null until its effects have committed';

ALTER TABLE aerofn_internal.events DROP CONSTRAINT events_source_check;
ALTER TABLE aerofn_internal.events ADD CONSTRAINT events_source_check
  CHECK (source IN ('row', 'invoke', 'schedule', 'webhook', 'http')) NOT VALID;

ALTER TABLE aerofn_internal.versions ADD COLUMN rate_limit text;
COMMENT ON COLUMN aerofn_internal.versions.rate_limit IS 'HTTP invocations of each caller, such as 100/minute; null: the default, none: no limit';

-- Its arguments change: the API makes it anew.
DO $$
DECLARE
  f regprocedure;
BEGIN
  FOR f IN SELECT p.oid FROM pg_proc p
    WHERE p.pronamespace = 'aerofn'::regnamespace AND p.proname = 'register_function' LOOP
    EXECUTE format('DROP FUNCTION %s', f);
  END LOOP;
END $$;

RESET ROLE;
