-- What is kept of events that are over: completed ones if asked for, cancelled ones as long as records.
SET LOCAL ROLE aerofn_owner;

-- Runs after a statement that removed events, while completed ones are kept: those that ran are the completed ones.
CREATE OR REPLACE FUNCTION aerofn_internal.keep_done() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO aerofn_internal.done_events
    (id, function_id, trigger_id, source, priority, attempt, max_attempts, depth, node, run_at, created_at, operation,
     role, claims, record, old_record, payload, dedup_key, errors, traceparent, tracestate)
  SELECT id, function_id, trigger_id, source, priority, attempt, max_attempts, depth, leased_by, run_at, created_at,
         operation, role, claims, record, old_record, payload, dedup_key, errors, traceparent, tracestate
  FROM completed WHERE state = 'running' ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.keep_done() FROM PUBLIC;

-- Keeps completed events for so long, visible as done in aerofn.events; null: no longer. It costs one more row
-- written for each event; while it is off it costs nothing, since its trigger is not there.
CREATE OR REPLACE FUNCTION aerofn.keep_done_events(retention interval) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = 'warning' AS $$
BEGIN
  IF retention <= interval '0' THEN
    RAISE EXCEPTION 'retention is %, which is no time', retention
      USING ERRCODE = 'invalid_parameter_value', HINT = 'For example interval ''7 days''; NULL keeps none.';
  END IF;
  UPDATE aerofn_internal.settings SET keep_done = retention;
  DROP TRIGGER IF EXISTS keep_done ON aerofn_internal.events;
  IF retention IS NOT NULL THEN
    CREATE TRIGGER keep_done AFTER DELETE ON aerofn_internal.events REFERENCING OLD TABLE AS completed
      FOR EACH STATEMENT EXECUTE FUNCTION aerofn_internal.keep_done();
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn.keep_done_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.keep_done_events TO aerofn_admin;

-- Removes completed events past their time, and cancelled ones past that of records; so many at most.
CREATE OR REPLACE FUNCTION aerofn_internal.forget_events(records interval, most int) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM aerofn_internal.done_events WHERE id = ANY (ARRAY(
    SELECT d.id FROM aerofn_internal.done_events d
    WHERE d.done_at < now() - coalesce((SELECT s.keep_done FROM aerofn_internal.settings s), interval '0')
    ORDER BY d.done_at LIMIT most));
  DELETE FROM aerofn_internal.events WHERE id = ANY (ARRAY(
    SELECT e.id FROM aerofn_internal.events e
    WHERE e.state IN ('dead', 'cancelled') AND e.state = 'cancelled' AND e.run_at < now() - records LIMIT most))
$$;
REVOKE ALL ON FUNCTION aerofn_internal.forget_events(interval, int) FROM PUBLIC;

RESET ROLE;
