-- Events in the order of their row, caps on what runs of a function, and what an older node must not meet.
SET LOCAL ROLE aerofn_owner;

ALTER TABLE aerofn_internal.versions ADD COLUMN max_concurrency int CHECK (max_concurrency BETWEEN 1 AND 10000);
COMMENT ON COLUMN aerofn_internal.versions.max_concurrency IS 'Events of the function that may run at once, on all nodes; null: any number';

ALTER TABLE aerofn_internal.triggers ADD COLUMN ordered_by text CHECK (ordered_by = 'row');

-- The newest migration a node knows: what it would not respect is not to be had while it lives.
ALTER TABLE aerofn_internal.nodes ADD COLUMN schema int NOT NULL DEFAULT 5;

-- held: leased by aerofn_internal.lease_held() alone, which knows order and caps. order_key stands for a row and
-- its trigger; position is the event's place among those of its key. One at a time, so that they are drawn in the
-- order of the row's own lock: the identity's cached numbers are not.
ALTER TABLE aerofn_internal.events
  ADD COLUMN held boolean NOT NULL DEFAULT false,
  ADD COLUMN order_key bigint,
  ADD COLUMN "position" bigint;
CREATE SEQUENCE aerofn_internal.event_positions CACHE 1;

DROP INDEX aerofn_internal.events_due;
CREATE INDEX events_due ON aerofn_internal.events (priority DESC, run_at, id) WHERE state = 'pending' AND NOT held;
-- Those that wait for their time: an event that is due when it is made is not among them, and costs nothing here.
CREATE INDEX events_later ON aerofn_internal.events (run_at) WHERE state = 'pending' AND run_at > created_at;
CREATE INDEX events_capped ON aerofn_internal.events (function_id, priority DESC, run_at, id)
  WHERE state = 'pending' AND held AND order_key IS NULL;
CREATE INDEX events_ordered ON aerofn_internal.events (function_id, order_key, "position")
  WHERE state = 'pending' AND order_key IS NOT NULL;
CREATE INDEX events_held_running ON aerofn_internal.events (function_id) WHERE state = 'running' AND held;
-- At most one of a row runs, whatever two nodes do at the same moment.
CREATE UNIQUE INDEX events_one_of_row ON aerofn_internal.events (order_key)
  WHERE state = 'running' AND order_key IS NOT NULL;

-- Their arguments change: the API makes them anew.
DO $$
DECLARE
  f regprocedure;
BEGIN
  FOR f IN SELECT p.oid FROM pg_proc p
    WHERE p.pronamespace = 'aerofn'::regnamespace AND p.proname IN ('register_function', 'create_row_trigger')
       OR p.pronamespace = 'aerofn_internal'::regnamespace AND p.proname IN ('add_row_trigger', 'check_options') LOOP
    EXECUTE format('DROP FUNCTION %s', f);
  END LOOP;
END $$;

RESET ROLE;
