-- The exposed roles: a login for each, its sealed executor, and what the service's own login may touch.
SET LOCAL ROLE aerofn_owner;

-- Clears what an invocation may have left on its connection; run as the login, after the transaction.
-- (The rest of the reset are plain commands; see queries/session.sql.) Raises AF002: close the connection.
CREATE OR REPLACE FUNCTION aerofn_internal.tidy() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  planted text;
BEGIN
  IF current_user <> session_user THEN
    RAISE EXCEPTION 'the connection is not itself any more' USING ERRCODE = 'AF002';
  END IF;
  FOR planted IN SELECT s.name FROM pg_prepared_statements s WHERE s.from_sql LOOP
    EXECUTE format('DEALLOCATE %I', planted);
  END LOOP;
  PERFORM pg_advisory_unlock_all();
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.tidy() FROM PUBLIC;

-- The parameter types of a statement the executor has just prepared: [{"type", "array", "json"}].
CREATE OR REPLACE FUNCTION aerofn_internal.parameter_types(prepared text) RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(json_agg(json_build_object(
      'type', format('%I.%I', n.nspname, t.typname), 'array', t.typcategory = 'A',
      'json', t.typname IN ('json', 'jsonb') AND n.nspname = 'pg_catalog') ORDER BY p.position), '[]')
  FROM pg_prepared_statements s, unnest(s.parameter_types) WITH ORDINALITY p (id, position)
  JOIN pg_type t ON t.oid = p.id JOIN pg_namespace n ON n.oid = t.typnamespace
  WHERE s.name = prepared AND s.from_sql
$$;
REVOKE ALL ON FUNCTION aerofn_internal.parameter_types(text) FROM PUBLIC;

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
  IF wanted = 'service_role' AND aerofn_internal.as_superuser() THEN
    EXECUTE format('ALTER ROLE %I BYPASSRLS', wanted);
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL;  -- another database's migration was quicker
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.make_role FROM PUBLIC;

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
  EXECUTE format('CREATE ROLE %I LOGIN %s PASSWORD %L', wanted,
                 CASE exposed WHEN 'aerofn_service' THEN 'INHERIT' ELSE 'NOINHERIT' END, fresh ->> 'verifier');
  INSERT INTO aerofn_internal.logins VALUES (exposed, wanted, fresh ->> 'password')
  ON CONFLICT (role) DO UPDATE SET login = excluded.login, password = excluded.password;
  IF exposed <> 'aerofn_service' THEN
    EXECUTE format('GRANT %I TO %I', exposed, wanted);
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.install_login FROM PUBLIC;

