-- Registering functions. SQL checks what it can see; a node compiles and says ready or failed.
SET LOCAL ROLE aerofn_owner;

-- Every change of functions, versions or triggers ends here: nodes look again at once.
CREATE OR REPLACE FUNCTION aerofn_internal.registry_changed() RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
  UPDATE aerofn_internal.registry SET revision = revision + 1;
  SELECT pg_notify('aerofn_registry', '')
$$;
REVOKE ALL ON FUNCTION aerofn_internal.registry_changed() FROM PUBLIC;

CREATE OR REPLACE FUNCTION aerofn_internal.function_id(wanted text) RETURNS int
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found int;
BEGIN
  SELECT f.id INTO found FROM aerofn_internal.functions f WHERE f.name = wanted;
  IF found IS NULL THEN
    RAISE EXCEPTION 'there is no function %', coalesce(quote_literal(wanted), 'NULL')
      USING ERRCODE = 'undefined_function',
            HINT = 'SELECT name FROM aerofn.functions lists them; aerofn.register_function() makes one.';
  END IF;
  RETURN found;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.function_id(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION aerofn_internal.check_roles(wanted text[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stranger text;
BEGIN
  SELECT w INTO stranger FROM unnest(wanted) w
  WHERE NOT EXISTS (SELECT FROM aerofn_internal.logins l WHERE l.role = w AND l.role <> 'aerofn_service') LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'role % is not one that functions may act as', coalesce(quote_literal(stranger), 'NULL')
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'The exposed roles are: ' || (SELECT string_agg(l.role, ', ' ORDER BY l.role)
              FROM aerofn_internal.logins l WHERE l.role <> 'aerofn_service') || ' (setting AEROFN_ROLES).';
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.check_roles(text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION aerofn_internal.check_wasm(wasm bytea) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF wasm IS NULL OR length(wasm) < 8 OR substring(wasm FROM 1 FOR 4) <> '\x0061736d'::bytea THEN
    RAISE EXCEPTION 'these % bytes are no WebAssembly', coalesce(length(wasm), 0)
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Pass the bytes of a component (a .wasm file made by aerofn build), not its path or base64.';
  ELSIF substring(wasm FROM 5 FOR 4) = '\x01000000'::bytea THEN
    RAISE EXCEPTION 'this is a core WebAssembly module; functions are components'
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Wrap it: wasm-tools component embed wit/aerofn.wit --world function module.wasm -o embedded.wasm '
                   '&& wasm-tools component new embedded.wasm -o function.wasm';
  ELSIF substring(wasm FROM 5 FOR 4) <> '\x0d000100'::bytea THEN
    RAISE EXCEPTION 'this WebAssembly binary is of an unknown version (%)', encode(substring(wasm FROM 5 FOR 4), 'hex')
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Build it again with current tools as a component.';
  END IF;
END $$;

CREATE OR REPLACE FUNCTION aerofn_internal.check_options(
  name text, timeout_ms int, memory_mb int, max_concurrency int
) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF name IS NULL OR name !~ '^[A-Za-z][A-Za-z0-9_-]{0,62}$' OR name = 'deploy' THEN
    RAISE EXCEPTION '% cannot name a function', coalesce(quote_literal(name), 'NULL')
      USING ERRCODE = 'invalid_name',
            HINT = 'A name is a letter and up to 62 letters, digits, "-" or "_", and not "deploy": it stands in the URL.';
  ELSIF timeout_ms NOT BETWEEN 1 AND 900000 THEN
    RAISE EXCEPTION 'timeout_ms is %, outside 1 to 900000', timeout_ms
      USING ERRCODE = 'invalid_parameter_value', HINT = 'It is in milliseconds; leave it out for the default.';
  ELSIF memory_mb NOT BETWEEN 1 AND 4096 THEN
    RAISE EXCEPTION 'memory_mb is %, outside 1 to 4096', memory_mb
      USING ERRCODE = 'invalid_parameter_value', HINT = 'It is in mebibytes; leave it out for the default.';
  ELSIF max_concurrency NOT BETWEEN 1 AND 10000 THEN
    RAISE EXCEPTION 'max_concurrency is %, outside 1 to 10000', max_concurrency
      USING ERRCODE = 'invalid_parameter_value', HINT = 'It counts events on all nodes; leave it out for no cap.';
  END IF;
END $$;

-- As the setting AEROFN_RATE_LIMIT has it; 'none' is no limit, whatever the setting says.
CREATE OR REPLACE FUNCTION aerofn_internal.check_rate(wanted text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF wanted <> 'none' AND wanted !~ '^[1-9][0-9]{0,6}/(second|minute|hour|day)( burst [1-9][0-9]{0,6})?$' THEN
    RAISE EXCEPTION 'rate_limit is %', quote_literal(wanted)
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Write how many each caller may make over HTTP: 100/minute, or 10/second burst 50; or none.';
  END IF;
END $$;

CREATE OR REPLACE FUNCTION aerofn_internal.check_hosts(wanted text[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  bad text;
BEGIN
  SELECT w INTO bad FROM unnest(wanted) w WHERE w IS NULL OR length(w) > 262
    OR w !~* '^(\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$' OR w ~ '\.\.' LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION '% is no host that can be granted', coalesce(quote_literal(bad), 'NULL')
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Write api.example.com, *.example.com, api.example.com:8443 or [2001:db8::1]: no scheme, no path; '
                   'other alphabets as xn--….';
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.check_hosts(text[]) FROM PUBLIC;

-- Notes which components no version has any more.
CREATE OR REPLACE FUNCTION aerofn_internal.note_unused() RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
  UPDATE aerofn_internal.components c SET unused_since = now()
  WHERE c.unused_since IS NULL AND NOT EXISTS (SELECT FROM aerofn_internal.versions v WHERE v.digest = c.digest)
$$;
REVOKE ALL ON FUNCTION aerofn_internal.note_unused() FROM PUBLIC;

-- Removes the components that nobody has used for a while. Returns how many.
CREATE OR REPLACE FUNCTION aerofn_internal.sweep_components(unused interval) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH gone AS (
    DELETE FROM aerofn_internal.components c
    WHERE c.unused_since < now() - unused
      AND NOT EXISTS (SELECT FROM aerofn_internal.versions v WHERE v.digest = c.digest) RETURNING 1
  )
  SELECT count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION aerofn_internal.sweep_components FROM PUBLIC;

-- Makes a new immutable version of a function, which becomes its active one once it is compiled.
-- What is already the newest version is not made again, but runs again if another one does. Returns the version's number.
CREATE OR REPLACE FUNCTION aerofn.register_function(
  name text, wasm bytea, timeout_ms int DEFAULT NULL, memory_mb int DEFAULT NULL, env text[] DEFAULT '{}',
  hosts text[] DEFAULT '{}', roles text[] DEFAULT NULL, run_as text DEFAULT NULL, activate boolean DEFAULT true,
  author text DEFAULT session_user, max_concurrency int DEFAULT NULL, rate_limit text DEFAULT NULL
) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  r aerofn_internal.versions;
  newest aerofn_internal.versions;
BEGIN
  PERFORM aerofn_internal.check_options(register_function.name, register_function.timeout_ms, register_function.memory_mb,
                                        register_function.max_concurrency);
  PERFORM aerofn_internal.check_nodes(6, 'max_concurrency') WHERE register_function.max_concurrency IS NOT NULL;
  PERFORM aerofn_internal.check_rate(register_function.rate_limit);
  PERFORM aerofn_internal.check_wasm(register_function.wasm);
  PERFORM aerofn_internal.check_hosts(register_function.hosts);
  PERFORM aerofn_internal.check_roles(register_function.roles);
  PERFORM aerofn_internal.check_roles(ARRAY[register_function.run_as]) WHERE register_function.run_as IS NOT NULL;
  r.digest := sha256(register_function.wasm);
  INSERT INTO aerofn_internal.components (digest, wasm) VALUES (r.digest, register_function.wasm)
  ON CONFLICT (digest) DO UPDATE SET unused_since = NULL WHERE components.unused_since IS NOT NULL;
  INSERT INTO aerofn_internal.functions (name) VALUES (register_function.name) ON CONFLICT DO NOTHING;
  SELECT f.id INTO r.function_id FROM aerofn_internal.functions f WHERE f.name = register_function.name FOR UPDATE;
  SELECT v.* INTO newest FROM aerofn_internal.versions v
    WHERE v.function_id = r.function_id ORDER BY v.number DESC LIMIT 1;
  IF newest.digest = r.digest AND newest.status <> 'failed'
     AND (newest.timeout_ms, newest.memory_mb, newest.env, newest.hosts, newest.roles, newest.run_as, newest.activate,
          newest.max_concurrency, newest.rate_limit)
         IS NOT DISTINCT FROM (register_function.timeout_ms, register_function.memory_mb, register_function.env,
                               register_function.hosts, register_function.roles, register_function.run_as,
                               register_function.activate, register_function.max_concurrency,
                               register_function.rate_limit) THEN
    UPDATE aerofn_internal.functions f SET active_version = newest.id
    WHERE f.id = r.function_id AND newest.activate AND newest.status = 'ready' AND f.active_version <> newest.id;
    PERFORM aerofn_internal.registry_changed() WHERE FOUND;
    RETURN newest.number;
  END IF;
  r.number := coalesce(newest.number, 0) + 1;
  INSERT INTO aerofn_internal.versions
    (function_id, number, digest, timeout_ms, memory_mb, env, hosts, roles, run_as, activate, author, max_concurrency,
     rate_limit)
  VALUES (r.function_id, r.number, r.digest, register_function.timeout_ms, register_function.memory_mb,
          coalesce(register_function.env, '{}'), coalesce(register_function.hosts, '{}'), register_function.roles,
          register_function.run_as, register_function.activate, register_function.author,
          register_function.max_concurrency, register_function.rate_limit)
  RETURNING id INTO r.id;
  IF EXISTS (SELECT FROM aerofn_internal.versions v WHERE v.digest = r.digest AND v.status = 'ready') THEN
    PERFORM aerofn_internal.compiled(r.id, NULL);
  END IF;
  PERFORM aerofn_internal.registry_changed();
  RETURN r.number;
END $$;
REVOKE ALL ON FUNCTION aerofn.register_function FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.register_function TO aerofn_admin;

-- A node has compiled a version: problem is null or {"code", "message", "detail", "hint"}.
CREATE OR REPLACE FUNCTION aerofn_internal.compiled(version_id int, problem jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v aerofn_internal.versions;
BEGIN
  UPDATE aerofn_internal.versions
  SET status = CASE WHEN problem IS NULL THEN 'ready' ELSE 'failed' END::aerofn_internal.version_status,
      error = problem, compile_until = NULL
  WHERE id = version_id AND status = 'compiling' RETURNING * INTO v;
  IF FOUND AND problem IS NULL AND v.activate THEN
    -- A slower compile of an older version must not undo a newer one.
    UPDATE aerofn_internal.functions f SET active_version = v.id
    WHERE f.id = v.function_id AND NOT EXISTS (
      SELECT FROM aerofn_internal.versions a WHERE a.id = f.active_version AND a.number > v.number);
  END IF;
  PERFORM aerofn_internal.registry_changed();
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.compiled(int, jsonb) FROM PUBLIC;

-- Makes an earlier (or a later, not yet active) version the one that runs. What is still being compiled then does not
-- take its place: whoever rolls back means it.
CREATE OR REPLACE FUNCTION aerofn.activate_version(function text, version int) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  owner int := aerofn_internal.function_id(function);
  v aerofn_internal.versions;
BEGIN
  SELECT * INTO v FROM aerofn_internal.versions
  WHERE function_id = owner AND number = activate_version.version;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'function % has no version %', quote_literal(function), version
      USING ERRCODE = 'no_data_found', HINT = 'SELECT * FROM aerofn.versions lists them.';
  ELSIF v.status <> 'ready' THEN
    RAISE EXCEPTION 'version % of function % is %, not ready', version, quote_literal(function), v.status
      USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = coalesce(v.error ->> 'message', ''),
            HINT = 'Only a version that compiled can run.';
  END IF;
  UPDATE aerofn_internal.functions SET active_version = v.id WHERE id = owner;
  UPDATE aerofn_internal.versions SET activate = false WHERE function_id = owner AND status = 'compiling';
  PERFORM aerofn_internal.registry_changed();
END $$;
REVOKE ALL ON FUNCTION aerofn.activate_version FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.activate_version TO aerofn_admin;

-- Removes a version that does not run. Its component stays a while, for a node that is just about to run it.
CREATE OR REPLACE FUNCTION aerofn.drop_version(function text, version int) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  owner int := aerofn_internal.function_id(function);
BEGIN
  -- Against an activation at the same time.
  PERFORM FROM aerofn_internal.functions f WHERE f.id = owner FOR UPDATE;
  IF EXISTS (SELECT FROM aerofn_internal.functions f JOIN aerofn_internal.versions v ON v.id = f.active_version
             WHERE f.id = owner AND v.number = drop_version.version) THEN
    RAISE EXCEPTION 'version % of function % is the one that runs', version, quote_literal(function)
      USING ERRCODE = 'object_in_use',
            HINT = 'Activate another one first, or drop the function: aerofn.activate_version(), aerofn.drop_function().';
  END IF;
  DELETE FROM aerofn_internal.versions v WHERE v.function_id = owner AND v.number = drop_version.version;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'function % has no version %', quote_literal(function), version
      USING ERRCODE = 'no_data_found', HINT = 'SELECT * FROM aerofn.versions lists them.';
  END IF;
  PERFORM aerofn_internal.note_unused();
  PERFORM aerofn_internal.registry_changed();
END $$;
REVOKE ALL ON FUNCTION aerofn.drop_version FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.drop_version TO aerofn_admin;

-- Removes a function and its versions; refuses while something still starts it.
CREATE OR REPLACE FUNCTION aerofn.drop_function(name text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  gone int := aerofn_internal.function_id(drop_function.name);
  bound text;
  waiting bigint;
BEGIN
  SELECT string_agg(t.name, ', ' ORDER BY t.name) INTO bound
  FROM aerofn_internal.triggers t WHERE t.function_id = gone;
  IF bound IS NOT NULL THEN
    RAISE EXCEPTION 'function % is started by triggers: %', quote_literal(drop_function.name), bound
      USING ERRCODE = 'dependent_objects_still_exist', HINT = 'Drop them first with aerofn.drop_trigger(name).';
  END IF;
  SELECT count(*) INTO waiting FROM aerofn_internal.events e
  WHERE e.function_id = gone AND e.state IN ('pending', 'running');
  IF waiting > 0 THEN
    RAISE EXCEPTION '% events of function % are still to run', waiting, quote_literal(drop_function.name)
      USING ERRCODE = 'object_in_use', HINT = 'Wait for them, or give them up with aerofn.discard(event).';
  END IF;
  UPDATE aerofn_internal.functions f SET active_version = NULL WHERE f.id = gone;
  DELETE FROM aerofn_internal.events e WHERE e.function_id = gone;
  DELETE FROM aerofn_internal.functions f WHERE f.id = gone;
  PERFORM aerofn_internal.note_unused();
  PERFORM aerofn_internal.registry_changed();
END $$;
REVOKE ALL ON FUNCTION aerofn.drop_function FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.drop_function TO aerofn_admin;

RESET ROLE;
