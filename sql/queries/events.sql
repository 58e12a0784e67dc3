-- Leasing and settling of events (aerofn/db/events.py).

-- name: lease
-- $1 node, $2 most events, $3 seconds beyond the function's own time limit; the place to begin from: $4 a due time in
-- seconds since 1970, $5 an id, $6 the priorities to look at, or null for all
SELECT l.*, extract(epoch FROM clock_timestamp())::float8 - l.due AS waited
FROM aerofn_internal.lease($1, $2, $3, $4, $5, $6) l

-- name: secure
-- A commit that waits for the disk, and so for all that was committed before it: the leases are safe then.
SELECT pg_logical_emit_message(true, 'aerofn', '')

-- name: complete
-- $1 ids, $2 tokens, of events whose functions made no transaction. Those that are not returned had lost
-- their lease. Only what runs has a token; asking for the state as well would let PostgreSQL choose the index of what
-- runs, and walk over all that ran while an old transaction keeps it there.
DELETE FROM aerofn_internal.events e
WHERE e.id = ANY ($1::bigint[]) AND e.token = ANY ($2::bigint[])
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
WHERE e.id = ANY ($1::bigint[]) AND e.token = ANY ($2::bigint[]) AND e.state = 'running'

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
-- Not a join: a plan made while the table was small would read it through.
WHERE e.id = ANY (ARRAY(SELECT id FROM lost))
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
SELECT extract(epoch FROM (
  SELECT e.run_at FROM aerofn_internal.events e
  WHERE e.state = 'pending' AND e.run_at > e.created_at AND e.run_at > now() ORDER BY e.run_at LIMIT 1) - now())::float8

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

-- name: planning
-- Plans are kept, and one made while a table was small would read it through once it is large. Without JIT, which
-- PostgreSQL before 18 takes for worth it wherever there is no other way.
SET enable_seqscan = off; SET jit = off

-- name: echo
SELECT pg_notify('aerofn_echo', '')

-- name: still_there
SELECT 1
