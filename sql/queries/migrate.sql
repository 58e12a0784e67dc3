-- Statements of `aerofn migrate` (aerofn/db/migrate.py).

-- name: begin_migration
-- One migration of a database at a time, whichever node began it; the lock ends with the transaction,
-- so it also holds behind a transaction pooler. The settings are this transaction's: a migration may take
-- as long as it needs, and a name without its schema is an error and never lands in a schema by chance.
SELECT pg_advisory_xact_lock(4096100001),
    set_config('statement_timeout', '0', true),
    set_config('lock_timeout', '0', true),
    set_config('search_path', '', true);

-- name: is_installed
SELECT to_regclass('aerofn_internal.schema_migrations') IS NOT NULL;

-- name: applied
SELECT version, name, checksum FROM aerofn_internal.schema_migrations ORDER BY version;

-- name: record_migration
INSERT INTO aerofn_internal.schema_migrations (version, name, checksum) VALUES ($1, $2, $3);

-- name: installed_api
SELECT checksum, aerofn_version FROM aerofn_internal.schema_api;

-- name: record_api
INSERT INTO aerofn_internal.schema_api (checksum, aerofn_version) VALUES ($1, $2)
ON CONFLICT (only_row) DO UPDATE
SET checksum = excluded.checksum, aerofn_version = excluded.aerofn_version, applied_at = now();

-- name: install_roles
-- $1 exposed roles, $2 the role of callers without a token, $3 credentials for logins that are missing
SELECT aerofn_internal.install_roles($1, $2, $3::jsonb);

-- name: roles_installed
-- $1 exposed roles, $2 the role of callers without a token
SELECT $1::text[] <@ ARRAY(SELECT role::text FROM aerofn_internal.logins)
  AND EXISTS (SELECT FROM aerofn_internal.settings WHERE anon_role = $2)
  -- Executors that are missing or altered are made anew; a restored dump has none of the sealed rows either.
  AND NOT EXISTS (SELECT FROM aerofn_internal.logins l
                  WHERE l.role = ANY ($1::text[]) AND l.seal IS DISTINCT FROM aerofn_internal.seal_of(l.role));
