-- Leasing and settling of events (aerofn/db/events.py).

-- name: lease
-- $1 node, $2 most events, $3 seconds beyond the function's own time limit; the place to begin from: $4 a due time in
-- seconds since 1970, $5 an id, $6 the priorities to look at, or null for all (see aerofn/db/horizon.py). The attempt
-- counts from here: an event that kills its node is buried, not run for ever. One look per priority, so that those that
-- wait for their time are never walked over. What is of a function with a cap is put among the held ones, which have
-- half the room when there are any.
WITH RECURSIVE found (priority) AS (
  (SELECT e.priority FROM aerofn_internal.events e WHERE $6::smallint[] IS NULL AND e.state = 'pending' AND NOT e.held
   ORDER BY e.priority DESC LIMIT 1)
  UNION ALL
  SELECT next.priority FROM found f CROSS JOIN LATERAL (
    SELECT e.priority FROM aerofn_internal.events e
    WHERE e.state = 'pending' AND NOT e.held AND e.priority < f.priority ORDER BY e.priority DESC LIMIT 1) next
), ranks (priority) AS (
  SELECT f.priority FROM found f
  UNION ALL
  SELECT p.priority FROM (SELECT * FROM unnest($6::smallint[]) p (priority) ORDER BY p.priority DESC) p
), place (run_at, id) AS MATERIALIZED (
  SELECT least(p.at, p.recent), CASE WHEN p.at < p.recent THEN $5::bigint ELSE 0 END
  FROM (SELECT to_timestamp($4::float8) AS at, now() - interval '5 seconds' AS recent) p
), room (n) AS MATERIALIZED (
  SELECT CASE WHEN EXISTS (SELECT FROM aerofn_internal.events e
                           WHERE e.state = 'pending' AND e.held AND e.order_key IS NULL)
                OR EXISTS (SELECT FROM aerofn_internal.events e WHERE e.state = 'pending' AND e.order_key IS NOT NULL)
         THEN ($2::int + 1) / 2 ELSE $2::int END
), due AS MATERIALIZED (
  SELECT e.id, CASE WHEN v.max_concurrency IS NULL THEN $1::int END AS node,
         now() + make_interval(secs => $3 + coalesce(v.timeout_ms, 0) / 1000.0) AS until
  FROM ranks r CROSS JOIN LATERAL (
    SELECT e.id, e.function_id FROM aerofn_internal.events e
    WHERE e.state = 'pending' AND NOT e.held AND e.priority = r.priority AND e.run_at <= now()
      AND (e.run_at, e.id) >= ((SELECT p.run_at FROM place p), (SELECT p.id FROM place p))
    ORDER BY e.run_at, e.id LIMIT (SELECT n FROM room) FOR UPDATE SKIP LOCKED) e
  LEFT JOIN aerofn_internal.functions f ON f.id = e.function_id
  LEFT JOIN aerofn_internal.versions v ON v.id = f.active_version
  LIMIT (SELECT n FROM room)
), taken AS (
  UPDATE aerofn_internal.events e
  SET state = CASE WHEN due.node IS NULL THEN 'pending' ELSE 'running' END::aerofn_internal.event_state,
      held = due.node IS NULL, attempt = e.attempt + (due.node IS NOT NULL)::int, leased_by = due.node,
      token = nextval('aerofn_internal.lease_tokens'), lease_until = due.until
  -- As arrays: PostgreSQL takes them to be short, so that it looks the events up by their ids in any plan it keeps.
  FROM unnest(ARRAY(SELECT id FROM due), ARRAY(SELECT node FROM due), ARRAY(SELECT until FROM due))
    AS due (id, node, until)
  WHERE e.id = due.id
  RETURNING e.*
), leased AS (
  SELECT * FROM taken WHERE state = 'running'
  UNION ALL
  SELECT * FROM aerofn_internal.lease_held(
    $1::int, $2::int - (SELECT count(*) FROM taken WHERE state = 'running')::int, $3::float8)
)
SELECT e.id, f.name AS function, e.source, t.name AS trigger_name, e.role, e.claims::text AS claims, e.attempt,
       e.max_attempts, e.token, e.depth, e.created_at, e.priority, e.traceparent,
       CASE WHEN NOT e.held THEN extract(epoch FROM e.run_at)::float8 END AS due,
       coalesce(t.batch_size, 1) AS batch_size,
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
       END::text AS payload
FROM leased e
LEFT JOIN aerofn_internal.functions f ON f.id = e.function_id
LEFT JOIN aerofn_internal.triggers t ON t.id = e.trigger_id
LEFT JOIN pg_class c ON c.oid = t.relation
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY e.priority DESC, e.run_at, e.id

