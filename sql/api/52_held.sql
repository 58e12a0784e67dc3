-- Leasing of what is held back: events in the order of their row, and those of functions with a cap.
SET LOCAL ROLE aerofn_owner;

-- The first event of each row of an ordered trigger of function f, from the row `start` on and once around: so that
-- nodes begin at different ones and none is passed over for ever. Each step is one look into the index, however
-- many events wait behind the first; it ends early when its caller has enough, and after 2000 at the latest.
CREATE OR REPLACE FUNCTION aerofn_internal.first_of_rows(f int, start bigint)
RETURNS TABLE (id bigint, order_key bigint, run_at timestamptz)
LANGUAGE sql STABLE AS $$
  WITH RECURSIVE step (id, order_key, run_at, around) AS (
    (SELECT s.* FROM (
      (SELECT e.id, e.order_key, e.run_at, false FROM aerofn_internal.events e
       WHERE e.function_id = f AND e.state = 'pending' AND e.order_key >= start
       ORDER BY e.order_key, e."position" LIMIT 1)
      UNION ALL
      (SELECT e.id, e.order_key, e.run_at, true FROM aerofn_internal.events e
       WHERE e.function_id = f AND e.state = 'pending' AND e.order_key < start
       ORDER BY e.order_key, e."position" LIMIT 1)) s LIMIT 1)
    UNION ALL
    SELECT n.* FROM step s CROSS JOIN LATERAL (
      (SELECT e.id, e.order_key, e.run_at, s.around FROM aerofn_internal.events e
       WHERE e.function_id = f AND e.state = 'pending' AND e.order_key > s.order_key
         AND (NOT s.around OR e.order_key < start)
       ORDER BY e.order_key, e."position" LIMIT 1)
      UNION ALL
      (SELECT e.id, e.order_key, e.run_at, true FROM aerofn_internal.events e
       WHERE NOT s.around AND e.function_id = f AND e.state = 'pending' AND e.order_key < start
       ORDER BY e.order_key, e."position" LIMIT 1)
      LIMIT 1) n
  )
  SELECT s.id, s.order_key, s.run_at FROM step s LIMIT 2000
$$;

-- Functions that have events held back, in an order of chance: none starves behind another.
CREATE OR REPLACE FUNCTION aerofn_internal.held_functions() RETURNS TABLE (id int, cap int, timeout_ms int)
LANGUAGE sql STABLE AS $$
  WITH RECURSIVE capped (id) AS (
    (SELECT e.function_id FROM aerofn_internal.events e WHERE e.state = 'pending' AND e.held AND e.order_key IS NULL
     ORDER BY e.function_id LIMIT 1)
    UNION ALL
    SELECT n.function_id FROM capped c CROSS JOIN LATERAL (
      SELECT e.function_id FROM aerofn_internal.events e
      WHERE e.state = 'pending' AND e.held AND e.order_key IS NULL AND e.function_id > c.id
      ORDER BY e.function_id LIMIT 1) n
  ), ordered (id) AS (
    (SELECT e.function_id FROM aerofn_internal.events e WHERE e.state = 'pending' AND e.order_key IS NOT NULL
     ORDER BY e.function_id LIMIT 1)
    UNION ALL
    SELECT n.function_id FROM ordered o CROSS JOIN LATERAL (
      SELECT e.function_id FROM aerofn_internal.events e
      WHERE e.state = 'pending' AND e.order_key IS NOT NULL AND e.function_id > o.id
      ORDER BY e.function_id LIMIT 1) n
  )
  SELECT h.id, v.max_concurrency, v.timeout_ms
  FROM (SELECT c.id FROM capped c UNION SELECT o.id FROM ordered o) h
  LEFT JOIN aerofn_internal.functions f ON f.id = h.id
  LEFT JOIN aerofn_internal.versions v ON v.id = f.active_version
  ORDER BY random()
$$;

