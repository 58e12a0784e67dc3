-- What `aerofn doctor` looks for (aerofn/db/doctor.py). Each answers object and detail; $1 are the exposed roles.

-- name: not_hardened
SELECT p.object, p.privilege || ' for PUBLIC' AS detail FROM aerofn_internal.left_to_public() p WHERE $1::text[] IS NOT NULL
UNION ALL
SELECT 'EVENT TRIGGER aerofn_no_ddl', 'missing or disabled: functions may run DDL'
WHERE NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'aerofn_no_ddl' AND evtenabled <> 'D')
ORDER BY 1

-- name: is_hardened
SELECT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'aerofn_no_ddl' AND evtenabled <> 'D')
  AND NOT EXISTS (SELECT FROM pg_proc f, aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a
                  WHERE f.oid = 'pg_catalog.set_config(text,text,boolean)'::regprocedure AND a.grantee = 0)

-- name: altered_executor
SELECT format('executor of role %I', l.role) AS object, 'not as it was installed' AS detail FROM aerofn_internal.logins l
WHERE l.role = ANY ($1::text[]) AND l.seal IS DISTINCT FROM aerofn_internal.seal_of(l.role)

-- name: kept_rights
-- What hardening took from PUBLIC, but an exposed role has by name.
SELECT p.object, format('%s granted to %s', p.privilege, string_agg(r.rolname, ', ' ORDER BY r.rolname)) AS detail
FROM aerofn_internal.hardening p JOIN pg_roles r ON r.rolname = ANY ($1::text[])
WHERE p.object LIKE 'FUNCTION %' AND to_regprocedure(substr(p.object, 10)) IS NOT NULL AND NOT r.rolsuper
  AND has_function_privilege(r.oid, to_regprocedure(substr(p.object, 10)), 'EXECUTE')
GROUP BY p.object, p.privilege ORDER BY 1

-- name: cut_off
-- What connects to act as an exposed role (PostgREST's authenticator) and was made after hardening: it never had by
-- name what PUBLIC has no more.
SELECT format('role %I', r.rolname) AS object, 'may not call set_config(text,text,boolean)' AS detail FROM pg_roles r
WHERE r.rolcanlogin AND NOT r.rolsuper AND NOT has_function_privilege(r.oid, 'set_config(text,text,boolean)', 'EXECUTE')
  AND EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid AND m.roleid::regrole::text = ANY ($1::text[]))
  AND r.rolname !~ '^aerofn_run_' ORDER BY 1

-- name: raw_claims
SELECT format('policy %I on %I.%I', policyname, schemaname, tablename) AS object,
       coalesce(qual, '') || coalesce(' ' || with_check, '') AS detail
FROM pg_policies
WHERE concat(qual, with_check) ~ 'current_setting' AND $1::text[] IS NOT NULL ORDER BY 1

-- name: foreign_uid
SELECT f.oid::regprocedure::text AS object, 'not AeroFn''s: it reads a setting' AS detail FROM pg_proc f
WHERE f.pronamespace = to_regnamespace('auth') AND f.proname IN ('uid', 'jwt', 'role') AND f.prosrc ~ 'current_setting'
  AND $1::text[] IS NOT NULL ORDER BY 1

-- name: dynamic_sql
SELECT f.oid::regprocedure::text AS object, 'runs EXECUTE as its caller' AS detail
FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace JOIN pg_language l ON l.oid = f.prolang
WHERE n.nspname !~ '^(pg_|aerofn|information_schema$)' AND NOT f.prosecdef AND f.pronargs > 0 AND l.lanname <> 'internal'
  AND f.prosrc ~* '\mexecute\M' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = f.oid AND d.deptype = 'e')
  AND EXISTS (SELECT FROM unnest($1::text[]) r
              WHERE has_function_privilege(r, f.oid, 'EXECUTE') AND has_schema_privilege(r, n.oid, 'USAGE'))
ORDER BY 1

-- name: definer_without_path
SELECT f.oid::regprocedure::text AS object, 'owned by ' || pg_get_userbyid(f.proowner) AS detail
FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
WHERE f.prosecdef AND n.nspname !~ '^(pg_|aerofn)'
  AND NOT EXISTS (SELECT FROM unnest(f.proconfig) c WHERE c LIKE 'search_path=%')
  AND EXISTS (SELECT FROM unnest($1::text[]) r
              WHERE has_function_privilege(r, f.oid, 'EXECUTE') AND has_schema_privilege(r, n.oid, 'USAGE'))