-- name: complete
-- $1 ids, $2 tokens, of events whose functions made no transaction. Those that are not returned had lost
-- their lease.
DELETE FROM aerofn_internal.events e
WHERE e.id = ANY ($1::bigint[]) AND e.token = ANY ($2::bigint[]) AND e.state = 'running'
RETURNING e.id

-- name: retry
-- $1 id, $2 token, $3 seconds until the next attempt, $4 the error
UPDATE aerofn_internal.events
SET state = 'pending', run_at = now() + make_interval(secs => $3), leased_by = NULL, token = NULL,
    lease_until = NULL, errors = coalesce(errors, '[]') || $4::jsonb
WHERE id = $1 AND token = $2 AND state = 'running'

-- name: bury
-- $1 id, $2 token, $3 the error
UPDATE aerofn_internal.events
SET state = 'dead', leased_by = NULL, token = NULL, lease_until = NULL, errors = coalesce(errors, '[]') || $3::jsonb
WHERE id = $1 AND token = $2 AND state = 'running'

-- name: give_back
-- $1 ids, $2 tokens, of events this node will not run: the attempt does not count.
UPDATE aerofn_internal.events e
SET state = 'pending', attempt = e.attempt - 1, leased_by = NULL, token = NULL, lease_until = NULL
FROM unnest($1::bigint[], $2::bigint[]) AS back (id, token)
WHERE e.id = back.id AND e.token = back.token AND e.state = 'running'

-- name: reclaim
-- Events of nodes that are gone (their lock is free) or that held them too long. Rows that are being
-- settled this moment are locked and so passed over.
WITH lost AS MATERIALIZED (
  SELECT e.id FROM aerofn_internal.events e
  WHERE e.state = 'running'
    AND (e.lease_until < now() OR e.leased_by <> ALL (ARRAY(SELECT aerofn_internal.live_nodes())))
  LIMIT 1000 FOR UPDATE SKIP LOCKED
)
UPDATE aerofn_internal.events e
SET state = CASE WHEN e.attempt >= e.max_attempts THEN 'dead' ELSE 'pending' END::aerofn_internal.event_state,
    leased_by = NULL, token = NULL, lease_until = NULL,
    errors = coalesce(e.errors, '[]') || jsonb_build_object(
      'attempt', e.attempt, 'at', now(), 'code', 'node_lost',
      'message', format('node %s went away, or held the event too long', e.leased_by))
FROM lost WHERE e.id = lost.id
RETURNING e.id, e.state::text AS state

-- name: add_node
-- $1 the node's name, $2 the newest migration it knows
INSERT INTO aerofn_internal.nodes (name, schema) VALUES ($1, $2) RETURNING id

-- name: lock_node
SELECT pg_advisory_lock(aerofn_internal.node_lock_class(), $1)

-- name: gone_nodes
SELECT n.id FROM aerofn_internal.nodes n WHERE n.id <> ALL (ARRAY(SELECT aerofn_internal.live_nodes()))

-- name: forget_nodes
-- Rows of nodes that are gone and hold nothing any more.
DELETE FROM aerofn_internal.nodes n
WHERE n.started_at < now() - interval '1 minute'
  AND n.id <> ALL (ARRAY(SELECT aerofn_internal.live_nodes()))
  AND NOT EXISTS (SELECT FROM aerofn_internal.events e WHERE e.state = 'running' AND e.leased_by = n.id)

-- name: next_due
-- Seconds until the next pending event is due; null when there is none.
SELECT extract(epoch FROM min(run_at) - now())::float8 FROM aerofn_internal.events
WHERE state = 'pending' AND run_at > created_at AND run_at > now()

-- name: waiting
SELECT count(*) FILTER (WHERE state = 'pending') AS pending, count(*) FILTER (WHERE state = 'running') AS running,
       count(*) FILTER (WHERE state = 'dead') AS dead
FROM aerofn_internal.events

-- name: crowded
-- Whether writers wait for each other because of NOTIFY: its lock, on no database in particular, is held from a
-- commit's beginning to its end.
SELECT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'object' AND l.database = 0 AND NOT l.granted
               AND l.classid = 'pg_database'::regclass AND l.objid = 0)

-- name: be_told
-- While a node holds this lock, whoever writes events sends a wakeup (aerofn_internal.wake()).
SELECT pg_try_advisory_lock_shared(4279888, 0)

-- name: be_quiet
SELECT pg_advisory_unlock_shared(4279888, 0)

-- name: keepalive
-- So that a machine that is gone, and not only a process, frees its lock within half a minute.
SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3

-- name: echo
SELECT pg_notify('aerofn_echo', '')

-- name: still_there
SELECT 1
