-- Row triggers: binding a table's changes to a function. The database triggers are made with the rights of
-- whoever calls (TRIGGER on the table), the registry is written with AeroFn's.
SET LOCAL ROLE aerofn_owner;

CREATE OR REPLACE FUNCTION aerofn_internal.table_for_trigger(named text) RETURNS regclass
LANGUAGE plpgsql STABLE AS $$
DECLARE
  relation regclass;
  kind "char";
BEGIN
  BEGIN
    relation := pg_catalog.to_regclass(named);
  EXCEPTION WHEN syntax_error OR invalid_name THEN
    relation := NULL;
  END;
  IF relation IS NULL THEN
    RAISE EXCEPTION 'there is no table %', coalesce(pg_catalog.quote_literal(named), 'NULL') USING ERRCODE = 'undefined_table',
      HINT = 'Write it as in SQL: orders, shop.orders or "My Table"; without a schema the search_path decides.';
  END IF;
  SELECT relkind INTO kind FROM pg_catalog.pg_class WHERE oid = relation;
  IF kind NOT IN ('r', 'p', 'f') THEN
    RAISE EXCEPTION '% is not a table', relation USING ERRCODE = 'wrong_object_type',
      HINT = 'Row triggers work on tables, partitioned tables and foreign tables; attach to the tables behind a view.';
  ELSIF EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE c.oid = relation AND n.nspname IN ('aerofn_internal', 'aerofn_auth', 'pg_catalog', 'information_schema'))
  THEN
    RAISE EXCEPTION '% belongs to the system', relation USING ERRCODE = 'wrong_object_type',
      HINT = 'Attach functions to your own tables.';
  END IF;
  RETURN relation;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.table_for_trigger(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn_internal.table_for_trigger(text) TO aerofn_admin;

-- Upper-case operations, each once; raises on anything but INSERT, UPDATE and DELETE.
CREATE OR REPLACE FUNCTION aerofn_internal.operations(wanted text[]) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  clean text[] := ARRAY(SELECT DISTINCT upper(trim(w)) FROM unnest(wanted) w);
BEGIN
  IF cardinality(clean) = 0 OR NOT clean <@ ARRAY['INSERT', 'UPDATE', 'DELETE'] OR array_position(clean, NULL) > 0 THEN
    RAISE EXCEPTION 'events are %, not some of INSERT, UPDATE, DELETE', coalesce(wanted::text, 'NULL')
      USING ERRCODE = 'invalid_parameter_value', HINT = 'For example events => ''{INSERT,UPDATE}''.';
  END IF;
  RETURN clean;
END $$;

CREATE OR REPLACE FUNCTION aerofn_internal.check_order(relation regclass, ordered_by text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF ordered_by <> 'row' THEN
    RAISE EXCEPTION 'ordered_by is %, not ''row''', quote_literal(ordered_by)
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out for events in any order.';
  ELSIF aerofn_internal.key_columns(relation) = '{}' THEN
    RAISE EXCEPTION 'table % has no primary key to tell its rows apart', relation
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Add one: ALTER TABLE … ADD PRIMARY KEY (…).';
  END IF;
  PERFORM aerofn_internal.check_nodes(6, 'ordered_by');
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.check_order(regclass, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION aerofn_internal.check_batch_size(size int, ordered_by text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF size IS NULL OR size NOT BETWEEN 1 AND 1000 THEN
    RAISE EXCEPTION 'batch_size is %, outside 1 to 1000', coalesce(size::text, 'NULL')
      USING ERRCODE = 'invalid_parameter_value', HINT = 'It is how many events one invocation is given at the most.';
  ELSIF ordered_by IS NOT NULL THEN
    RAISE EXCEPTION 'ordered_by and batch_size cannot be combined' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Events in order run one at a time for each row: leave one of the two out.';
  END IF;
  PERFORM aerofn_internal.check_nodes(8, 'batch_size');
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.check_batch_size(int, text) FROM PUBLIC;

-- A row of triggers, of whatever kind; run_as null is the least privileged role.
CREATE OR REPLACE FUNCTION aerofn_internal.add_trigger(function text, kind text, name text, run_as text, max_attempts int)
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  made int;
BEGIN
  IF length(name) NOT BETWEEN 1 AND 200 THEN
    RAISE EXCEPTION 'the name of a trigger has 1 to 200 characters' USING ERRCODE = 'invalid_name',
      HINT = 'Say name => ''…''.';
  END IF;
  IF run_as <> 'causer' OR kind <> 'row' THEN
    PERFORM aerofn_internal.check_roles(ARRAY[run_as]) WHERE run_as IS NOT NULL;
  END IF;
  IF max_attempts IS NULL OR max_attempts NOT BETWEEN 1 AND 100 THEN
    RAISE EXCEPTION 'max_attempts is %, outside 1 to 100', coalesce(max_attempts::text, 'NULL')
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  INSERT INTO aerofn_internal.triggers AS t (name, function_id, kind, run_as, max_attempts)
  SELECT name, aerofn_internal.function_id(function), kind, coalesce(run_as, s.anon_role), max_attempts
  FROM aerofn_internal.settings s
  ON CONFLICT DO NOTHING RETURNING t.id INTO made;
  IF made IS NULL THEN
    RAISE EXCEPTION 'there is a trigger % already', quote_literal(name) USING ERRCODE = 'duplicate_object',
      HINT = 'Choose another with name => ''…'', or drop it first with aerofn.drop_trigger(name).';
  END IF;
  PERFORM aerofn_internal.registry_changed();
  RETURN made;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.add_trigger FROM PUBLIC;

CREATE OR REPLACE FUNCTION aerofn_internal.add_row_trigger(
  function text, relation regclass, operations text[], name text, run_as text, condition text, columns text[],
  max_attempts int, ordered_by text, batch_size int
) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  made int := aerofn_internal.add_trigger(function, 'row', name, run_as, max_attempts);
BEGIN
  PERFORM aerofn_internal.check_order(relation, ordered_by) WHERE ordered_by IS NOT NULL;
  PERFORM aerofn_internal.check_batch_size(batch_size, ordered_by) WHERE batch_size IS DISTINCT FROM 1;
  UPDATE aerofn_internal.triggers t
  SET relation = c.oid, schema_name = n.nspname, table_name = c.relname, operations = operations,
      condition = condition, columns = columns, ordered_by = ordered_by, batch_size = batch_size
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation AND t.id = made;
  RETURN made;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.add_row_trigger FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn_internal.add_row_trigger TO aerofn_admin;

-- The select list that computes a table's virtual generated columns; null where it has none.
CREATE OR REPLACE FUNCTION aerofn_internal.virtual_columns(relation regclass) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN bool_or(a.attgenerated = 'v') THEN string_agg(
    CASE WHEN a.attgenerated = 'v' THEN format('(%s) AS %I', pg_get_expr(d.adbin, d.adrelid), a.attname)
         ELSE quote_ident(a.attname) END, ', ' ORDER BY a.attnum) END
  FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
$$;

-- The WHEN condition of one operation's database trigger: the user's, and for UPDATE that a listed column changed.
CREATE OR REPLACE FUNCTION aerofn_internal.trigger_condition(operation text, condition text, columns text[])
RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg('(' || part || E'\n)', ' AND ') FROM (VALUES (condition), (
    CASE WHEN operation = 'UPDATE' THEN (
      SELECT string_agg(format('OLD.%1$I::text IS DISTINCT FROM NEW.%1$I::text', c), ' OR ') FROM unnest(columns) c) END)
  ) parts (part) WHERE part IS NOT NULL
$$;

-- One database trigger for one operation. A whole statement at once where PostgreSQL allows it: not for
-- UPDATE, conditions, partitions (rows come in by way of the parent) and virtual generated columns.
CREATE OR REPLACE FUNCTION aerofn_internal.create_database_trigger(
  id int, relation regclass, operation text, condition text, columns text[]
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_variable
DECLARE
  computed text := aerofn_internal.virtual_columns(relation);
  filter text := aerofn_internal.trigger_condition(operation, condition, columns);
  plain boolean;
BEGIN
  SELECT c.relkind = 'r' AND NOT c.relispartition INTO plain FROM pg_catalog.pg_class c WHERE c.oid = relation;
  IF plain AND operation <> 'UPDATE' AND filter IS NULL AND computed IS NULL THEN
    EXECUTE pg_catalog.format(
      'CREATE TRIGGER %I AFTER %s ON %s REFERENCING %s TABLE AS changed FOR EACH STATEMENT '
      'EXECUTE FUNCTION aerofn_internal.capture_statement(%L)',
      pg_catalog.format('aerofn_%s_%s', id, pg_catalog.lower(operation)), operation, relation,
      CASE operation WHEN 'INSERT' THEN 'NEW' ELSE 'OLD' END, id);
  ELSE
    EXECUTE pg_catalog.format(
      'CREATE TRIGGER %I AFTER %s ON %s FOR EACH ROW %s EXECUTE FUNCTION aerofn_internal.capture_row(%s)',
      pg_catalog.format('aerofn_%s_%s', id, pg_catalog.lower(operation)), operation, relation, 'WHEN (' || filter || ')',
      pg_catalog.concat_ws(', ', pg_catalog.quote_literal(id::text), pg_catalog.quote_literal(computed)));
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.create_database_trigger FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn_internal.create_database_trigger TO aerofn_admin;

-- Runs a function for every row that changes. run_as: an exposed role (default: the least privileged), or
-- 'causer' for the writer's own. "when": a condition over NEW and OLD. columns: for UPDATE, only when one of
-- them changed. ordered_by => 'row': the events of one row (by its primary key) one after another, in the
-- order of their commits. batch_size: the function is given up to so many events at once, in one transaction.
-- Needs TRIGGER on the table. Returns the trigger's name.
CREATE OR REPLACE FUNCTION aerofn.create_row_trigger(
  function text, "table" text, events text[] DEFAULT '{INSERT,UPDATE,DELETE}', name text DEFAULT NULL,
  run_as text DEFAULT NULL, "when" text DEFAULT NULL, columns text[] DEFAULT NULL, max_attempts int DEFAULT 5,
  ordered_by text DEFAULT NULL, batch_size int DEFAULT 1
) RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_variable
DECLARE
  relation regclass := aerofn_internal.table_for_trigger("table");
  operations text[] := aerofn_internal.operations(events);
  missing text;
  operation text;
  id int;
BEGIN
  name := coalesce(name, function || '_on_' || (SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid = relation));
  SELECT c INTO missing FROM pg_catalog.unnest(columns) c WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = relation AND a.attname = c AND a.attnum > 0 AND NOT a.attisdropped);
  IF FOUND THEN
    RAISE EXCEPTION 'table % has no column %', relation, coalesce(pg_catalog.quote_literal(missing), 'NULL')
      USING ERRCODE = 'undefined_column';
  END IF;
  id := aerofn_internal.add_row_trigger(function, relation, operations, name, run_as, "when", columns, max_attempts,
                                        ordered_by, batch_size);
  FOREACH operation IN ARRAY operations LOOP
    PERFORM aerofn_internal.create_database_trigger(id, relation, operation, "when", columns);
  END LOOP;
  RETURN name;
EXCEPTION
  WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'you may not attach a trigger to %', relation USING ERRCODE = 'insufficient_privilege',
      DETAIL = SQLERRM, HINT = pg_catalog.format('Its owner can allow it: GRANT TRIGGER ON %s TO %I; and you must be a member of aerofn_admin.', relation, current_user);
  WHEN syntax_error OR invalid_object_definition OR invalid_column_reference OR undefined_column OR undefined_function
       OR datatype_mismatch OR undefined_table OR feature_not_supported OR ambiguous_function THEN
    IF "when" IS NULL OR SQLSTATE = 'undefined_function' AND SQLERRM LIKE 'there is no function%' THEN
      RAISE;
    END IF;
    RAISE EXCEPTION 'the condition does not work: %', SQLERRM USING ERRCODE = SQLSTATE, DETAIL = "when",
      HINT = 'It is SQL over NEW (not for DELETE) and OLD (not for INSERT), like NEW.status = ''paid''; make one trigger per event where they differ.';
END $$;
REVOKE ALL ON FUNCTION aerofn.create_row_trigger FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.create_row_trigger TO aerofn_admin;

CREATE OR REPLACE FUNCTION aerofn_internal.the_trigger(wanted text) RETURNS aerofn_internal.triggers
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  t aerofn_internal.triggers;
BEGIN
  SELECT * INTO t FROM aerofn_internal.triggers WHERE name = wanted;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no trigger %', coalesce(quote_literal(wanted), 'NULL') USING ERRCODE = 'undefined_object',
      HINT = 'SELECT name FROM aerofn.triggers lists them.';
  END IF;
  RETURN t;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.the_trigger(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn_internal.the_trigger(text) TO aerofn_admin;

-- The same, of one kind: anything else has no such options.
CREATE OR REPLACE FUNCTION aerofn_internal.the_trigger(wanted text, kind text) RETURNS int
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  t aerofn_internal.triggers := aerofn_internal.the_trigger(wanted);
BEGIN
  IF t.kind <> the_trigger.kind THEN
    RAISE EXCEPTION 'trigger % is no %, but a % trigger', quote_literal(wanted), the_trigger.kind, t.kind
      USING ERRCODE = 'wrong_object_type', HINT = 'SELECT name, kind FROM aerofn.triggers lists them.';
  END IF;
  RETURN t.id;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.the_trigger(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION aerofn_internal.forget_trigger(id int) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM aerofn_internal.triggers t WHERE t.id = forget_trigger.id;
  SELECT aerofn_internal.registry_changed()
$$;
REVOKE ALL ON FUNCTION aerofn_internal.forget_trigger(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn_internal.forget_trigger(int) TO aerofn_admin;

CREATE OR REPLACE FUNCTION aerofn_internal.set_enabled(id int, enabled boolean) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  -- A schedule's revision counts up: what a node has computed before means nothing. What was due while it was
  -- disabled is not missed: it was not to be.
  UPDATE aerofn_internal.schedules s
  SET revision = s.revision + 1, next_at = NULL,
      decided_until = CASE WHEN set_enabled.enabled THEN greatest(s.decided_until, aerofn_internal.clock())
                           ELSE s.decided_until END
  FROM aerofn_internal.triggers t
  WHERE s.trigger_id = t.id AND t.id = set_enabled.id AND t.enabled <> set_enabled.enabled;
  UPDATE aerofn_internal.triggers t SET enabled = set_enabled.enabled WHERE t.id = set_enabled.id;
  SELECT aerofn_internal.registry_changed()
$$;
REVOKE ALL ON FUNCTION aerofn_internal.set_enabled(int, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn_internal.set_enabled(int, boolean) TO aerofn_admin;

-- Runs one command for each of a row trigger's database triggers, as the table's owner would. Who is not
-- the owner changes the registry only: capture then does nothing, at the price of one look-up.
CREATE OR REPLACE FUNCTION aerofn_internal.for_database_triggers(t aerofn_internal.triggers, command text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  tgname name;
BEGIN
  FOR tgname IN SELECT p.tgname FROM pg_catalog.pg_trigger p
    WHERE p.tgrelid = t.relation AND p.tgparentid = 0 AND p.tgname ~ ('^aerofn_' || t.id || '_') LOOP
    EXECUTE pg_catalog.format(command, tgname, t.relation::regclass);
  END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE 'the database triggers stay on % without effect: only its owner can remove them', t.relation::regclass;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.for_database_triggers FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn_internal.for_database_triggers TO aerofn_admin;

-- Detaches a trigger. Events it has written already still run.
CREATE OR REPLACE FUNCTION aerofn.drop_trigger(name text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  t aerofn_internal.triggers := aerofn_internal.the_trigger(name);
BEGIN
  PERFORM aerofn_internal.for_database_triggers(t, 'DROP TRIGGER %I ON %s') WHERE t.kind = 'row';
  PERFORM aerofn_internal.forget_trigger(t.id);
END $$;
REVOKE ALL ON FUNCTION aerofn.drop_trigger FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.drop_trigger TO aerofn_admin;

CREATE OR REPLACE FUNCTION aerofn.disable_trigger(name text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  t aerofn_internal.triggers := aerofn_internal.the_trigger(name);
BEGIN
  PERFORM aerofn_internal.for_database_triggers(t, 'ALTER TABLE %2$s DISABLE TRIGGER %1$I') WHERE t.kind = 'row';
  PERFORM aerofn_internal.set_enabled(t.id, false);
END $$;
REVOKE ALL ON FUNCTION aerofn.disable_trigger FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.disable_trigger TO aerofn_admin;

CREATE OR REPLACE FUNCTION aerofn.enable_trigger(name text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  t aerofn_internal.triggers := aerofn_internal.the_trigger(name);
BEGIN
  PERFORM aerofn_internal.for_database_triggers(t, 'ALTER TABLE %2$s ENABLE TRIGGER %1$I') WHERE t.kind = 'row';
  PERFORM aerofn_internal.set_enabled(t.id, true);
END $$;
REVOKE ALL ON FUNCTION aerofn.enable_trigger FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.enable_trigger TO aerofn_admin;

RESET ROLE;
