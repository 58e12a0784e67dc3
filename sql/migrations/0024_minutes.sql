-- Invocations counted by minute, so that figures of an hour need not look at every record of it.
-- No node need be gone: it is a trigger that counts, and so what nodes of the version before record is counted too.
SET LOCAL ROLE aerofn_owner;

-- A row for each function, minute, outcome and bucket of durations: all of them can be added up.
CREATE TABLE aerofn_internal.invocation_minutes (
  function text NOT NULL,
  minute timestamptz NOT NULL,
  status text NOT NULL,
  bucket smallint NOT NULL,
  invocations int NOT NULL,
  memory_peak_mb double precision,
  last_at timestamptz NOT NULL,
  PRIMARY KEY (function, minute, status, bucket)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX invocation_minutes_minute ON aerofn_internal.invocation_minutes (minute);
COMMENT ON TABLE aerofn_internal.invocation_minutes IS 'kept for two hours; see aerofn_internal.duration_bucket()';

-- Durations by size: each bucket ends 10 % above the one before; the first ends at 0.01 ms, the last at eleven days.
CREATE FUNCTION aerofn_internal.duration_bucket(ms double precision) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT pg_catalog.ceil(pg_catalog.ln(greatest(least(ms, 1e9::double precision), 0.01) / 0.01) / 0.0953101798043249)::smallint
$$;
-- The duration that stands for a bucket's: its geometric mean, at most 4.9 % from any of them.
CREATE FUNCTION aerofn_internal.bucket_duration(bucket smallint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT 0.01 * pg_catalog.exp((bucket - 0.5) * 0.0953101798043249)
$$;

-- Counts the records that a statement has written, in its transaction: a record that is there is counted, once. Rows in
-- the order of their keys, so that nodes which write at the same time wait for each other and never in a circle.
CREATE FUNCTION aerofn_internal.count_invocations() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO aerofn_internal.invocation_minutes AS m
  SELECT r.function, date_bin('1 minute', r."timestamp", 'epoch') AS minute, r.status,
         aerofn_internal.duration_bucket(r.duration_ms) AS bucket, count(*), max(r.memory_peak_mb), max(r."timestamp")
  FROM written r GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
  ON CONFLICT (function, minute, status, bucket) DO UPDATE
  SET invocations = m.invocations + excluded.invocations,
      memory_peak_mb = greatest(m.memory_peak_mb, excluded.memory_peak_mb),
      last_at = greatest(m.last_at, excluded.last_at);
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.count_invocations() FROM PUBLIC;

-- Its lock waits for what is being written and lets nothing in until this migration's end: the last two hours are
-- counted here, everything after by the trigger.
CREATE TRIGGER count_invocations AFTER INSERT ON aerofn_internal.invocations REFERENCING NEW TABLE AS written
  FOR EACH STATEMENT EXECUTE FUNCTION aerofn_internal.count_invocations();
INSERT INTO aerofn_internal.invocation_minutes
SELECT r.function, date_bin('1 minute', r."timestamp", 'epoch'), r.status, aerofn_internal.duration_bucket(r.duration_ms),
       count(*), max(r.memory_peak_mb), max(r."timestamp")
FROM aerofn_internal.invocations r WHERE r."timestamp" > now() - interval '2 hours' GROUP BY 1, 2, 3, 4;

RESET ROLE;
