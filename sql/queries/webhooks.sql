-- Webhooks as nodes see them (aerofn/db/webhooks.py).

-- name: all
SELECT t.id, t.name, t.enabled, w.scheme, w.secrets, w.header, w.encoding, w.prefix, w.id_from, w.tolerance_s, w.max_kb
FROM aerofn_internal.webhooks w JOIN aerofn_internal.triggers t ON t.id = w.trigger_id

-- name: receive
-- $1 webhook, $2 the sender's id or null, $3 the request, $4 traceparent or null, $5 tracestate or null
SELECT event, fresh FROM aerofn_internal.receive($1, $2, $3, $4, $5)

-- name: forget
-- $1 how long sender ids are remembered
SELECT aerofn_internal.forget_deliveries($1)
