-- Backfill: events for rows that were there before their trigger. In the order of the primary key, a chunk a
-- transaction, so that what was done stays done and no transaction is long. Rows are read with the rights of
-- whoever calls; events are written with AeroFn's.
SET LOCAL ROLE aerofn_owner;

-- Begins a backfill, or answers the one of the same condition that is not finished.
CREATE OR REPLACE FUNCTION aerofn_internal.open_backfill(t aerofn_internal.triggers, condition text)
RETURNS aerofn_internal.backfills
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  b aerofn_internal.backfills;
BEGIN
  INSERT INTO aerofn_internal.backfills AS old (trigger_id, condition, expected)
  VALUES (t.id, condition, (SELECT greatest(c.reltuples, 0) FROM pg_class c WHERE c.oid = t.relation))
  ON CONFLICT (trigger_id) DO UPDATE
    SET condition = excluded.condition, last_key = NULL, final_key = NULL, events = 0, expected = excluded.expected,
        started_at = now(), updated_at = now(), finished_at = NULL
    WHERE old.finished_at IS NOT NULL OR old.condition IS DISTINCT FROM excluded.condition;
  -- Two sessions at the same backfill take its chunks in turn.
  SELECT * INTO STRICT b FROM aerofn_internal.backfills WHERE trigger_id = t.id FOR UPDATE;
  RETURN b;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.open_backfill FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn_internal.open_backfill TO aerofn_admin;