-- Leases the first events of up to `most` rows none of whose events runs. Two nodes that look at the same moment
-- lock different first events; what a snapshot cannot show them is refused by the index events_one_of_row.
CREATE OR REPLACE FUNCTION aerofn_internal.lease_ordered(f int, node int, most int, lease interval)
RETURNS SETOF aerofn_internal.events
LANGUAGE plpgsql VOLATILE ROWS 10 SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  start bigint := hashtextextended(random()::text, 0);
BEGIN
  RETURN QUERY WITH due AS MATERIALIZED (
    SELECT locked.id
    FROM (SELECT first.id FROM aerofn_internal.first_of_rows(f, start) first
          WHERE first.run_at <= now() AND NOT EXISTS (
            SELECT FROM aerofn_internal.events r WHERE r.order_key = first.order_key AND r.state = 'running')
          OFFSET 0) first
    -- One look by its id for each, in any plan.
    CROSS JOIN LATERAL (SELECT e.id FROM aerofn_internal.events e WHERE e.id = first.id AND e.state = 'pending'
                        FOR UPDATE SKIP LOCKED) locked
    LIMIT most
  )
  UPDATE aerofn_internal.events e
  SET state = 'running', attempt = e.attempt + 1, leased_by = node, lease_until = now() + lease,
      token = aerofn_internal.new_token()
  WHERE e.id = ANY (ARRAY(SELECT id FROM due))
  RETURNING e.*;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.lease_ordered(int, int, int, interval) FROM PUBLIC;

-- Leases up to `most` of the other events that are held back for function f.
CREATE OR REPLACE FUNCTION aerofn_internal.lease_capped(f int, node int, most int, lease interval)
RETURNS SETOF aerofn_internal.events
LANGUAGE plpgsql VOLATILE ROWS 10 SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY WITH due AS MATERIALIZED (
    SELECT e.id FROM aerofn_internal.events e
    WHERE e.function_id = f AND e.state = 'pending' AND e.held AND e.order_key IS NULL AND e.run_at <= now()
    ORDER BY e.priority DESC, e.run_at, e.id
    LIMIT most FOR UPDATE SKIP LOCKED
  )
  UPDATE aerofn_internal.events e
  SET state = 'running', attempt = e.attempt + 1, leased_by = node, lease_until = now() + lease,
      token = aerofn_internal.new_token()
  WHERE e.id = ANY (ARRAY(SELECT id FROM due))
  RETURNING e.*;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.lease_capped(int, int, int, interval) FROM PUBLIC;

-- Leases up to `most` events of those held back; seconds: beyond the function's own time limit. A cap is counted
-- under a lock of its function, and each statement of this function sees what was committed before it: two nodes
-- never count at the same time. One that finds the lock taken goes on; who holds it takes what there is room for.
CREATE OR REPLACE FUNCTION aerofn_internal.lease_held(node int, most int, seconds float8)
RETURNS SETOF aerofn_internal.events
LANGUAGE plpgsql VOLATILE ROWS 10 SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  f record;
  room int;
  taken int;
  kind int;
  lease interval;
  kinds int[] := CASE WHEN random() < 0.5 THEN '{1,2}' ELSE '{2,1}' END;
BEGIN
  IF most <= 0 THEN
    RETURN;
  END IF;
  FOR f IN SELECT * FROM aerofn_internal.held_functions() LOOP
    room := most;
    lease := make_interval(secs => seconds + coalesce(f.timeout_ms, 0) / 1000.0);
    IF f.cap IS NOT NULL THEN
      CONTINUE WHEN NOT pg_try_advisory_xact_lock(aerofn_internal.node_lock_class() + 1, f.id);
      room := least(room, f.cap - (SELECT count(*) FROM aerofn_internal.events e
                                   WHERE e.function_id = f.id AND e.state = 'running' AND e.held));
    END IF;
    FOREACH kind IN ARRAY kinds LOOP
      EXIT WHEN room <= 0;
      IF kind = 1 THEN
        RETURN QUERY SELECT * FROM aerofn_internal.lease_ordered(f.id, node, room, lease);
      ELSE
        RETURN QUERY SELECT * FROM aerofn_internal.lease_capped(f.id, node, room, lease);
      END IF;
      GET DIAGNOSTICS taken = ROW_COUNT;
      room := room - taken;
      most := most - taken;
    END LOOP;
    EXIT WHEN most <= 0;
  END LOOP;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.lease_held(int, int, float8) FROM PUBLIC;

-- What a node of an older AeroFn would not respect is refused while one lives.
CREATE OR REPLACE FUNCTION aerofn_internal.check_nodes(needed int, what text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  older text;
BEGIN
  SELECT format('%s (%s)', n.id, n.name) INTO older FROM aerofn_internal.nodes n
  WHERE n.schema < needed AND n.id IN (SELECT aerofn_internal.live_nodes()) LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'node % is of an older AeroFn, which does not know %', older, what
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Upgrade all nodes first.';
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.check_nodes(int, text) FROM PUBLIC;

RESET ROLE;
