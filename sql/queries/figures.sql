-- What functions have been doing, as numbers (aerofn/db/figures.py). Minutes are counted to 59, which is now.

-- name: metrics
-- $1 functions
SELECT function, invocations, failures, p50_ms, p95_ms, p99_ms, memory_peak_mb, last_at
FROM aerofn.metrics WHERE function = ANY ($1::text[])

-- name: minutes
-- $1 functions
SELECT m.function, least(59, 59 - floor(date_part('epoch', now() - m.minute) / 60))::int AS minute,
       sum(m.invocations) AS invocations, coalesce(sum(m.invocations) FILTER (WHERE m.status <> 'success'), 0) AS failures
FROM aerofn_internal.invocation_minutes m
WHERE m.function = ANY ($1::text[]) AND m.minute > now() - interval '1 hour' GROUP BY 1, 2

-- name: hour
-- The same for all functions together.
SELECT least(59, 59 - floor(date_part('epoch', now() - m.minute) / 60))::int AS minute,
       sum(m.invocations) AS invocations, coalesce(sum(m.invocations) FILTER (WHERE m.status <> 'success'), 0) AS failures
FROM aerofn_internal.invocation_minutes m WHERE m.minute > now() - interval '1 hour' GROUP BY 1

-- name: failures
-- $1 function
SELECT m.status, sum(m.invocations) AS number FROM aerofn_internal.invocation_minutes m
WHERE m.function = $1 AND m.status <> 'success' AND m.minute > now() - interval '1 hour'
GROUP BY m.status ORDER BY number DESC, m.status

-- name: waiting
-- $1 how many are counted one by one
SELECT aerofn_internal.count_events('pending', $1) AS pending, aerofn_internal.count_events('running', $1) AS running,
       aerofn_internal.count_events('dead', $1) AS dead, (SELECT count(*) FROM aerofn_internal.live_nodes()) AS nodes
