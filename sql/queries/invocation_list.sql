-- Invocation records as people look at them (aerofn/db/invocation_list.py).

-- name: some
-- $1 function or null, $2 only failures, $3 and $4 the time and id after which the page begins, or null, $5 most rows.
-- One of the four parts runs, each with an index of its own: the others' conditions are decided before they begin.
-- BETWEEN and ORDER BY the function leave no choice of index: a function that runs seldom is not looked for among all.
WITH place (at, id) AS MATERIALIZED (
  SELECT coalesce($3::timestamptz, 'infinity'), coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
), i AS (
  (SELECT a.* FROM aerofn_internal.invocations a
   WHERE $1::text IS NULL AND NOT $2::boolean
     AND (a."timestamp", a.id) < ((SELECT p.at FROM place p), (SELECT p.id FROM place p))
   ORDER BY a."timestamp" DESC, a.id DESC LIMIT $5)
  UNION ALL
  (SELECT a.* FROM aerofn_internal.invocations a
   WHERE $1 IS NOT NULL AND NOT $2 AND a.function BETWEEN $1 AND $1
     AND (a."timestamp", a.id) < ((SELECT p.at FROM place p), (SELECT p.id FROM place p))
   ORDER BY a.function, a."timestamp" DESC, a.id DESC LIMIT $5)
  UNION ALL
  (SELECT a.* FROM aerofn_internal.invocations a
   WHERE $1 IS NULL AND $2 AND a.status <> 'success'
     AND (a."timestamp", a.id) < ((SELECT p.at FROM place p), (SELECT p.id FROM place p))
   ORDER BY a."timestamp" DESC, a.id DESC LIMIT $5)
  UNION ALL
  (SELECT a.* FROM aerofn_internal.invocations a
   WHERE $1 IS NOT NULL AND $2 AND a.status <> 'success' AND a.function BETWEEN $1 AND $1
     AND (a."timestamp", a.id) < ((SELECT p.at FROM place p), (SELECT p.id FROM place p))
   ORDER BY a.function, a."timestamp" DESC, a.id DESC LIMIT $5)
)
SELECT i.id::text AS id, i."timestamp" AS at, i.function, i.version, i."trigger", i.event_id, i.attempt, i.status,
       i.duration_ms, i.memory_peak_mb, i.queries, i.role, left(i.user_id, 200) AS user_id,
       left(i.error ->> 'message', 300) AS reason
FROM i ORDER BY i."timestamp" DESC, i.id DESC

-- name: one
-- $1 id
SELECT i.id::text AS id, i."timestamp" AS at, i.function, i.version, i."trigger", i.event_id, i.attempt, i.status,
       i.duration_ms, i.memory_peak_mb, i.queries, i.role, i.user_id, i.error ->> 'message' AS reason,
       i.cpu_ms, i.host_calls, i.bytes_in, i.bytes_out, i.error::text AS error, i.logs::text AS logs
FROM aerofn_internal.invocations i WHERE i.id = $1::uuid LIMIT 1

-- name: of_event
-- $1 event, $2 most rows
SELECT i.id::text AS id, i."timestamp" AS at, i.function, i.version, i."trigger", i.event_id, i.attempt, i.status,
       i.duration_ms, i.memory_peak_mb, i.queries, i.role, left(i.user_id, 200) AS user_id,
       left(i.error ->> 'message', 300) AS reason
FROM aerofn_internal.invocations i WHERE i.event_id = $1 ORDER BY i."timestamp" DESC, i.id DESC LIMIT $2
