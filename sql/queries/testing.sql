-- One test's transaction, always rolled back (aerofn/testing). {braces}: quoted identifiers and literals.

-- name: create_database
CREATE DATABASE {name}

-- name: drop_database
DROP DATABASE IF EXISTS {name} WITH (FORCE)

-- name: database_names
SELECT datname FROM pg_database WHERE starts_with(datname, $1)

-- name: begin
-- As aerofn_auth.begin_invocation(), which wants a transaction of its own, for whoever may set the sequences.
SAVEPOINT aerofn_test;
SELECT set_config('aerofn.caller', d.doc, true),
  setval('aerofn_auth.caller_high', ('x' || substr(d.hash, 1, 16))::bit(64)::bigint),
  setval('aerofn_auth.caller_low', ('x' || substr(d.hash, 17, 16))::bit(64)::bigint)
FROM (SELECT {doc} AS doc, encode(sha256(convert_to({doc}, 'UTF8')), 'hex') AS hash) d

-- name: keep
-- What a commit would check is checked now; the effects stay for the test to look at.
SELECT aerofn_run.{finish}(); CLOSE ALL; SET CONSTRAINTS ALL DEFERRED;
SELECT set_config('aerofn.caller', '', true); RELEASE SAVEPOINT aerofn_test

-- name: undo
ROLLBACK TO SAVEPOINT aerofn_test; RELEASE SAVEPOINT aerofn_test

-- name: rows
WITH aerofn AS ({query}
) SELECT coalesce(json_agg(aerofn.*), '[]')::text FROM aerofn