-- Writes a chunk's events; records: one row each, in the order of their keys. They come after events of now.
CREATE OR REPLACE FUNCTION aerofn_internal.write_backfill(
  t aerofn_internal.triggers, records json[], last text[], final text[], finished boolean
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  caller record;
  columns text[] := aerofn_internal.key_columns(t.relation);
  ordered boolean := t.ordered_by IS NOT NULL;
BEGIN
  SELECT * INTO caller FROM aerofn_internal.causer();
  IF t.run_as <> 'causer' THEN
    SELECT t.run_as::name AS role, NULL::jsonb AS claims INTO caller;
  END IF;
  INSERT INTO aerofn_internal.events
    (function_id, trigger_id, source, operation, record, role, claims, max_attempts, priority, held, order_key, "position")
  SELECT t.function_id, t.id, 'row', 'INSERT', r, caller.role, caller.claims, t.max_attempts, -1, ordered,
         CASE WHEN ordered THEN aerofn_internal.order_key(t.id, columns, r) END,
         CASE WHEN ordered THEN nextval('aerofn_internal.event_positions') END
  FROM unnest(records) r;
  UPDATE aerofn_internal.backfills b
  SET last_key = coalesce(last, b.last_key), final_key = final, events = b.events + cardinality(records),
      updated_at = now(), finished_at = CASE WHEN finished THEN now() END
  WHERE b.trigger_id = t.id;
  PERFORM aerofn_internal.wake();
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.write_backfill FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn_internal.write_backfill TO aerofn_admin;

-- What a backfill asks of the table: chunk_of, a chunk's rows with their keys, after $1 and up to $2; last_of, the
-- last key of all.
CREATE OR REPLACE FUNCTION aerofn_internal.backfill_queries(
  t aerofn_internal.triggers, condition text, chunk int, OUT chunk_of text, OUT last_of text
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  k record;
BEGIN
  SELECT string_agg(format('new.%I', a.attname), ', ' ORDER BY i.n) AS columns,
         string_agg(format('new.%I DESC', a.attname), ', ' ORDER BY i.n) AS downwards,
         string_agg(format('new.%I::text', a.attname), ', ' ORDER BY i.n) AS texts,
         string_agg(format('($1[%s])::%s', i.n, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY i.n) AS after,
         string_agg(format('($2[%s])::%s', i.n, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY i.n) AS upto
  INTO k
  FROM pg_index p CROSS JOIN unnest(p.indkey) WITH ORDINALITY i (attnum, n)
  JOIN pg_attribute a ON a.attrelid = p.indrelid AND a.attnum = i.attnum
  WHERE p.indrelid = t.relation AND p.indisprimary;
  IF k.columns IS NULL THEN
    RAISE EXCEPTION 'table % has no primary key to go by', t.relation::regclass
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Add one: ALTER TABLE … ADD PRIMARY KEY (…).';
  END IF;
  last_of := format('SELECT ARRAY[%s] FROM %s new ORDER BY %s LIMIT 1', k.texts, t.relation::regclass, k.downwards);
  chunk_of := format(
    'WITH chunk AS MATERIALIZED (SELECT row_to_json(new.*) AS record, ARRAY[%s] AS key FROM %s new '
    'WHERE ($1 IS NULL OR (%s) > (%s)) AND ($2 IS NULL OR (%s) <= (%s)) %s %s ORDER BY %s LIMIT %s) '
    'SELECT ARRAY(SELECT record FROM chunk), '
    '(SELECT key FROM chunk OFFSET (SELECT greatest(pg_catalog.count(*) - 1, 0) FROM chunk) LIMIT 1)',
    k.texts, t.relation::regclass, k.columns, k.after, k.columns, k.upto,
    'AND (' || t.condition || E'\n)', 'AND (' || condition || E'\n)', k.columns, chunk);
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.backfill_queries FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn_internal.backfill_queries TO aerofn_admin;

-- One chunk, in the caller's transaction. condition: SQL over the table's columns, with the caller's rights.
CREATE OR REPLACE FUNCTION aerofn_internal.backfill_step(
  named text, condition text, chunk int, OUT events bigint, OUT expected bigint, OUT finished boolean
)
LANGUAGE plpgsql VOLATILE SET timezone = 'UTC' SET bytea_output = 'hex' SET intervalstyle = 'postgres' AS $$
DECLARE
  t aerofn_internal.triggers := aerofn_internal.the_trigger(named);
  b aerofn_internal.backfills;
  q record;
  records json[];
  last text[];
BEGIN
  IF t.kind <> 'row' OR NOT 'INSERT' = ANY (t.operations) OR pg_catalog.to_regclass(t.relation::regclass::text) IS NULL THEN
    RAISE EXCEPTION 'trigger % does not run for inserted rows of a table', pg_catalog.quote_literal(named)
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Rows that are there already come as if they were inserted.';
  ELSIF chunk IS NULL OR chunk NOT BETWEEN 1 AND 100000 THEN
    RAISE EXCEPTION 'chunk is %, outside 1 to 100000', coalesce(chunk::text, 'NULL')
      USING ERRCODE = 'invalid_parameter_value', HINT = 'It is the number of rows of one transaction.';
  END IF;
  SELECT * INTO q FROM aerofn_internal.backfill_queries(t, condition, chunk);
  b := aerofn_internal.open_backfill(t, condition);
  IF b.final_key IS NULL THEN
    EXECUTE q.last_of INTO b.final_key;
  END IF;
  EXECUTE q.chunk_of INTO records, last USING b.last_key, b.final_key;
  finished := pg_catalog.cardinality(records) < chunk;
  PERFORM aerofn_internal.write_backfill(t, records, last, b.final_key, finished);
  events := b.events + pg_catalog.cardinality(records);
  expected := b.expected;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.backfill_step FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn_internal.backfill_step TO aerofn_admin;

-- Events for the rows a row trigger's table has already, as if they were inserted now; "where" chooses among them.
-- Commits after each chunk of rows; broken off, it goes on where it was when it is called again.
CREATE OR REPLACE PROCEDURE aerofn.backfill("trigger" text, "where" text DEFAULT NULL, chunk int DEFAULT 1000)
LANGUAGE plpgsql AS $$
DECLARE
  finished boolean := false;
BEGIN
  WHILE NOT finished LOOP
    SELECT s.finished INTO finished FROM aerofn_internal.backfill_step("trigger", "where", chunk) s;
    COMMIT;
  END LOOP;
END $$;
REVOKE ALL ON PROCEDURE aerofn.backfill FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE aerofn.backfill TO aerofn_admin;

RESET ROLE;
