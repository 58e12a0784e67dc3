-- Results of HTTP requests, kept for their senders (aerofn/db/results.py).

-- name: take
-- $1 function, $2 caller, $3 key, $4 request, $5 node, $6 seconds of the lease, $7 seconds to keep the result
SELECT state, id::text AS id, token, event_id, output, invocation::text AS invocation
FROM aerofn_internal.take_request($1, $2, $3, $4, $5, $6, $7)

-- name: ask
-- $1 function, $2 caller, $3 key or null, $4 request, $5 seconds to keep the result, $6 role, $7 claims, $8 payload,
-- $9 traceparent or null, $10 tracestate or null
SELECT state, id::text AS id, token, event_id, output, invocation::text AS invocation
FROM aerofn_internal.ask_event($1, $2, $3, $4, $5, $6, $7::jsonb, $8::json, $9, $10)

-- name: keep
-- $1 result, $2 token, $3 output, $4 invocation: of a function that made no transaction
SELECT aerofn_internal.keep_result($1::uuid, $2, $3, $4::uuid)

-- name: keep_event
-- $1 event, $2 token, $3 output, $4 invocation: the same for an event, and its end
SELECT aerofn_internal.complete_event($1, $2), aerofn_internal.keep_event_result($1, $3, $4::uuid)

-- name: give_back
-- $1 result, $2 token, of a request that did not succeed: the next one with its key runs. It waits for a commit
-- under way, and then there is nothing to give back.
DELETE FROM aerofn_internal.results WHERE id = $1::uuid AND token = $2 AND output IS NULL

-- name: show
-- $1 result, $2 caller. An event that is there no more and left no output was removed by somebody.
SELECT r.output, r.invocation::text AS invocation, r.event_id, e.state::text AS state, e.attempt,
       (e.errors -> -1)::text AS error
FROM aerofn_internal.results r
LEFT JOIN aerofn_internal.events e ON e.id = r.event_id
WHERE r.id = $1::uuid AND r.caller = $2 AND r.event_id IS NOT NULL AND r.expires_at > now()

-- name: expire
-- Not more at a time than a moment's work. Those that still run, or wait for it, stay.
DELETE FROM aerofn_internal.results r WHERE r.id IN (
  SELECT o.id FROM aerofn_internal.results o
  WHERE o.expires_at < now() AND (o.output IS NOT NULL OR o.lease_until < now())
    AND NOT EXISTS (SELECT FROM aerofn_internal.events e WHERE e.id = o.event_id)
  ORDER BY o.expires_at LIMIT 1000)
