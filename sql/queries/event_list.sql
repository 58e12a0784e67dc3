-- Events as people look at them and decide over them (aerofn/db/event_list.py, aerofn/cli).

-- name: some
-- $1 state or null, $2 function or null, $3 trigger or null, $4 only those before this id, or null, $5 most rows
SELECT id, function, "trigger", source, state, priority, attempt, max_attempts, depth, role, run_at, created_at, node,
       errors -> -1 ->> 'message' AS reason, errors
FROM aerofn.events WHERE id = ANY (ARRAY(SELECT aerofn_internal.listed_events($1, $2, $3, $4, $5)))
ORDER BY id DESC LIMIT $5

-- name: waiting
-- $1 only those before this id, $2 most rows. Pending and running events, newest first.
SELECT e.id, f.name AS function, t.name AS "trigger", e.source, e.state::text AS state, e.attempt, e.max_attempts,
       e.run_at, e.created_at, left(e.errors -> -1 ->> 'message', 300) AS reason
FROM (SELECT p.* FROM aerofn_internal.events p WHERE p.state IN ('pending', 'running') AND p.id < $1
      ORDER BY p.id DESC LIMIT $2) e
LEFT JOIN aerofn_internal.functions f ON f.id = e.function_id
LEFT JOIN aerofn_internal.triggers t ON t.id = e.trigger_id
ORDER BY e.id DESC

-- name: dead
-- $1 trigger or null, $2 only those before this id, $3 most rows. One of the two parts runs, each with its index: see
-- records.newest.
WITH o (id) AS MATERIALIZED (
  SELECT o.id FROM aerofn_internal.triggers o WHERE o.name = $1
), e AS (
  (SELECT p.* FROM aerofn_internal.events p WHERE $1::text IS NULL AND p.state = 'dead' AND p.id < $2
   ORDER BY p.id DESC LIMIT $3)
  UNION ALL
  (SELECT p.* FROM aerofn_internal.events p
   WHERE $1 IS NOT NULL AND p.trigger_id BETWEEN (SELECT o.id FROM o) AND (SELECT o.id FROM o)
     AND p.state = 'dead' AND p.id < $2
   ORDER BY p.trigger_id DESC, p.id DESC LIMIT $3)
)
SELECT e.id, f.name AS function, t.name AS "trigger", e.source, e.state::text AS state, e.attempt, e.max_attempts,
       e.run_at, e.created_at, left(e.errors -> -1 ->> 'message', 300) AS reason
FROM e
LEFT JOIN aerofn_internal.functions f ON f.id = e.function_id
LEFT JOIN aerofn_internal.triggers t ON t.id = e.trigger_id
ORDER BY e.id DESC

-- name: dead_by_trigger
-- $1 most rows. How many dead events each trigger has.
SELECT t.name AS "trigger", f.name AS function, g.dead
FROM (SELECT e.trigger_id, count(*) AS dead FROM aerofn_internal.events e
      WHERE e.state = 'dead' AND e.trigger_id IS NOT NULL GROUP BY e.trigger_id) g
JOIN aerofn_internal.triggers t ON t.id = g.trigger_id
JOIN aerofn_internal.functions f ON f.id = t.function_id
ORDER BY g.dead DESC, t.name LIMIT $1

-- name: one
-- $1 id
SELECT id, function, "trigger", source, state, priority, attempt, max_attempts, depth, role, claims, run_at, created_at,
       node, errors -> -1 ->> 'message' AS reason, lease_until, operation, record, old_record, payload, dedup_key, errors
FROM aerofn.events WHERE id = $1

-- name: one_cut
-- $1 id, $2 most characters of what can be large. The same, as text, which is no JSON where it was cut.
SELECT id, function, "trigger", source, state, priority, attempt, max_attempts, depth, role,
       left(claims::text, $2) AS claims, run_at, created_at, node, left(errors -> -1 ->> 'message', $2) AS reason,
       lease_until, operation, left(record::text, $2) AS record, left(old_record::text, $2) AS old_record,
       left(payload::text, $2) AS payload, dedup_key, left(errors::text, $2) AS errors
FROM aerofn.events WHERE id = $1

-- name: replay
SELECT aerofn.replay($1)

-- name: discard
SELECT aerofn.discard($1)

-- name: replay_all
-- $1 trigger
SELECT aerofn.replay_all($1)

-- name: discard_all
-- $1 trigger
SELECT aerofn.discard_all($1)

-- name: backfill_step
-- $1 trigger, $2 condition or null, $3 rows
SELECT events, expected, finished FROM aerofn_internal.backfill_step($1, $2, $3)
