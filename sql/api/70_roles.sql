-- The exposed roles: a login for each, its sealed executor, and what the service's own login may touch.
SET LOCAL ROLE aerofn_auth;

-- The parameter types of a statement the executor has just prepared, and whether they may be remembered: not
-- if the guest may have changed what the statement's names mean.
CREATE OR REPLACE FUNCTION aerofn_auth.parameter_types(prepared text, path text) RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT json_build_object(
    'lasting', pg_my_temp_schema() = 0
      AND path = (SELECT g.reset_val FROM pg_settings g WHERE g.name = 'search_path'),
    'parameters', coalesce(json_agg(json_build_object(
      'type', format('%I.%I', n.nspname, t.typname), 'array', t.typcategory = 'A',
      'json', t.typname IN ('json', 'jsonb') AND n.nspname = 'pg_catalog') ORDER BY p.position), '[]'))
  FROM pg_prepared_statements s, unnest(s.parameter_types) WITH ORDINALITY p (id, position)
  JOIN pg_type t ON t.oid = p.id JOIN pg_namespace n ON n.oid = t.typnamespace
  WHERE s.name = prepared AND s.from_sql
$$;
REVOKE ALL ON FUNCTION aerofn_auth.parameter_types(text, text) FROM PUBLIC;

RESET ROLE;
SET LOCAL ROLE aerofn_owner;

