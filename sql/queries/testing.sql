-- One test's transaction, always rolled back (aerofn/testing). {braces}: quoted identifiers and literals.

-- name: create_database
CREATE DATABASE {name}

-- name: drop_database
DROP DATABASE IF EXISTS {name} WITH (FORCE)

-- name: database_names
SELECT datname FROM pg_database WHERE starts_with(datname, $1)

-- name: begin
-- As aerofn_auth.begin_invocation(), which wants a transaction of its own, for whoever may read the key.
SAVEPOINT aerofn_test;
SELECT set_config('aerofn.signed', aerofn_auth.mac({doc}) || {doc}, true), set_config('aerofn.depth', '{depth}', true)

-- name: keep
-- What a commit would check is checked now; the effects stay for the test to look at.
SELECT aerofn_run.{finish}(); CLOSE ALL; SET CONSTRAINTS ALL DEFERRED;
SELECT set_config('aerofn.signed', '', true); RELEASE SAVEPOINT aerofn_test

-- name: undo
ROLLBACK TO SAVEPOINT aerofn_test; RELEASE SAVEPOINT aerofn_test

-- name: rows
WITH aerofn AS ({query}
) SELECT coalesce(json_agg(aerofn.*), '[]')::text FROM aerofn
