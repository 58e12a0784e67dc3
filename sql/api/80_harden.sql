-- Hardening: what a superuser can take away so that hostile SQL has less to work with. Every exposed role is
-- a member of PUBLIC, so rights of PUBLIC are what goes; every other role that exists now keeps them by name.
SET LOCAL ROLE aerofn_owner;

-- Functions that reach past their own statement, transaction or session, or run SQL given as a string.
CREATE OR REPLACE FUNCTION aerofn_internal.reaching_out() RETURNS SETOF oid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT f.oid FROM pg_proc f
  WHERE f.pronamespace = 'pg_catalog'::regnamespace AND (
    f.proname IN ('set_config', 'setseed', 'pg_notify', 'pg_listening_channels', 'pg_cancel_backend', 'pg_terminate_backend',
                  'pg_stat_get_activity', 'pg_stat_get_backend_activity', 'pg_prepared_statement', 'pg_cursor',
                  'pg_show_all_settings', 'pg_export_snapshot', 'pg_logical_emit_message', 'pg_sleep', 'pg_sleep_for',
                  'pg_sleep_until', 'ts_stat', 'loread', 'lowrite')
    OR f.proname ~ '^(query|cursor|table|schema|database)_to_xml' OR f.proname ~ '^pg_(try_)?advisory_(xact_)?lock'
    OR f.proname ~ '^lo_' OR (f.proname = 'ts_rewrite' AND f.pronargs = 2)
    OR f.proname ~ '^pg_(clear|restore)_(relation|attribute|extended)_stats')
  UNION
  SELECT d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
  WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e' AND e.extname IN ('dblink', 'tablefunc', 'pg_stat_statements')
$$;
REVOKE ALL ON FUNCTION aerofn_internal.reaching_out FROM PUBLIC;
-- It was asked of each function alone, which took every start of a node a third of a second.
DROP FUNCTION IF EXISTS aerofn_internal.reaches_out(pg_proc);

