-- What the command line asks (aerofn/cli), as the user of DATABASE_URL: a member of aerofn_admin.

-- name: register
-- $1 name, $2 component, $3 timeout, $4 memory, $5 env, $6 hosts, $7 roles, $8 run_as, $9 activate, $10 cap,
-- $11 rate
SELECT aerofn.register_function(
  name => $1, wasm => $2, timeout_ms => $3, memory_mb => $4, env => $5, hosts => $6, roles => $7, run_as => $8,
  activate => $9, max_concurrency => $10, rate_limit => $11)

-- name: version
-- $1 function, $2 number
SELECT function AS name, version, status, active, digest, error FROM aerofn.versions
WHERE function = $1 AND version = $2

-- name: has_database
SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)

-- name: create_database
-- {name}: of a place of AeroFn's own, a plain word
CREATE DATABASE {name}
