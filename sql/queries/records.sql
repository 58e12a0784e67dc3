-- Invocation records as the command line and HTTP list them (aerofn/db/records.py, aerofn/cli).

-- name: newest
-- $1 function or null, $2 status or null, $3 since when, or null, $4 most rows
SELECT id::text AS id, "timestamp", function, version, "trigger", event_id, attempt, status, duration_ms, cpu_ms,
       memory_peak_mb, queries, host_calls, bytes_in, bytes_out, role, user_id, error ->> 'message' AS reason, error, logs
FROM aerofn.invocations
WHERE ($1::text IS NULL OR function = $1) AND ($2::text IS NULL OR status = $2)
  AND "timestamp" >= coalesce($3::timestamptz, '-infinity')
ORDER BY "timestamp" DESC, id DESC LIMIT $4

-- name: oldest
-- $1 function or null, $2 status or null, $3 since when, or null, $4 most rows
SELECT id::text AS id, "timestamp", function, version, "trigger", event_id, attempt, status, duration_ms, cpu_ms,
       memory_peak_mb, queries, host_calls, bytes_in, bytes_out, role, user_id, error ->> 'message' AS reason, error, logs
FROM aerofn.invocations
WHERE ($1::text IS NULL OR function = $1) AND ($2::text IS NULL OR status = $2)
  AND "timestamp" >= coalesce($3::timestamptz, '-infinity')
ORDER BY "timestamp", id LIMIT $4
