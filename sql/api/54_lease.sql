-- Leasing: what a node asks for whenever it looks for events. None of these statements may read a table through: their
-- plans are kept for long, and PostgreSQL may have made them while the table was empty. They are kept by order: a plan
-- for the values at hand looks a little cheaper to PostgreSQL each time, and making it takes longer than the look.
SET LOCAL ROLE aerofn_owner;

-- What an event's function is told of its trigger; a table by its name of now.
CREATE OR REPLACE VIEW aerofn_internal.origins AS
SELECT t.id, t.name, t.batch_size, coalesce(n.nspname, t.schema_name)::text AS schema_name,
       coalesce(c.relname, t.table_name)::text AS table_name
FROM aerofn_internal.triggers t
LEFT JOIN pg_class c ON c.oid = t.relation
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace;

-- Leases up to `most` due events for a node; answers them in the order in which they are to run. The place to begin
-- from: a due time in seconds since 1970, an id, and the priorities to look at, or null for all (see
-- aerofn/db/horizon.py). One look per priority, so that events that wait for their time are never walked over; those
-- held back have half the room when there are any. What is of a function with a cap is put among them first, and told
-- without a token then. The attempt counts from here: an event that kills its node is buried, not run for ever.
-- seconds: beyond the function's own time limit.
-- The commit does not wait for the disk: a lease that a crash of PostgreSQL loses was none, and its token is void. A
-- function's first statement waits until its lease is on the disk (Events.secure).
CREATE OR REPLACE FUNCTION aerofn_internal.lease(
  node int, most int, seconds float8, begin_due float8, begin_id bigint, priorities smallint[])
RETURNS TABLE (
  id bigint, "function" text, source text, trigger_name text, role text, claims jsonb, attempt smallint,
  max_attempts smallint, token bigint, depth smallint, created_at timestamptz, priority smallint, traceparent text,
  tracestate text, due float8, batch_size int, operation text, schema_name text, table_name text, record json,
  old_record json, payload json)
LANGUAGE plpgsql VOLATILE ROWS 10 SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  recent timestamptz := now() - interval '5 seconds';
  start timestamptz := least(to_timestamp(begin_due), recent);
  after_id bigint := CASE WHEN to_timestamp(begin_due) < recent THEN begin_id ELSE 0 END;
  seed bigint := aerofn_internal.new_token();
  rank smallint;
  last smallint;
  held boolean;
  caps boolean;
  chosen bigint[];
  room int := most;
  taken int;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  SELECT CASE WHEN priorities IS NOT NULL THEN (SELECT max(p) FROM unnest(priorities) p)
           ELSE (SELECT e.priority FROM aerofn_internal.events e WHERE e.state = 'pending' AND NOT e.held
                 ORDER BY e.priority DESC LIMIT 1) END,
         CASE WHEN priorities IS NOT NULL THEN (SELECT min(p) FROM unnest(priorities) p)
           ELSE (SELECT e.priority FROM aerofn_internal.events e WHERE e.state = 'pending' AND NOT e.held
                 ORDER BY e.priority LIMIT 1) END,
         EXISTS (SELECT FROM aerofn_internal.events e WHERE e.state = 'pending' AND e.held AND e.order_key IS NULL)
         OR EXISTS (SELECT FROM aerofn_internal.events e WHERE e.state = 'pending' AND e.order_key IS NOT NULL),
         EXISTS (SELECT FROM aerofn_internal.versions v WHERE v.max_concurrency IS NOT NULL)
  INTO rank, last, held, caps;
  IF held THEN
    room := (most + 1) / 2;
  END IF;
  WHILE room > 0 AND rank IS NOT NULL LOOP
    -- First which, then what of it: in one join a plan that was made while the table was small goes through it once
    -- for every event.
    chosen := ARRAY(
      SELECT p.id FROM aerofn_internal.events p
      WHERE p.state = 'pending' AND NOT p.held AND p.priority = rank AND p.run_at <= now()
        AND (p.run_at, p.id) >= (start, after_id)
      ORDER BY p.run_at, p.id LIMIT room FOR UPDATE SKIP LOCKED);
    RETURN QUERY
    WITH leased AS (
      UPDATE aerofn_internal.events e
      SET (state, held, attempt, leased_by, token, lease_until) = (
        SELECT CASE WHEN v.max_concurrency IS NULL THEN 'running' ELSE 'pending' END::aerofn_internal.event_state,
               v.max_concurrency IS NOT NULL, e.attempt + (v.max_concurrency IS NULL)::int,
               CASE WHEN v.max_concurrency IS NULL THEN lease.node END,
               CASE WHEN v.max_concurrency IS NULL THEN hashint8extended(e.id, seed) END,
               now() + make_interval(secs => seconds + coalesce(v.timeout_ms, 0) / 1000.0)
        FROM (SELECT) AS one
        LEFT JOIN aerofn_internal.functions f ON f.id = e.function_id
        LEFT JOIN aerofn_internal.versions v ON v.id = f.active_version)
      WHERE e.id = ANY (chosen)
      RETURNING e.*)
    SELECT e.id, f.name, e.source, o.name, e.role, e.claims, e.attempt, e.max_attempts, e.token, e.depth,
           e.created_at, e.priority, e.traceparent, e.tracestate, extract(epoch FROM e.run_at)::float8,
           coalesce(o.batch_size, 1), e.operation, o.schema_name, o.table_name, e.record, e.old_record, e.payload
    FROM leased e
    LEFT JOIN aerofn_internal.functions f ON f.id = e.function_id
    LEFT JOIN aerofn_internal.origins o ON o.id = e.trigger_id
    ORDER BY e.run_at, e.id;
    GET DIAGNOSTICS taken = ROW_COUNT;
    room := room - taken;
    most := most - taken;
    held := held OR (caps AND taken > 0);  -- perhaps put there just now
    EXIT WHEN rank = last;
    rank := CASE WHEN priorities IS NOT NULL THEN (SELECT max(p) FROM unnest(priorities) p WHERE p < rank)
      ELSE (SELECT e.priority FROM aerofn_internal.events e
            WHERE e.state = 'pending' AND NOT e.held AND e.priority < rank ORDER BY e.priority DESC LIMIT 1) END;
  END LOOP;
  IF held THEN
    RETURN QUERY
    SELECT e.id, f.name, e.source, o.name, e.role, e.claims, e.attempt, e.max_attempts, e.token, e.depth, e.created_at,
           e.priority, e.traceparent, e.tracestate, NULL::float8, coalesce(o.batch_size, 1), e.operation, o.schema_name,
           o.table_name, e.record, e.old_record, e.payload
    FROM aerofn_internal.lease_held(node, most, seconds) e
    LEFT JOIN aerofn_internal.functions f ON f.id = e.function_id
    LEFT JOIN aerofn_internal.origins o ON o.id = e.trigger_id
    ORDER BY e.priority DESC, e.run_at, e.id;
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.lease(int, int, float8, float8, bigint, smallint[]) FROM PUBLIC;

RESET ROLE;
