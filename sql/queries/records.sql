-- Invocation records as they are read: by HTTP, the command line and the dashboard (aerofn/db/records.py, aerofn/cli).

-- name: newest
-- $1 function or null, $2 outcome, `failed` for all but success, or null, $3 since when, or null, $4 and $5 the time and id
-- after which the page begins, or null, $6 whether with errors and logs, $7 most rows.
-- One of the four parts runs, each with an index of its own: the others' conditions are decided before they begin.
-- BETWEEN and ORDER BY the function leave no choice of index: a function that runs seldom is not looked for among all.
WITH place (at, id, since) AS MATERIALIZED (
  SELECT coalesce($4::timestamptz, 'infinity'), coalesce($5::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
         coalesce($3::timestamptz, '-infinity')
), i AS (
  (SELECT a.* FROM aerofn.invocations a
   WHERE $1::text IS NULL AND coalesce($2::text, 'success') = 'success' AND ($2 IS NULL OR a.status = $2)
     AND (a."timestamp", a.id) < ((SELECT p.at FROM place p), (SELECT p.id FROM place p))
     AND a."timestamp" >= (SELECT p.since FROM place p)
   ORDER BY a."timestamp" DESC, a.id DESC LIMIT $7)
  UNION ALL
  (SELECT a.* FROM aerofn.invocations a
   WHERE $1 IS NOT NULL AND coalesce($2, 'success') = 'success' AND ($2 IS NULL OR a.status = $2)
     AND a.function BETWEEN $1 AND $1
     AND (a."timestamp", a.id) < ((SELECT p.at FROM place p), (SELECT p.id FROM place p))
     AND a."timestamp" >= (SELECT p.since FROM place p)
   ORDER BY a.function, a."timestamp" DESC, a.id DESC LIMIT $7)
  UNION ALL
  (SELECT a.* FROM aerofn.invocations a
   WHERE $1 IS NULL AND $2 <> 'success' AND a.status <> 'success' AND ($2 = 'failed' OR a.status = $2)
     AND (a."timestamp", a.id) < ((SELECT p.at FROM place p), (SELECT p.id FROM place p))
     AND a."timestamp" >= (SELECT p.since FROM place p)
   ORDER BY a."timestamp" DESC, a.id DESC LIMIT $7)
  UNION ALL
  (SELECT a.* FROM aerofn.invocations a
   WHERE $1 IS NOT NULL AND $2 <> 'success' AND a.status <> 'success' AND ($2 = 'failed' OR a.status = $2)
     AND a.function BETWEEN $1 AND $1
     AND (a."timestamp", a.id) < ((SELECT p.at FROM place p), (SELECT p.id FROM place p))
     AND a."timestamp" >= (SELECT p.since FROM place p)
   ORDER BY a.function, a."timestamp" DESC, a.id DESC LIMIT $7)
)
SELECT i.id::text AS id, i."timestamp", i.function, i.version, i."trigger", i.event_id, i.attempt, i.status, i.duration_ms,
       i.memory_peak_mb, i.queries, i.role,
       CASE WHEN $6::boolean THEN i.user_id ELSE left(i.user_id, 200) END AS user_id,
       CASE WHEN $6 THEN i.error ->> 'message' ELSE left(i.error ->> 'message', 300) END AS reason, i.cpu_ms, i.host_calls,
       i.bytes_in, i.bytes_out, i.trace_id, CASE WHEN $6 THEN i.error END AS error, CASE WHEN $6 THEN i.logs END AS logs
FROM i ORDER BY i."timestamp" DESC, i.id DESC

-- name: oldest
-- $1 function or null, $2 outcome, `failed` or null, $3 since when, or null, $4 most rows: for those who follow. As newest.
WITH place (since) AS MATERIALIZED (
  SELECT coalesce($3::timestamptz, '-infinity')
), i AS (
  (SELECT a.* FROM aerofn.invocations a
   WHERE $1::text IS NULL AND coalesce($2::text, 'success') = 'success' AND ($2 IS NULL OR a.status = $2)
     AND a."timestamp" >= (SELECT p.since FROM place p)
   ORDER BY a."timestamp", a.id LIMIT $4)
  UNION ALL
  (SELECT a.* FROM aerofn.invocations a
   WHERE $1 IS NOT NULL AND coalesce($2, 'success') = 'success' AND ($2 IS NULL OR a.status = $2)
     AND a.function BETWEEN $1 AND $1 AND a."timestamp" >= (SELECT p.since FROM place p)
   ORDER BY a.function DESC, a."timestamp", a.id LIMIT $4)
  UNION ALL
  (SELECT a.* FROM aerofn.invocations a
   WHERE $1 IS NULL AND $2 <> 'success' AND a.status <> 'success' AND ($2 = 'failed' OR a.status = $2)
     AND a."timestamp" >= (SELECT p.since FROM place p)
   ORDER BY a."timestamp", a.id LIMIT $4)
  UNION ALL
  (SELECT a.* FROM aerofn.invocations a
   WHERE $1 IS NOT NULL AND $2 <> 'success' AND a.status <> 'success' AND ($2 = 'failed' OR a.status = $2)
     AND a.function BETWEEN $1 AND $1 AND a."timestamp" >= (SELECT p.since FROM place p)
   ORDER BY a.function DESC, a."timestamp", a.id LIMIT $4)
)
SELECT i.id::text AS id, i."timestamp", i.function, i.version, i."trigger", i.event_id, i.attempt, i.status, i.duration_ms,
       i.memory_peak_mb, i.queries, i.role, i.user_id, i.error ->> 'message' AS reason, i.cpu_ms, i.host_calls,
       i.bytes_in, i.bytes_out, i.trace_id, i.error, i.logs
FROM i ORDER BY i."timestamp", i.id

-- name: of_event
-- $1 event, $2 most rows
SELECT i.id::text AS id, i."timestamp", i.function, i.version, i."trigger", i.event_id, i.attempt, i.status, i.duration_ms,
       i.memory_peak_mb, i.queries, i.role, left(i.user_id, 200) AS user_id, left(i.error ->> 'message', 300) AS reason,
       i.cpu_ms, i.host_calls, i.bytes_in, i.bytes_out, i.trace_id, NULL AS error, NULL AS logs
FROM aerofn.invocations i WHERE i.event_id = $1 ORDER BY i."timestamp" DESC, i.id DESC LIMIT $2

-- name: one
-- $1 id
SELECT i.id::text AS id, i."timestamp", i.function, i.version, i."trigger", i.event_id, i.attempt, i.status, i.duration_ms,
       i.memory_peak_mb, i.queries, i.role, i.user_id, i.error ->> 'message' AS reason, i.cpu_ms, i.host_calls,
       i.bytes_in, i.bytes_out, i.trace_id, i.error, i.logs
FROM aerofn.invocations i WHERE i.id = $1::uuid LIMIT 1
