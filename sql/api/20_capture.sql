-- Capture: what the database triggers run, in the writer's own transaction. One event per trigger and row.
-- These functions must never break the writer, whatever its row, its settings or its search_path.
SET LOCAL ROLE aerofn_owner;

-- As whom a write or an invoke() made now acts: a function's verified caller, else the plain database
-- role of the session without claims; a role that is not exposed becomes the least privileged one.
CREATE OR REPLACE FUNCTION aerofn_internal.causer(OUT role name, OUT claims jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  plain name := coalesce(nullif(current_setting('role', true), 'none'), session_user);
BEGIN
  SELECT l.role INTO role FROM aerofn_internal.logins l WHERE l.login = session_user;
  IF FOUND THEN
    claims := aerofn_auth.caller() -> 'claims';
    RETURN;
  END IF;
  SELECT coalesce((SELECT l.role FROM aerofn_internal.logins l WHERE l.role = plain), s.anon_role)
  INTO role FROM aerofn_internal.settings s;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.causer() FROM PUBLIC;

-- How many functions stand behind this transaction: 0 for an ordinary writer. From the verified document; a function
-- that took it away counts as past every limit, so that no loop can hide.
CREATE OR REPLACE FUNCTION aerofn_internal.next_depth() RETURNS smallint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM aerofn_internal.logins l WHERE l.login = session_user AND l.role <> 'aerofn_service') THEN
    RETURN coalesce((aerofn_auth.caller() ->> 'depth')::int + 1, 32767);
  END IF;
  RETURN 0;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.next_depth() FROM PUBLIC;

-- Tells the nodes that there are events, once this transaction commits; nobody, if nobody asks for it. NOTIFY makes
-- the commits of the whole cluster wait for each other, so nodes that look often anyway do without: one that wants to
-- be told holds this lock, shared. Both calls are one expression, so that no cancellation comes between them.
CREATE OR REPLACE FUNCTION aerofn_internal.wake() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF pg_try_advisory_lock(4279888, 0) AND pg_advisory_unlock(4279888, 0) THEN
    RETURN;
  END IF;
  PERFORM pg_notify('aerofn', '');
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.wake() FROM PUBLIC;

-- The columns that tell a table's rows apart, by their names of now; none where there is no primary key (any more):
-- then all its rows are one.
CREATE OR REPLACE FUNCTION aerofn_internal.key_columns(relation oid) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT ARRAY(SELECT a.attname::text FROM pg_index i
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
               WHERE i.indrelid = relation AND i.indisprimary ORDER BY a.attname)
$$;
REVOKE ALL ON FUNCTION aerofn_internal.key_columns(oid) FROM PUBLIC;

-- What stands for a row and its trigger among ordered events. Two rows with the same number only wait for each other.
CREATE OR REPLACE FUNCTION aerofn_internal.order_key(trigger_id int, columns text[], record json) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT hashtextextended(coalesce(string_agg(record ->> c, ',' ORDER BY n), ''), trigger_id)
  FROM unnest(columns) WITH ORDINALITY k (c, n)
$$;
REVOKE ALL ON FUNCTION aerofn_internal.order_key(int, text[], json) FROM PUBLIC;

-- Row by row: UPDATE (old and new belong together), conditions, partitioned and foreign tables.
-- TG_ARGV: trigger id [, select list that computes virtual generated columns].
CREATE OR REPLACE FUNCTION aerofn_internal.capture_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET bytea_output = 'hex' SET intervalstyle = 'postgres'
AS $$
DECLARE
  t aerofn_internal.triggers;
  caller record;
  fresh json := row_to_json(NEW);
  stale json := row_to_json(OLD);
  key bigint;
  place bigint;
BEGIN
  SELECT * INTO t FROM aerofn_internal.triggers WHERE id = TG_ARGV[0]::int AND enabled;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  IF TG_NARGS > 1 THEN
    fresh := aerofn_internal.with_virtual(TG_ARGV[1], NEW);
    stale := aerofn_internal.with_virtual(TG_ARGV[1], OLD);
  END IF;
  IF t.run_as = 'causer' THEN
    SELECT * INTO caller FROM aerofn_internal.causer();
  ELSE
    SELECT t.run_as::name AS role, NULL::jsonb AS claims INTO caller;
  END IF;
  IF t.ordered_by IS NOT NULL THEN
    key := aerofn_internal.order_key(t.id, aerofn_internal.key_columns(TG_RELID), coalesce(fresh, stale));
    place := nextval('aerofn_internal.event_positions');
  END IF;
  INSERT INTO aerofn_internal.events
    (function_id, trigger_id, source, operation, record, old_record, role, claims, max_attempts, depth,
     held, order_key, "position")
  VALUES (t.function_id, t.id, 'row', TG_OP, fresh, stale, caller.role, caller.claims, t.max_attempts,
          aerofn_internal.next_depth(), t.ordered_by IS NOT NULL, key, place);
  PERFORM aerofn_internal.wake();
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.capture_row() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn_internal.capture_row() TO aerofn_admin;

-- PostgreSQL leaves virtual generated columns null in trigger rows: compute them from the others.
CREATE OR REPLACE FUNCTION aerofn_internal.with_virtual(columns text, rec anyelement) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  doc json;
BEGIN
  IF rec IS NOT DISTINCT FROM NULL THEN
    RETURN NULL;
  END IF;
  EXECUTE 'SELECT row_to_json(r.*) FROM (SELECT ' || columns || ' FROM (SELECT ($1).*) n) r' INTO doc USING rec;
  RETURN doc;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.with_virtual(text, anyelement) FROM PUBLIC;

-- A whole statement at once, from its transition table `changed`: INSERT and DELETE on plain tables.
CREATE OR REPLACE FUNCTION aerofn_internal.capture_statement() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET bytea_output = 'hex' SET intervalstyle = 'postgres'
AS $$
DECLARE
  t aerofn_internal.triggers;
  caller record;
  fresh boolean := TG_OP = 'INSERT';
  depth smallint := aerofn_internal.next_depth();
  key_columns text[];
BEGIN
  SELECT * INTO t FROM aerofn_internal.triggers WHERE id = TG_ARGV[0]::int AND enabled;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  IF t.run_as = 'causer' THEN
    SELECT * INTO caller FROM aerofn_internal.causer();
  ELSE
    SELECT t.run_as::name AS role, NULL::jsonb AS claims INTO caller;
  END IF;
  IF t.ordered_by IS NOT NULL THEN
    key_columns := aerofn_internal.key_columns(TG_RELID);
  END IF;
  INSERT INTO aerofn_internal.events
    (function_id, trigger_id, source, operation, record, old_record, role, claims, max_attempts, depth,
     held, order_key, "position")
  SELECT t.function_id, t.id, 'row', TG_OP,
         CASE WHEN fresh THEN row_to_json(c.*) END, CASE WHEN NOT fresh THEN row_to_json(c.*) END,
         caller.role, caller.claims, t.max_attempts, depth, t.ordered_by IS NOT NULL,
         CASE WHEN key_columns IS NOT NULL THEN aerofn_internal.order_key(t.id, key_columns, row_to_json(c.*)) END,
         CASE WHEN key_columns IS NOT NULL THEN nextval('aerofn_internal.event_positions') END
  FROM changed c;
  IF FOUND THEN
    PERFORM aerofn_internal.wake();
  END IF;
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.capture_statement() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn_internal.capture_statement() TO aerofn_admin;

RESET ROLE;
