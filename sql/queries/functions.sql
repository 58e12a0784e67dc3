-- The registry as nodes read it (aerofn/db/functions.py).

-- name: revision
SELECT revision FROM aerofn_internal.registry

-- name: names
SELECT name FROM aerofn_internal.functions

-- name: active
-- $1 a function's name. The version that runs, and how its newest one fares.
SELECT f.id AS function_id, a.id, a.number, a.digest, a.timeout_ms, a.memory_mb, a.env, a.hosts, a.roles, a.run_as,
       a.rate_limit,
       newest.status::text AS newest_status, newest.error::text AS newest_error
FROM aerofn_internal.functions f
LEFT JOIN aerofn_internal.versions a ON a.id = f.active_version
JOIN LATERAL (SELECT v.status, v.error FROM aerofn_internal.versions v
              WHERE v.function_id = f.id ORDER BY v.number DESC LIMIT 1) newest ON true
WHERE f.name = $1

-- name: component
-- $1 digest
SELECT wasm FROM aerofn_internal.components WHERE digest = $1

-- name: lease_compile
-- $1 seconds, $2 node. One version to compile, which no other node that lives compiles now.
UPDATE aerofn_internal.versions SET compile_until = now() + make_interval(secs => $1), compiled_by = $2
WHERE id = (SELECT v.id FROM aerofn_internal.versions v
            WHERE v.status = 'compiling' AND (v.compile_until IS NULL OR v.compile_until < now()
                OR v.compiled_by <> ALL (ARRAY(SELECT aerofn_internal.live_nodes())))
            ORDER BY v.id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, digest

-- name: compiled_elsewhere
SELECT v.id, v.digest FROM aerofn_internal.versions v
WHERE v.status = 'compiling' AND v.activate AND v.compile_until > now() ORDER BY v.id

-- name: compiled
-- $1 version, $2 the problem or null
SELECT aerofn_internal.compiled($1, $2::jsonb)

-- name: register
SELECT aerofn.register_function(
  name => $1, wasm => $2, timeout_ms => $3, memory_mb => $4, env => $5, hosts => $6, roles => $7, run_as => $8,
  activate => $9, author => $10, max_concurrency => $11,
  rate_limit => $12)

-- name: version_status
-- $1 function, $2 number
SELECT v.status::text AS status, v.error::text AS error, encode(v.digest, 'hex') AS digest, f.active_version = v.id AS active
FROM aerofn_internal.versions v JOIN aerofn_internal.functions f ON f.id = v.function_id
WHERE f.name = $1 AND v.number = $2

-- name: all
SELECT name, status, active_version, newest_version, error, hint, timeout_ms, memory_mb, roles, run_as,
       max_concurrency, rate_limit, created_at, updated_at
FROM aerofn.functions ORDER BY name

-- name: some
-- $1 only names after this one, $2 most rows
SELECT name, status, active_version, newest_version, error, hint, timeout_ms, memory_mb, roles, run_as,
       max_concurrency, rate_limit, created_at, updated_at
FROM aerofn.functions WHERE name > $1 ORDER BY name LIMIT $2

-- name: one
-- $1 name
SELECT name, status, active_version, newest_version, error, hint, timeout_ms, memory_mb, roles, run_as,
       max_concurrency, rate_limit, created_at, updated_at
FROM aerofn.functions WHERE name = $1

-- name: versions
-- $1 function, $2 only those before this number, or null, $3 most rows, or null
SELECT function, version, status, coalesce(active, false) AS active, digest, size, author, created_at, timeout_ms, memory_mb, env, hosts, roles,
       run_as, max_concurrency, rate_limit, error ->> 'message' AS error
FROM aerofn.versions WHERE function = $1 AND version < coalesce($2::bigint, 1::bigint << 31)
ORDER BY version DESC LIMIT $3

-- name: drop_version
SELECT aerofn.drop_version($1, $2)

-- name: sweep
SELECT aerofn_internal.sweep_components(interval '1 hour')

-- name: drop
SELECT aerofn.drop_function($1)

-- name: activate
SELECT aerofn.activate_version($1, $2)

-- name: logins
SELECT role, login, password FROM aerofn_internal.logins