ORDER BY 1

-- name: owner_view
SELECT DISTINCT v.oid::regclass::text AS object, format('reads %s as %s', t.oid::regclass, pg_get_userbyid(v.relowner)) AS detail
FROM pg_class v JOIN pg_rewrite w ON w.ev_class = v.oid
JOIN pg_depend d ON d.objid = w.oid AND d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
JOIN pg_class t ON t.oid = d.refobjid AND t.relrowsecurity
WHERE v.relkind = 'v' AND NOT coalesce('security_invoker=true' = ANY (v.reloptions) OR 'security_invoker=on' = ANY (v.reloptions), false)
  AND EXISTS (SELECT FROM unnest($1::text[]) r WHERE has_table_privilege(r, v.oid, 'SELECT'))
ORDER BY 1

-- name: materialized_view
SELECT DISTINCT v.oid::regclass::text AS object, format('holds rows of %s', t.oid::regclass) AS detail
FROM pg_class v JOIN pg_rewrite w ON w.ev_class = v.oid
JOIN pg_depend d ON d.objid = w.oid AND d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
JOIN pg_class t ON t.oid = d.refobjid AND t.relrowsecurity
WHERE v.relkind = 'm' AND EXISTS (SELECT FROM unnest($1::text[]) r WHERE has_table_privilege(r, v.oid, 'SELECT'))
ORDER BY 1

-- name: open_partition
SELECT c.oid::regclass::text AS object, format('its parent %s has row-level security, it has none', p.oid::regclass) AS detail
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
WHERE p.relrowsecurity AND NOT c.relrowsecurity
  AND EXISTS (SELECT FROM unnest($1::text[]) r WHERE has_table_privilege(r, c.oid, 'SELECT,INSERT,UPDATE,DELETE'))
ORDER BY 1

-- name: broad_grant
SELECT c.oid::regclass::text AS object,
       string_agg(DISTINCT format('%s to %s', a.privilege_type, coalesce(r.rolname, 'PUBLIC')), ', ') AS detail
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE n.nspname !~ '^(pg_|information_schema$)' AND c.relkind IN ('r', 'p', 'f')
  AND a.privilege_type IN ('TRUNCATE', 'TRIGGER', 'REFERENCES', 'MAINTAIN') AND (a.grantee = 0 OR r.rolname = ANY ($1::text[]))
GROUP BY c.oid ORDER BY 1

-- name: no_policies
SELECT c.oid::regclass::text AS object, 'row-level security is off: every caller sees every row' AS detail
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^(pg_|aerofn|information_schema$)' AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity AND NOT c.relispartition
  AND EXISTS (SELECT FROM pg_roles r WHERE r.rolname = ANY ($1::text[]) AND NOT r.rolbypassrls
              AND has_table_privilege(r.oid, c.oid, 'SELECT') AND has_schema_privilege(r.oid, n.oid, 'USAGE'))
ORDER BY 1

-- name: secret_in_setting
SELECT split_part(s.setting, '=', 1) AS object,
       'set for ' || coalesce('database ' || d.datname, 'role ' || pg_get_userbyid(c.setrole)) AS detail
FROM pg_db_role_setting c LEFT JOIN pg_database d ON d.oid = c.setdatabase, unnest(c.setconfig) s (setting)
WHERE split_part(s.setting, '=', 1) ~* '(secret|password|passwd|token|api_?key|private)' AND $1::text[] IS NOT NULL
  AND (c.setdatabase = 0 OR d.datname = current_database()) ORDER BY 1

-- name: secret_in_source
SELECT f.oid::regprocedure::text AS object, 'its source seems to hold a credential' AS detail
FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
WHERE n.nspname !~ '^(pg_|aerofn)' AND $1::text[] IS NOT NULL
  AND f.prosrc ~* '(eyJ[A-Za-z0-9_-]{16,}\.|sk_live_|Bearer [A-Za-z0-9_-]{16,}|(password|secret|api_?key)\s*:?=\s*''[^'']{8,}'')'
ORDER BY 1

-- name: powerful_role
SELECT format('role %I', r.rolname) AS object, concat_ws(', ',
         CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolcanlogin THEN 'LOGIN: it could set its own password' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
         CASE WHEN r.rolreplication THEN 'REPLICATION' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
         (SELECT 'member of ' || string_agg(g.rolname, ', ' ORDER BY g.rolname) FROM pg_roles g
          WHERE g.oid <> r.oid AND (g.rolsuper OR g.rolname ~ '^pg_') AND pg_has_role(r.oid, g.oid, 'MEMBER')),
         (SELECT 'owns ' || string_agg(c.oid::regclass::text, ', ') FROM pg_class c
          WHERE c.relowner = r.oid AND c.relrowsecurity AND NOT c.relforcerowsecurity)) AS detail