-- What PUBLIC has and hardening takes. object is as GRANT wants it; 'DATABASE' alone is this one.
CREATE OR REPLACE FUNCTION aerofn_internal.left_to_public() RETURNS TABLE (object text, privilege text, acl aclitem[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT o.object, a.privilege_type, o.acl
  FROM (
    SELECT 'DATABASE', coalesce(d.datacl, acldefault('d', d.datdba)), '^(CREATE|TEMPORARY)$'
    FROM pg_database d WHERE d.datname = current_database()
    UNION ALL
    SELECT 'SCHEMA public', n.nspacl, '^CREATE$' FROM pg_namespace n WHERE n.nspname = 'public'
    UNION ALL
    SELECT 'TABLE ' || c.oid::regclass, c.relacl, CASE c.relname WHEN 'pg_settings' THEN '^UPDATE$' ELSE '' END
    FROM pg_class c WHERE c.oid = 'pg_settings'::regclass OR c.relname ~ '^pg_stat_statements(_info)?$'
    UNION ALL
    SELECT 'FUNCTION ' || f.oid::regprocedure, coalesce(f.proacl, acldefault('f', f.proowner)), ''
    FROM pg_proc f WHERE f.oid IN (SELECT aerofn_internal.reaching_out())
  ) o (object, acl, privileges), aclexplode(o.acl) a
  WHERE a.grantee = 0 AND a.privilege_type ~ o.privileges
$$;
REVOKE ALL ON FUNCTION aerofn_internal.left_to_public() FROM PUBLIC;

-- Who keeps it: every role but superusers (who need no grant), the exposed ones, those they are members of, and
-- function logins (of any database of this server).
CREATE OR REPLACE FUNCTION aerofn_internal.keepers() RETURNS name[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(array_agg(r.rolname ORDER BY r.rolname), '{}') FROM pg_roles r
  WHERE NOT r.rolsuper AND (r.rolname !~ '^pg_' OR r.rolname = 'pg_monitor') AND r.rolname !~ '^aerofn_run_'
    AND NOT EXISTS (SELECT FROM aerofn_internal.logins l
                    WHERE l.role <> 'aerofn_service' AND pg_has_role(l.role, r.oid, 'MEMBER'))
$$;
REVOKE ALL ON FUNCTION aerofn_internal.keepers() FROM PUBLIC;

CREATE OR REPLACE FUNCTION aerofn_internal.name_list(names name[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(quote_ident(n), ', ') FROM unnest(names) n
$$;
REVOKE ALL ON FUNCTION aerofn_internal.name_list(name[]) FROM PUBLIC;

-- The statements that harden this database as it is now; none when nothing is left to do.
CREATE OR REPLACE FUNCTION aerofn_internal.hardening_plan() RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('REVOKE %s ON %s FROM PUBLIC', p.privilege, t.target)
         || coalesce(format('; GRANT %s ON %s TO %s', p.privilege, t.target,
                            aerofn_internal.name_list(aerofn_internal.keepers())), '')
  FROM aerofn_internal.left_to_public() p,
       LATERAL (SELECT CASE p.object WHEN 'DATABASE' THEN format('DATABASE %I', current_database()) ELSE p.object END) t (target)
  UNION ALL
  -- The logins' own: a sealed guest cannot reach it.
  SELECT format('GRANT EXECUTE ON FUNCTION pg_catalog.pg_terminate_backend(int, bigint) TO %I', l.login)
  FROM aerofn_internal.logins l
  WHERE l.role <> 'aerofn_service' AND NOT EXISTS (
    SELECT FROM pg_proc f, aclexplode(f.proacl) a
    WHERE f.oid = 'pg_terminate_backend(int,bigint)'::regprocedure AND a.grantee = quote_ident(l.login)::regrole)
  UNION ALL
  -- Without activity nobody sees another's statements.
  SELECT format('ALTER ROLE %I SET %s = %L', l.login, s.name, s.value)
  FROM aerofn_internal.logins l, (VALUES ('track_activities', 'off'), ('temp_file_limit', '64MB')) s (name, value)
  WHERE l.role <> 'aerofn_service' AND NOT EXISTS (
    SELECT FROM pg_roles r WHERE r.rolname = l.login AND s.name || '=' || s.value = ANY (r.rolconfig))
  UNION ALL
  SELECT 'CREATE EVENT TRIGGER aerofn_no_ddl ON ddl_command_start EXECUTE FUNCTION aerofn_internal.refuse_ddl()'
  WHERE NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'aerofn_no_ddl')
$$;
REVOKE ALL ON FUNCTION aerofn_internal.hardening_plan() FROM PUBLIC;

-- No DDL in a function's transaction, whoever's function it goes through.
CREATE OR REPLACE FUNCTION aerofn_internal.refuse_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM aerofn_internal.logins l WHERE l.login = session_user AND l.role <> 'aerofn_service') THEN
    RAISE EXCEPTION '% may not run in a function', tg_tag
      USING ERRCODE = 'insufficient_privilege', HINT = 'Change the schema in a migration.';
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.refuse_ddl() FROM PUBLIC;

RESET ROLE;

-- Run by `aerofn migrate` as superuser, each time: extensions and logins may have come since. Changes nothing
-- a second time.
CREATE OR REPLACE FUNCTION aerofn_internal.harden_database() RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  step text;
  steps text[] := ARRAY(SELECT p FROM aerofn_internal.hardening_plan() p);
BEGIN
  INSERT INTO aerofn_internal.hardening (object, privilege, keepers)
  SELECT p.object, p.privilege, ARRAY(
    SELECT k FROM unnest(aerofn_internal.keepers()) k WHERE NOT EXISTS (
      SELECT FROM aclexplode(p.acl) a WHERE a.grantee = quote_ident(k)::regrole AND a.privilege_type = p.privilege))
  FROM aerofn_internal.left_to_public() p
  ON CONFLICT (object, privilege) DO NOTHING;
  FOREACH step IN ARRAY steps LOOP
    EXECUTE step;
  END LOOP;
  RETURN cardinality(steps);
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.harden_database() FROM PUBLIC;

-- Gives back what hardening took. What is gone since (an extension, a role) is passed over.
CREATE OR REPLACE FUNCTION aerofn_internal.unharden_database() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  taken record;
  kept name[];
BEGIN
  DROP EVENT TRIGGER IF EXISTS aerofn_no_ddl;
  FOR taken IN SELECT h.*, CASE h.object WHEN 'DATABASE' THEN format('DATABASE %I', current_database()) ELSE h.object END AS target
               FROM aerofn_internal.hardening h LOOP
    BEGIN
      EXECUTE format('GRANT %s ON %s TO PUBLIC', taken.privilege, taken.target);
      kept := ARRAY(SELECT k FROM unnest(taken.keepers || ARRAY(SELECT login FROM aerofn_internal.logins)) k
                    WHERE to_regrole(quote_ident(k)) IS NOT NULL);
      EXECUTE format('REVOKE %s ON %s FROM %s', taken.privilege, taken.target, aerofn_internal.name_list(kept));
    EXCEPTION WHEN undefined_function OR undefined_table OR undefined_object OR invalid_schema_name THEN
      NULL;
    END;
  END LOOP;
  DELETE FROM aerofn_internal.hardening;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.unharden_database() FROM PUBLIC;
