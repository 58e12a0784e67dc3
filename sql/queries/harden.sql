-- Hardening and credentials (aerofn/db/migrate.py, aerofn/db/logins.py); what they do is in sql/api.

-- name: as_superuser
SELECT rolsuper FROM pg_roles WHERE rolname = current_user

-- name: harden
SELECT aerofn_internal.harden_database()

-- name: unharden
SELECT aerofn_internal.unharden_database()

-- name: plan
SELECT step FROM aerofn_internal.hardening_plan() step

-- name: rotate
-- $1 credentials
SELECT aerofn_internal.rotate_credentials($1::jsonb)

-- name: login_roles
SELECT role FROM aerofn_internal.logins ORDER BY role