FROM pg_roles r
WHERE r.rolname = ANY ($1::text[]) AND (
  r.rolsuper OR r.rolcanlogin OR r.rolcreaterole OR r.rolreplication OR r.rolcreatedb
  OR EXISTS (SELECT FROM pg_roles g WHERE g.oid <> r.oid AND (g.rolsuper OR g.rolname ~ '^pg_') AND pg_has_role(r.oid, g.oid, 'MEMBER'))
  OR EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid AND c.relrowsecurity AND NOT c.relforcerowsecurity))
ORDER BY 1

-- name: loose_login
SELECT format('login %I', l.login) AS object, concat_ws(', ',
         CASE WHEN r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolinherit THEN 'has attributes it must not have' END,
         (SELECT 'also member of ' || string_agg(g.rolname, ', ') FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
          WHERE m.member = r.oid AND g.rolname <> l.role)) AS detail
FROM aerofn_internal.logins l JOIN pg_roles r ON r.rolname = l.login
WHERE l.role = ANY ($1::text[]) AND (
  r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolinherit
  OR EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid AND g.rolname <> l.role))
ORDER BY 1

-- name: caller_in_reach
-- Who may set the sequences that say who the caller is, as itself or as a role that it may become, and what does it for a
-- caller: a function with the right, called or fired by one without, that sets one of the two or whichever it is told. To be told
-- is any first argument but a constant, also inside a text for EXECUTE, or a column's own sequence, which neither of the two is.
WITH reach AS (
  SELECT r.rolname, g.oid FROM pg_roles r JOIN pg_roles g ON pg_has_role(r.oid, g.oid, 'MEMBER')
  WHERE r.rolname = ANY ($1::text[]) AND NOT r.rolsuper
), sequence AS (
  SELECT s.oid FROM pg_class s WHERE s.relnamespace = to_regnamespace('aerofn_auth') AND s.relname IN ('caller_high', 'caller_low')
), pattern AS (
  SELECT format('\msetval\M"?\s*\((?!\s*\(?(%1$s|(pg_catalog\.)?pg_get_serial_sequence\s*\(\s*%1$s\s*,\s*%1$s\s*\))\)?(::[\w.]+)?\s*,)',
                $$('[^'%]*'|''[^'%]*'')(::[\w.]+)?$$) AS told
), found AS (
  SELECT format('role %I', c.rolname) AS object, 'member of aerofn_auth' AS detail FROM reach c WHERE c.oid = to_regrole('aerofn_auth')
  UNION
  SELECT format('role %I', c.rolname), format('%s on %s', p, s.oid::regclass)
  FROM reach c, sequence s, unnest('{UPDATE,USAGE}'::text[]) p WHERE has_sequence_privilege(c.oid, s.oid, p)
  UNION
  SELECT format('role %I', c.rolname), 'EXECUTE on ' || f.oid::regprocedure
  FROM reach c JOIN pg_proc f ON f.pronamespace = to_regnamespace('aerofn_auth') AND f.proname = 'begin_invocation'
  WHERE has_function_privilege(c.oid, f.oid, 'EXECUTE')
  UNION
  SELECT f.oid::regprocedure::text, 'calls setval() as ' || pg_get_userbyid(f.proowner)
  FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace, pattern,
       concat_ws(' ', f.prosrc, pg_get_function_sqlbody(f.oid)) source
  WHERE f.prosecdef AND n.nspname !~ '^(pg_|aerofn)' AND (source ~* told OR source ~* '\msetval\M.*\mcaller_(high|low)\M')
    AND EXISTS (SELECT FROM sequence s WHERE has_sequence_privilege(f.proowner, s.oid, 'UPDATE'))
    AND (EXISTS (SELECT FROM pg_trigger t WHERE t.tgfoid = f.oid)
         OR EXISTS (SELECT FROM reach c WHERE has_function_privilege(c.oid, f.oid, 'EXECUTE') AND has_schema_privilege(c.oid, n.oid, 'USAGE')))
)
SELECT object, string_agg(detail, ', ' ORDER BY detail) AS detail FROM found GROUP BY object ORDER BY 1