-- An executor belongs to its role, which may ALTER or DROP what it owns where no event trigger forbids it.
CREATE OR REPLACE FUNCTION aerofn_internal.seal_of(exposed text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(p.oid || ':' || p.xmin, ',' ORDER BY p.oid) FROM pg_proc p
  WHERE p.proname IN (exposed, exposed || '_finish') AND p.pronamespace = 'aerofn_run'::regnamespace
$$;
REVOKE ALL ON FUNCTION aerofn_internal.seal_of(text) FROM PUBLIC;

-- Before COMMIT, so that an executor that was tampered with is never what others get.
CREATE OR REPLACE FUNCTION aerofn_internal.check_seal(exposed text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF pg_current_xact_id_if_assigned() IS NOT NULL
     AND aerofn_internal.seal_of(exposed) IS DISTINCT FROM (SELECT l.seal FROM aerofn_internal.logins l WHERE l.role = exposed)
  THEN
    RAISE EXCEPTION 'the executor of role % was tampered with', exposed USING ERRCODE = '42501',
      HINT = 'Run aerofn migrate to make it anew.';
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.check_seal(text) FROM PUBLIC;

RESET ROLE;

-- Runs with the rights of whoever migrates. credentials: [{"role", "password", "verifier"}] for logins to come.
CREATE OR REPLACE FUNCTION aerofn_internal.install_roles(roles text[], anon_role text, credentials jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  exposed text;
BEGIN
  INSERT INTO aerofn_internal.settings (anon_role) VALUES (install_roles.anon_role)
  ON CONFLICT (only_row) DO UPDATE SET anon_role = excluded.anon_role
  WHERE settings.anon_role <> excluded.anon_role;
  FOREACH exposed IN ARRAY roles LOOP
    PERFORM aerofn_internal.install_login(exposed, credentials);
    PERFORM aerofn_internal.install_executor(exposed);
  END LOOP;
  PERFORM aerofn_internal.install_login('aerofn_service', credentials);
  PERFORM aerofn_internal.grant_service((SELECT login FROM aerofn_internal.logins WHERE role = 'aerofn_service'));
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.install_roles FROM PUBLIC;

-- Whether this server's superuser is at work: some attributes only it may set.
CREATE OR REPLACE FUNCTION aerofn_internal.as_superuser() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT rolsuper FROM pg_roles WHERE rolname = current_user
$$;

CREATE OR REPLACE FUNCTION aerofn_internal.make_role(wanted text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF to_regrole(quote_ident(wanted)) IS NOT NULL THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
  INSERT INTO aerofn_internal.made (kind, role) VALUES ('role', wanted) ON CONFLICT DO NOTHING;
  IF wanted = 'service_role' AND aerofn_internal.as_superuser() THEN
    EXECUTE format('ALTER ROLE %I BYPASSRLS', wanted);
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL;  -- another database's migration was quicker
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.make_role FROM PUBLIC;

-- The server gets the verifier only, so that its log never has a password; some managed servers refuse verifiers.
CREATE OR REPLACE FUNCTION aerofn_internal.set_password(login name, fresh jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('ALTER ROLE %I PASSWORD %L', login, fresh ->> 'verifier');
EXCEPTION
  WHEN insufficient_privilege THEN
    RAISE;
  WHEN OTHERS THEN
    EXECUTE format('ALTER ROLE %I PASSWORD %L', login, fresh ->> 'password');
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.set_password FROM PUBLIC;

-- New passwords for all logins; credentials as for install_roles(). Open connections live on.
CREATE OR REPLACE FUNCTION aerofn_internal.rotate_credentials(credentials jsonb) RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  l record;
  changed int := 0;
BEGIN
  FOR l IN SELECT g.role, g.login, c AS fresh FROM aerofn_internal.logins g
           JOIN jsonb_array_elements(credentials) c ON c ->> 'role' = g.role ORDER BY g.role LOOP
    PERFORM aerofn_internal.set_password(l.login, l.fresh);
    UPDATE aerofn_internal.logins SET password = l.fresh ->> 'password' WHERE role = l.role;
    changed := changed + 1;
  END LOOP;
  RETURN changed;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.rotate_credentials FROM PUBLIC;

CREATE OR REPLACE FUNCTION aerofn_internal.install_login(exposed text, credentials jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wanted name := CASE WHEN exposed = 'aerofn_service' THEN exposed ELSE 'aerofn_run_' || exposed END;
  fresh jsonb;
BEGIN
  IF exposed <> 'aerofn_service' THEN
    PERFORM aerofn_internal.make_role(exposed);
  END IF;
  IF EXISTS (SELECT FROM aerofn_internal.logins l WHERE l.role = exposed AND to_regrole(quote_ident(l.login)) IS NOT NULL) THEN
    RETURN;
  END IF;
  IF to_regrole(quote_ident(wanted)) IS NOT NULL THEN
    -- Another database of this server has that login and its password.
    wanted := left(wanted, 50) || '_' || (SELECT oid FROM pg_database WHERE datname = current_database());
  END IF;
  SELECT c INTO STRICT fresh FROM jsonb_array_elements(credentials) c WHERE c ->> 'role' = exposed;
  EXECUTE format('CREATE ROLE %I LOGIN %s CONNECTION LIMIT 100', wanted,
                 CASE exposed WHEN 'aerofn_service' THEN 'INHERIT' ELSE 'NOINHERIT' END);
  PERFORM aerofn_internal.set_password(wanted, fresh);
  INSERT INTO aerofn_internal.logins (role, login, password) VALUES (exposed, wanted, fresh ->> 'password')
  ON CONFLICT (role) DO UPDATE SET login = excluded.login, password = excluded.password;
  IF exposed <> 'aerofn_service' THEN
    EXECUTE format('GRANT %I TO %I', exposed, wanted);
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.install_login FROM PUBLIC;

-- The sealed executor: guest text runs inside a SECURITY DEFINER function that the exposed role itself
-- owns, so PostgreSQL refuses SET ROLE, COMMIT and their kin however they are spelled.
-- kind: 'types' (answers the parameters' types, runs nothing), 'rows', 'count' (no rows). The text is run as it is,
-- inside no other statement, and its rows are fetched some at a time: a result over the caps is never held whole.
-- Answers UTF-8, whatever the guest made of client_encoding: on success an object that begins with {"rows" (or the
-- types), on the guest's error one that has "code" first.
CREATE OR REPLACE FUNCTION aerofn_internal.install_executor(exposed text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $install$
DECLARE
  runner name;
BEGIN
  SELECT login INTO STRICT runner FROM aerofn_internal.logins WHERE role = exposed;
  IF NOT pg_has_role(current_user, exposed, 'USAGE') THEN
    EXECUTE format('GRANT %I TO CURRENT_USER', exposed);
    INSERT INTO aerofn_internal.made (kind, role) VALUES ('membership', exposed) ON CONFLICT DO NOTHING;
  END IF;
  EXECUTE format('DROP FUNCTION IF EXISTS aerofn_run.%I(text, text, text[], int, int)', exposed);
  EXECUTE format($make$
CREATE FUNCTION aerofn_run.%1$I(kind text, query text, params text[], max_rows int, max_bytes int) RETURNS bytea
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $body$
DECLARE
  n bigint;
  size bigint := 0;
  doc text;
  r record;
  list text[] := '{}';
  e jsonb;
  m text; d text; h text; s text; t text; c text; k text;
BEGIN
  IF current_user <> %2$L THEN
    RAISE EXCEPTION 'the executor is not sealed' USING ERRCODE = '42501';
  END IF;
  -- Few expressions: each is made ready anew in every transaction. 'writing': what nodes of before say when they
  -- have not been restarted yet
  IF kind IN ('rows', 'writing') THEN
    FOR r IN EXECUTE query USING params LOOP
      list := pg_catalog.array_append(list, pg_catalog.row_to_json(r)::text);
      size := size + pg_catalog.octet_length(list[pg_catalog.cardinality(list)]) + 1;
      IF size > max_bytes OR pg_catalog.cardinality(list) > max_rows THEN
        RAISE EXCEPTION 'the statement returns more than %%',
            CASE WHEN size > max_bytes THEN max_bytes || ' bytes' ELSE max_rows || ' rows' END
          USING ERRCODE = '54000', HINT = 'Ask for fewer rows at a time (LIMIT), or for fewer columns.';
      END IF;
    END LOOP;
    RETURN pg_catalog.convert_to('{"rows":[' || pg_catalog.array_to_string(list, ',')
      || '],"rowCount":' || pg_catalog.cardinality(list) || '}', 'UTF8');
  END IF;
  CASE kind
  WHEN 'types' THEN
    EXECUTE 'PREPARE aerofn_types AS ' || query;
    doc := aerofn_auth.parameter_types('aerofn_types', pg_catalog.current_setting('search_path'));
    DEALLOCATE aerofn_types;
  ELSE
    EXECUTE query USING params;
    GET DIAGNOSTICS n = ROW_COUNT;
    doc := '{"rows":[],"rowCount":' || n || '}';
  END CASE;
  RETURN pg_catalog.convert_to(doc, 'UTF8');
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS k = RETURNED_SQLSTATE, m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT,
    s = SCHEMA_NAME, t = TABLE_NAME, c = COLUMN_NAME;
  e := pg_catalog.jsonb_build_object('code', k, 'message', m, 'detail', nullif(d, ''), 'hint', nullif(h, ''),
    'schema', nullif(s, ''), 'table', nullif(t, ''), 'column', nullif(c, ''));
  GET STACKED DIAGNOSTICS c = CONSTRAINT_NAME, t = PG_DATATYPE_NAME;
  e := e || pg_catalog.jsonb_build_object('constraint', nullif(c, ''), 'dataType', nullif(t, ''));
  RETURN pg_catalog.convert_to(pg_catalog.jsonb_strip_nulls(e)::text, 'UTF8');
END $body$ $make$, exposed, exposed);
  -- Deferred constraints and triggers run here: under the role and its limits, not at COMMIT.
  EXECUTE format('DROP FUNCTION IF EXISTS aerofn_run.%I()', exposed || '_finish');
  EXECUTE format($make$
CREATE FUNCTION aerofn_run.%1$I() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $body$
BEGIN
  IF current_user <> %2$L THEN
    RAISE EXCEPTION 'the executor is not sealed' USING ERRCODE = '42501';
  END IF;
  SET CONSTRAINTS ALL IMMEDIATE;
END $body$ $make$, exposed || '_finish', exposed);
  PERFORM aerofn_internal.hand_over(exposed, runner);
  UPDATE aerofn_internal.logins SET seal = aerofn_internal.seal_of(exposed) WHERE role = exposed;
END $install$;
REVOKE ALL ON FUNCTION aerofn_internal.install_executor FROM PUBLIC;

CREATE OR REPLACE FUNCTION aerofn_internal.hand_over(exposed text, runner name) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  sealed text;
BEGIN
  -- To own the executors the role needs CREATE for a moment; it keeps none.
  EXECUTE format('GRANT CREATE ON SCHEMA aerofn_run TO %I', exposed);
  FOREACH sealed IN ARRAY ARRAY[format('aerofn_run.%I(text,text,text[],int,int)', exposed),
                                format('aerofn_run.%I()', exposed || '_finish')] LOOP
    EXECUTE format('ALTER FUNCTION %s OWNER TO %I', sealed, exposed);
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', sealed);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', sealed, runner);
  END LOOP;
  EXECUTE format('REVOKE CREATE ON SCHEMA aerofn_run FROM %I', exposed);
  EXECUTE format('GRANT USAGE ON SCHEMA aerofn_run, aerofn_internal TO %I', runner);
  EXECUTE format('GRANT EXECUTE ON FUNCTION aerofn_auth.begin_invocation(text, int, text), '
                 'aerofn_internal.check_seal(text), aerofn_internal.complete_event(bigint, bigint), '
                 'aerofn_internal.complete_events(bigint[], bigint[]), '
                 'aerofn_internal.keep_result(uuid, bigint, bytea, uuid), '
                 'aerofn_internal.keep_event_result(bigint, bytea, uuid), '
                 'aerofn_internal.store_fetches(int, text, jsonb, int, json) TO %I', runner);
  -- Not aerofn_internal: a guest cannot even name what is there.
  EXECUTE format('GRANT USAGE ON SCHEMA aerofn TO %I', exposed);
  EXECUTE format('GRANT EXECUTE ON FUNCTION aerofn_auth.parameter_types(text, text) TO %I', exposed);
  EXECUTE format('GRANT EXECUTE ON FUNCTION aerofn.jwt(), aerofn.uid(), aerofn.role(), '
                 'aerofn.invoke(text, jsonb, timestamptz, text, int, text, int) TO %I', exposed);
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.hand_over FROM PUBLIC;

CREATE OR REPLACE FUNCTION aerofn_internal.grant_service(login name) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format($f$
    GRANT USAGE ON SCHEMA aerofn, aerofn_internal TO %1$I;
    GRANT SELECT ON ALL TABLES IN SCHEMA aerofn_internal, aerofn TO %1$I;
    REVOKE ALL ON aerofn_internal.logins FROM %1$I;
    GRANT INSERT, UPDATE, DELETE ON aerofn_internal.events, aerofn_internal.nodes TO %1$I;
    GRANT DELETE ON aerofn_internal.results TO %1$I;
    GRANT EXECUTE ON FUNCTION aerofn_internal.take_request, aerofn_internal.ask_event, aerofn_internal.keep_result,
      aerofn_internal.keep_event_result, aerofn_internal.complete_event TO %1$I;
    GRANT UPDATE (compile_until, compiled_by) ON aerofn_internal.versions TO %1$I;
    GRANT INSERT ON aerofn_internal.invocations TO %1$I;
    GRANT USAGE ON SEQUENCE aerofn_internal.lease_tokens TO %1$I;
    GRANT EXECUTE ON FUNCTION aerofn_internal.lease,
      aerofn_internal.new_token, aerofn_internal.lease_held(int, int, float8),
      aerofn_internal.lease_ordered(int, int, int, interval), aerofn_internal.lease_capped(int, int, int, interval),
      aerofn_internal.count_events(aerofn_internal.event_state, int) TO %1$I;
    GRANT EXECUTE ON FUNCTION aerofn_internal.compiled(int, jsonb), aerofn_internal.keep_partitions(interval),
      aerofn_internal.clock(), aerofn_internal.decide_ticks(jsonb), aerofn_internal.receive(int, text, json, text, text),
      aerofn_internal.forget_deliveries(interval), aerofn_internal.sweep_components(interval) TO %1$I;
    GRANT EXECUTE ON FUNCTION aerofn_internal.offer_key_pair(numeric, bytea) TO %1$I;
    GRANT aerofn_admin TO %1$I;
  $f$, login);
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.grant_service FROM PUBLIC;
