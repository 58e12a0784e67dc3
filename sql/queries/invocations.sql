-- Invocation records (aerofn/db/invocations.py).

-- name: keep_partitions
-- $1 hours
SELECT aerofn_internal.keep_partitions(make_interval(hours => $1))

-- name: insert
-- $1 an array of records as JSON, $2 whether some of them may be there already
INSERT INTO aerofn_internal.invocations
  (id, function, version, "trigger", event_id, attempt, status, duration_ms, cpu_ms, memory_peak_mb, queries,
   host_calls, bytes_in, bytes_out, user_id, role, error, logs, "timestamp", trace_id)
SELECT id, function, version, "trigger", event_id, attempt, status, duration_ms, cpu_ms, memory_peak_mb, queries,
       host_calls, bytes_in, bytes_out, user_id, role, error, logs, "timestamp", trace_id
FROM json_to_recordset($1::json) AS r (
  id uuid, function text, version int, "trigger" text, event_id bigint, attempt int, status text,
  duration_ms float8, cpu_ms float8, memory_peak_mb float8, queries int, host_calls int,
  bytes_in bigint, bytes_out bigint, user_id text, role text,
  error jsonb, logs jsonb, "timestamp" timestamptz, trace_id text)
WHERE NOT $2::boolean OR NOT EXISTS (SELECT FROM aerofn_internal.invocations i WHERE i.id = r.id)
