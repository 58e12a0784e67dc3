-- Events as people look at them and decide over them (aerofn/db/event_list.py, aerofn/cli).

-- name: some
-- $1 state or null, $2 function or null, $3 trigger or null, $4 only those before this id, or null, $5 most rows
SELECT id, function, "trigger", source, state, priority, attempt, max_attempts, depth, role, run_at, created_at, node,
       errors -> -1 ->> 'message' AS reason, errors
FROM aerofn.events
WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR function = $2)
  AND ($3::text IS NULL OR "trigger" = $3) AND ($4::bigint IS NULL OR id < $4)
ORDER BY id DESC LIMIT $5

-- name: one
-- $1 id
SELECT id, function, "trigger", source, state, priority, attempt, max_attempts, depth, role, claims, run_at, created_at,
       node, errors -> -1 ->> 'message' AS reason, lease_until, operation, record, old_record, payload, dedup_key, errors
FROM aerofn.events WHERE id = $1

-- name: replay
SELECT aerofn.replay($1)

-- name: discard
SELECT aerofn.discard($1)

-- name: replay_all
-- $1 trigger
SELECT aerofn.replay_all($1)

-- name: backfill_step
-- $1 trigger, $2 condition or null, $3 rows
SELECT events, expected, finished FROM aerofn_internal.backfill_step($1, $2, $3)
