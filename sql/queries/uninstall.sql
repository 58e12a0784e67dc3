-- Taking AeroFn out of a database (aerofn/db/uninstall.py).

-- name: database
SELECT current_database()

-- name: users
-- What others have built on AeroFn: a policy on auth.uid(), a view on aerofn.events … Its own database triggers
-- go with it, so they do not count.
WITH ours AS (
  SELECT n.oid FROM pg_namespace n WHERE n.nspname IN ('aerofn', 'aerofn_internal', 'aerofn_auth', 'aerofn_run')
), objects AS (
  SELECT 'pg_proc'::regclass AS class, p.oid FROM pg_proc p
  WHERE p.pronamespace IN (SELECT o.oid FROM ours o)
     OR (p.pronamespace = to_regnamespace('auth') AND p.proowner = 'aerofn_owner'::regrole)
  UNION ALL SELECT 'pg_class'::regclass, c.oid FROM pg_class c WHERE c.relnamespace IN (SELECT o.oid FROM ours o)
  UNION ALL SELECT 'pg_type'::regclass, t.oid FROM pg_type t WHERE t.typnamespace IN (SELECT o.oid FROM ours o)
), users AS (
  SELECT DISTINCT d.classid, d.objid, coalesce(
    (SELECT p.polrelid FROM pg_policy p WHERE d.classid = 'pg_policy'::regclass AND p.oid = d.objid),
    (SELECT w.ev_class FROM pg_rewrite w WHERE d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid),
    (SELECT a.adrelid FROM pg_attrdef a WHERE d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid),
    (SELECT t.tgrelid FROM pg_trigger t WHERE d.classid = 'pg_trigger'::regclass AND t.oid = d.objid
       AND t.tgname !~ '^aerofn_[0-9]+_'),
    (SELECT c.conrelid FROM pg_constraint c WHERE d.classid = 'pg_constraint'::regclass AND c.oid = d.objid),
    CASE WHEN d.classid = 'pg_class'::regclass THEN d.objid END) AS relation
  FROM pg_depend d JOIN objects o ON o.class = d.refclassid AND o.oid = d.refobjid
  WHERE d.deptype IN ('n', 'a')
)
SELECT pg_describe_object(u.classid, u.objid, 0) AS object FROM users u
WHERE EXISTS (SELECT FROM pg_class c WHERE c.oid = u.relation AND c.relnamespace NOT IN (SELECT o.oid FROM ours o)
              AND c.relnamespace <> 'pg_toast'::regnamespace)
   OR EXISTS (SELECT FROM pg_proc p WHERE u.classid = 'pg_proc'::regclass AND p.oid = u.objid
              AND p.pronamespace NOT IN (SELECT o.oid FROM ours o)
              AND NOT (p.pronamespace = to_regnamespace('auth') AND p.proowner = 'aerofn_owner'::regrole))
ORDER BY 1

-- name: live_nodes
SELECT count(*) FROM aerofn_internal.live_nodes()

-- name: hardened
SELECT EXISTS (SELECT FROM aerofn_internal.hardening)

-- name: memberships
SELECT role FROM aerofn_internal.made WHERE kind = 'membership' ORDER BY role

-- name: roles
-- From those that hold nothing by themselves to those that own
SELECT r.role FROM (
  SELECT 1, l.login FROM aerofn_internal.logins l
  UNION ALL SELECT 2, m.role FROM aerofn_internal.made m WHERE m.kind = 'role'
  UNION ALL SELECT 3, p.rolname FROM pg_roles p WHERE p.rolname IN ('aerofn_admin', 'aerofn_auth', 'aerofn_owner')
) r (place, role) JOIN pg_roles p ON p.rolname = r.role ORDER BY r.place, r.role

-- name: auth_functions
SELECT f.oid::regprocedure::text AS function FROM pg_proc f
WHERE f.pronamespace = to_regnamespace('auth') AND f.proowner = 'aerofn_owner'::regrole ORDER BY 1

-- name: our_auth_schema
-- 'drop' what AeroFn made and nobody else uses, 'leave' it to whoever uninstalls, or nothing to do
SELECT CASE WHEN EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid)
       THEN 'leave' ELSE 'drop' END
FROM pg_namespace n WHERE n.nspname = 'auth' AND n.nspowner = 'aerofn_owner'::regrole

-- name: schemas
-- The database triggers go with the functions they run.
DROP SCHEMA aerofn, aerofn_run, aerofn_internal, aerofn_auth CASCADE

-- name: role
DROP ROLE {role}

-- name: membership
REVOKE {role} FROM CURRENT_USER

-- name: function
DROP FUNCTION {function}

-- name: drop_auth
DROP SCHEMA auth

-- name: leave_auth
ALTER SCHEMA auth OWNER TO CURRENT_USER
