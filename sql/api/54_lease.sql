-- Leasing: what a node asks for whenever it looks for events. None of these statements may read a table through: their
-- plans are kept for long, and PostgreSQL may have made them while the table was empty.
SET LOCAL ROLE aerofn_owner;

-- Leases up to `most` due events of one priority that are not held back; answers the ids of those that run now, and
-- how many there were. What is of a function with a cap is put among the held ones instead. The attempt counts from
-- here: an event that kills its node is buried, not run for ever. seconds: beyond the function's own time limit.
CREATE OR REPLACE FUNCTION aerofn_internal.lease_free(
  node int, most int, seconds float8, rank smallint, due timestamptz, after_id bigint, OUT ids bigint[], OUT number int)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  WITH taken AS (
    UPDATE aerofn_internal.events e
    SET (state, held, attempt, leased_by, token, lease_until) = (
      SELECT CASE WHEN v.max_concurrency IS NULL THEN 'running' ELSE 'pending' END::aerofn_internal.event_state,
             v.max_concurrency IS NOT NULL, e.attempt + (v.max_concurrency IS NULL)::int,
             CASE WHEN v.max_concurrency IS NULL THEN lease_free.node END, aerofn_internal.new_token(),
             now() + make_interval(secs => seconds + coalesce(v.timeout_ms, 0) / 1000.0)
      FROM (SELECT) one
      LEFT JOIN aerofn_internal.functions f ON f.id = e.function_id
      LEFT JOIN aerofn_internal.versions v ON v.id = f.active_version)
    WHERE e.id = ANY (ARRAY(
      SELECT d.id FROM aerofn_internal.events d
      WHERE d.state = 'pending' AND NOT d.held AND d.priority = rank AND d.run_at <= now()
        AND (d.run_at, d.id) >= (due, after_id)
      ORDER BY d.run_at, d.id LIMIT most FOR UPDATE SKIP LOCKED))
    RETURNING e.id, e.state
  )
  SELECT coalesce(array_agg(t.id) FILTER (WHERE t.state = 'running'), '{}'), count(*) INTO ids, number FROM taken t;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.lease_free(int, int, float8, smallint, timestamptz, bigint) FROM PUBLIC;

-- Leases up to `most` due events for a node; answers their ids. The place to begin from: a due time in seconds since
-- 1970, an id, and the priorities to look at, or null for all (see aerofn/db/horizon.py). One look per priority, so
-- that events that wait for their time are never walked over; those held back have half the room when there are any.
-- The commit does not wait for the disk: a lease that a crash of PostgreSQL loses was none, and its token is void. A
-- function's first statement waits until its lease is on the disk (Events.secure).
CREATE OR REPLACE FUNCTION aerofn_internal.lease(
  node int, most int, seconds float8, begin_due float8, begin_id bigint, priorities smallint[])
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  held boolean := EXISTS (SELECT FROM aerofn_internal.events e
                          WHERE e.state = 'pending' AND e.held AND e.order_key IS NULL)
               OR EXISTS (SELECT FROM aerofn_internal.events e WHERE e.state = 'pending' AND e.order_key IS NOT NULL);
  room int := CASE WHEN held THEN (most + 1) / 2 ELSE most END;
  recent timestamptz := now() - interval '5 seconds';
  due timestamptz := least(to_timestamp(begin_due), recent);
  after_id bigint := CASE WHEN to_timestamp(begin_due) < recent THEN begin_id ELSE 0 END;
  rank smallint := 32767;
  leased bigint[] := '{}';
  took record;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  WHILE room > 0 LOOP
    rank := CASE WHEN priorities IS NOT NULL THEN (SELECT max(p) FROM unnest(priorities) p WHERE p < rank)
      ELSE (SELECT e.priority FROM aerofn_internal.events e WHERE e.state = 'pending' AND NOT e.held AND e.priority < rank
            ORDER BY e.priority DESC LIMIT 1) END;
    EXIT WHEN rank IS NULL;
    took := aerofn_internal.lease_free(node, room, seconds, rank, due, after_id);
    leased := leased || took.ids;
    room := room - took.number;
    held := held OR took.number > cardinality(took.ids);
  END LOOP;
  IF held THEN
    leased := leased || ARRAY(
      SELECT h.id FROM aerofn_internal.lease_held(node, most - cardinality(leased), seconds) h);
  END IF;
  RETURN leased;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.lease(int, int, float8, float8, bigint, smallint[]) FROM PUBLIC;

-- What a node is told of events it has just leased, in the order in which they are to run.
CREATE OR REPLACE FUNCTION aerofn_internal.leased(ids bigint[])
RETURNS TABLE (
  id bigint, "function" text, source text, trigger_name text, role text, claims text, attempt smallint,
  max_attempts smallint, token bigint, depth smallint, created_at timestamptz, priority smallint, traceparent text,
  tracestate text, due float8, batch_size int, payload text)
LANGUAGE plpgsql VOLATILE ROWS 100 SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  IF ids = '{}' THEN
    RETURN;
  END IF;
  RETURN QUERY
  SELECT e.id, f.name, e.source, t.name, e.role, e.claims::text, e.attempt, e.max_attempts, e.token, e.depth,
         e.created_at, e.priority, e.traceparent, e.tracestate, CASE WHEN NOT e.held THEN extract(epoch FROM e.run_at)::float8 END,
         coalesce(t.batch_size, 1),
         CASE e.source
           WHEN 'row' THEN json_build_object(
             'id', e.id::text, 'type', e.operation, 'trigger', e.source, 'name', t.name,
             'schema', coalesce(n.nspname, t.schema_name), 'table', coalesce(c.relname, t.table_name),
             'record', e.record, 'old_record', e.old_record, 'attempt', e.attempt,
             'caller', json_build_object('role', e.role, 'sub', e.claims ->> 'sub'))
           WHEN 'http' THEN json_build_object(
             'id', e.id::text, 'trigger', e.source, 'request', e.payload, 'attempt', e.attempt,
             'caller', json_build_object('role', e.role, 'sub', e.claims ->> 'sub'))
           WHEN 'schedule' THEN json_build_object(
             'id', e.id::text, 'trigger', e.source, 'name', t.name, 'scheduled_at', e.payload -> 'scheduled_at',
             'payload', e.payload -> 'payload', 'attempt', e.attempt,
             'caller', json_build_object('role', e.role, 'sub', e.claims ->> 'sub'))
           WHEN 'webhook' THEN json_build_object(
             'id', e.id::text, 'trigger', e.source, 'name', t.name, 'request', e.payload, 'attempt', e.attempt,
             'caller', json_build_object('role', e.role, 'sub', e.claims ->> 'sub'))
           ELSE json_build_object(
             'id', e.id::text, 'trigger', e.source, 'payload', e.payload, 'attempt', e.attempt,
             'caller', json_build_object('role', e.role, 'sub', e.claims ->> 'sub'))
         END::text
  FROM aerofn_internal.events e
  LEFT JOIN aerofn_internal.functions f ON f.id = e.function_id
  LEFT JOIN aerofn_internal.triggers t ON t.id = e.trigger_id
  LEFT JOIN pg_class c ON c.oid = t.relation
  LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE e.id = ANY (ids)
  ORDER BY e.priority DESC, e.run_at, e.id;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.leased(bigint[]) FROM PUBLIC;

RESET ROLE;