-- The sealed executor: guest text runs inside a SECURITY DEFINER function that the exposed role itself
-- owns, so PostgreSQL refuses SET ROLE, COMMIT and their kin however they are spelled.
-- kind: 'types' (answers the parameters' types, runs nothing), 'rows' (can stand in a CTE), 'writing' (returns rows, but has data-modifying CTEs), 'count' (no rows).
CREATE OR REPLACE FUNCTION aerofn_internal.install_executor(exposed text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $install$
DECLARE
  runner name;
BEGIN
  SELECT login INTO STRICT runner FROM aerofn_internal.logins WHERE role = exposed;
  IF NOT pg_has_role(current_user, exposed, 'USAGE') THEN
    EXECUTE format('GRANT %I TO CURRENT_USER', exposed);
  END IF;
  EXECUTE format($make$
CREATE OR REPLACE FUNCTION aerofn_run.%1$I(
  kind text, query text, params text[], max_rows int, max_bytes int, OUT ok boolean, OUT doc text
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $body$
DECLARE
  n bigint;
  r record;
  list text[] := '{}';
  e jsonb := '{}';
  m text; d text; h text; s text; t text; c text; k text;
BEGIN
  CASE kind
  WHEN 'types' THEN
    EXECUTE 'PREPARE aerofn_types AS ' || query;
    doc := aerofn_internal.parameter_types('aerofn_types');
    DEALLOCATE aerofn_types;
    ok := true;
    RETURN;
  WHEN 'rows' THEN
    EXECUTE 'WITH aerofn AS (' || query || E'\n) SELECT pg_catalog.count(*), pg_catalog.json_build_object('
      || '''rows'', coalesce(pg_catalog.json_agg(aerofn.*), ''[]''), ''rowCount'', pg_catalog.count(*))::text '
      || 'FROM (SELECT * FROM aerofn LIMIT ' || max_rows + 1 || ') aerofn' INTO n, doc USING params;
  WHEN 'writing' THEN
    FOR r IN EXECUTE query USING params LOOP
      list := pg_catalog.array_append(list, pg_catalog.row_to_json(r)::text);
      EXIT WHEN pg_catalog.cardinality(list) > max_rows;
    END LOOP;
    n := pg_catalog.cardinality(list);
    doc := '{"rows":[' || pg_catalog.array_to_string(list, ',') || '],"rowCount":' || n || '}';
  ELSE
    EXECUTE query USING params;
    GET DIAGNOSTICS n = ROW_COUNT;
    ok := true;
    doc := '{"rows":[],"rowCount":' || n || '}';
    RETURN;
  END CASE;
  IF n > max_rows THEN
    RAISE EXCEPTION 'the statement returns more than %% rows', max_rows
      USING ERRCODE = '54000', HINT = 'Ask for fewer rows at a time (LIMIT), or for fewer columns.';
  ELSIF pg_catalog.octet_length(doc) > max_bytes THEN
    RAISE EXCEPTION 'the statement returns %% bytes, more than %%', pg_catalog.octet_length(doc), max_bytes
      USING ERRCODE = '54000', HINT = 'Ask for fewer rows at a time (LIMIT), or for fewer columns.';
  END IF;
  ok := true;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS k = RETURNED_SQLSTATE, m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT,
    s = SCHEMA_NAME, t = TABLE_NAME, c = COLUMN_NAME;
  e := pg_catalog.jsonb_build_object('code', k, 'message', m, 'detail', nullif(d, ''), 'hint', nullif(h, ''),
    'schema', nullif(s, ''), 'table', nullif(t, ''), 'column', nullif(c, ''));
  GET STACKED DIAGNOSTICS c = CONSTRAINT_NAME, t = PG_DATATYPE_NAME;
  e := e || pg_catalog.jsonb_build_object('constraint', nullif(c, ''), 'dataType', nullif(t, ''));
  ok := false;
  doc := pg_catalog.jsonb_strip_nulls(e)::text;
END $body$ $make$, exposed);
  -- Deferred constraints and triggers run here: under the role and its limits, not at COMMIT.
  EXECUTE format($make$
CREATE OR REPLACE FUNCTION aerofn_run.%1$I() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $body$
BEGIN
  SET CONSTRAINTS ALL IMMEDIATE;
END $body$ $make$, exposed || '_finish');
  PERFORM aerofn_internal.hand_over(exposed, runner);
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
  EXECUTE format('GRANT USAGE ON SCHEMA aerofn_run, aerofn_internal, aerofn_auth TO %I', runner);
  EXECUTE format('GRANT EXECUTE ON FUNCTION aerofn_auth.begin_invocation(text), aerofn_internal.tidy(), '
                 'aerofn_internal.complete_event(bigint, bigint) TO %I', runner);
  EXECUTE format('GRANT USAGE ON SCHEMA aerofn, aerofn_internal TO %I', exposed);
  EXECUTE format('GRANT EXECUTE ON FUNCTION aerofn_internal.parameter_types(text) TO %I', exposed);
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
    GRANT INSERT, UPDATE, DELETE ON aerofn_internal.events, aerofn_internal.nodes TO %1$I;
    GRANT UPDATE (compile_until) ON aerofn_internal.versions TO %1$I;
    GRANT INSERT ON aerofn_internal.invocations TO %1$I;
    GRANT USAGE ON SEQUENCE aerofn_internal.lease_tokens TO %1$I;
    GRANT EXECUTE ON FUNCTION aerofn_internal.compiled(int, jsonb), aerofn_internal.keep_partitions(interval) TO %1$I;
    GRANT aerofn_admin TO %1$I;
  $f$, login);
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.grant_service FROM PUBLIC;
