-- `aerofn rehearse` (aerofn/cli/rehearse): past events, and what a transaction that is rolled back has written.

-- name: version
-- $1 function, $2 version, or null for the active one
SELECT v.number, c.wasm, v.timeout_ms, v.memory_mb, v.env, v.run_as
FROM aerofn_internal.versions v
JOIN aerofn_internal.functions f ON f.id = v.function_id
JOIN aerofn_internal.components c ON c.digest = v.digest
WHERE f.name = $1 AND CASE WHEN $2::int IS NULL THEN v.id = f.active_version ELSE v.number = $2 END

-- name: asked
-- $1 function, $2 most events: the newest of those that are over and were kept, as the lease had made them.
SELECT e.id, e.role, e.claims, CASE e.source
         WHEN 'row' THEN json_build_object(
           'id', e.id::text, 'type', e.operation, 'trigger', e.source, 'name', e."trigger", 'schema', t."schema",
           'table', t."table", 'record', e.record, 'old_record', e.old_record)
         WHEN 'schedule' THEN json_build_object(
           'id', e.id::text, 'trigger', e.source, 'name', e."trigger", 'scheduled_at', e.payload -> 'scheduled_at',
           'payload', e.payload -> 'payload')
         WHEN 'invoke' THEN json_build_object('id', e.id::text, 'trigger', e.source, 'payload', e.payload)
         ELSE json_build_object('id', e.id::text, 'trigger', e.source, 'name', e."trigger", 'request', e.payload)
       END AS event
FROM aerofn.events e LEFT JOIN aerofn.triggers t ON t.name = e."trigger"
WHERE e.function = $1 AND e.state IN ('done', 'dead') ORDER BY e.id DESC LIMIT $2

-- name: began
-- Transaction ids from here on are this transaction's own, or of others that it does not see (REPEATABLE READ).
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::numeric % 4294967296 AS xid

-- name: touched
SELECT quote_ident(schemaname) AS "schema", quote_ident(relname) AS name, n_tup_ins AS inserted, n_tup_upd AS updated, n_tup_del AS deleted
FROM pg_stat_xact_user_tables WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 ORDER BY 1, 2

-- name: written
-- {schema}, {name}: quoted; {xid}: a number. In the order in which they were written.
SELECT to_json(t) AS "row" FROM {schema}.{name} t WHERE t.xmin::text::bigint >= {xid} ORDER BY t.ctid
