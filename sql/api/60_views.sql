-- What is registered, waiting and done, for members of aerofn_admin.
SET LOCAL ROLE aerofn_owner;

CREATE OR REPLACE VIEW aerofn.versions AS
SELECT f.name AS function, v.number AS version, v.status::text AS status, f.active_version = v.id AS active,
       encode(v.digest, 'hex') AS digest, length(c.wasm) AS size, v.timeout_ms, v.memory_mb, v.env, v.hosts,
       v.roles, v.run_as, v.author, v.created_at, v.error, v.max_concurrency, v.rate_limit
FROM aerofn_internal.versions v
JOIN aerofn_internal.functions f ON f.id = v.function_id
JOIN aerofn_internal.components c ON c.digest = v.digest;

-- status and error are those of the newest version; active_version is the one that runs.
CREATE OR REPLACE VIEW aerofn.functions AS
SELECT f.name, newest.status::text AS status, a.number AS active_version, newest.number AS newest_version,
       newest.error ->> 'message' AS error, newest.error ->> 'hint' AS hint,
       coalesce(a.timeout_ms, newest.timeout_ms) AS timeout_ms, coalesce(a.memory_mb, newest.memory_mb) AS memory_mb,
       coalesce(a.roles, newest.roles) AS roles, coalesce(a.run_as, newest.run_as) AS run_as,
       f.created_at, newest.created_at AS updated_at,
       CASE WHEN a.id IS NULL THEN newest.max_concurrency ELSE a.max_concurrency END AS max_concurrency,
       CASE WHEN a.id IS NULL THEN newest.rate_limit ELSE a.rate_limit END AS rate_limit
FROM aerofn_internal.functions f
JOIN LATERAL (SELECT * FROM aerofn_internal.versions v WHERE v.function_id = f.id
              ORDER BY v.number DESC LIMIT 1) newest ON true
LEFT JOIN aerofn_internal.versions a ON a.id = f.active_version;

CREATE OR REPLACE VIEW aerofn.triggers AS
SELECT t.name, t.kind, f.name AS function, coalesce(n.nspname, t.schema_name) AS "schema",
       coalesce(c.relname, t.table_name) AS "table", t.operations AS events, t.condition AS "when", t.columns,
       t.run_as, t.max_attempts, t.enabled AND (t.kind <> 'row' OR c.oid IS NOT NULL) AS enabled,
       t.created_by, t.created_at, t.ordered_by, t.batch_size, s.cron, s.timezone, s.missed, s.payload,
       CASE WHEN t.enabled THEN s.next_at END AS next_at, s.error ->> 'message' AS error,
       w.scheme, w.secrets, w.header, w.encoding, w.prefix, w.id_from, w.tolerance_s, w.max_kb
FROM aerofn_internal.triggers t
LEFT JOIN aerofn_internal.schedules s ON s.trigger_id = t.id
LEFT JOIN aerofn_internal.webhooks w ON w.trigger_id = t.id
JOIN aerofn_internal.functions f ON f.id = t.function_id
LEFT JOIN pg_class c ON c.oid = t.relation
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace;

CREATE OR REPLACE VIEW aerofn.events AS
SELECT e.id, f.name AS function, t.name AS "trigger", e.source, e.state, e.priority, e.attempt,
       e.max_attempts, e.depth, e.run_at, e.created_at, e.lease_until, e.node, e.role, e.claims,
       e.operation, e.record, e.old_record, e.payload, e.dedup_key, e.errors, e.traceparent, e.tracestate
FROM (
  SELECT p.id, p.function_id, p.trigger_id, p.source, p.state::text AS state, p.priority, p.attempt, p.max_attempts,
         p.depth, p.run_at, p.created_at, p.lease_until, p.leased_by AS node, p.role, p.claims, p.operation, p.record,
         p.old_record, p.payload, p.dedup_key, p.errors, p.traceparent, p.tracestate
  FROM aerofn_internal.events p
  UNION ALL
  SELECT d.id, d.function_id, d.trigger_id, d.source, 'done', d.priority, d.attempt, d.max_attempts, d.depth, d.run_at,
         d.created_at, NULL, d.node, d.role, d.claims, d.operation, d.record, d.old_record, d.payload, d.dedup_key,
         d.errors, d.traceparent, d.tracestate
  FROM aerofn_internal.done_events d) e
LEFT JOIN aerofn_internal.functions f ON f.id = e.function_id
LEFT JOIN aerofn_internal.triggers t ON t.id = e.trigger_id;

-- The ids of the newest events in a state (null: in any), of a function, of a trigger, before an id: at least the `most`
-- newest of them. The states stand in the texts, and the values are planned with: dead events are found by an index of
-- their own while a million others wait.
CREATE OR REPLACE FUNCTION aerofn_internal.listed_events(
  wanted text, of_function text, of_trigger text, before bigint, most int) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  function_id int := (SELECT f.id FROM aerofn_internal.functions f WHERE f.name = of_function);
  trigger_id int := (SELECT t.id FROM aerofn_internal.triggers t WHERE t.name = of_trigger);
  part text;
BEGIN
  IF (of_function IS NULL) <> (function_id IS NULL) OR (of_trigger IS NULL) <> (trigger_id IS NULL) THEN
    RETURN;
  END IF;
  FOREACH part IN ARRAY ARRAY['pending', 'running', 'dead', 'cancelled', 'done'] LOOP
    IF part = coalesce(wanted, part) THEN
      RETURN QUERY EXECUTE format(
        'SELECT e.id FROM aerofn_internal.%s WHERE e.id < $1 %s %s ORDER BY e.id DESC LIMIT $4',
        CASE part WHEN 'done' THEN 'done_events e' ELSE 'events e' END,
        CASE WHEN part <> 'done' THEN format('AND e.state = %L', part) END,
        concat(CASE WHEN of_function IS NOT NULL THEN 'AND e.function_id = $2 ' END,
               CASE WHEN of_trigger IS NOT NULL THEN 'AND e.trigger_id = $3' END))
      USING coalesce(before, 9223372036854775807), function_id, trigger_id, most;
    END IF;
  END LOOP;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.listed_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn_internal.listed_events TO aerofn_admin;

CREATE OR REPLACE VIEW aerofn.deliveries AS
SELECT t.name AS "trigger", d.sender_id, d.event_id, d.received_at
FROM aerofn_internal.deliveries d JOIN aerofn_internal.triggers t ON t.id = d.trigger_id;

CREATE OR REPLACE VIEW aerofn.backfills AS
SELECT t.name AS "trigger", b.condition AS "where", b.events, b.expected, b.finished_at IS NOT NULL AS finished,
       b.started_at, b.updated_at, b.finished_at
FROM aerofn_internal.backfills b JOIN aerofn_internal.triggers t ON t.id = b.trigger_id;

CREATE OR REPLACE VIEW aerofn.invocations AS
SELECT id, function, version, "trigger", event_id, attempt, status, duration_ms, cpu_ms, memory_peak_mb, queries,
       user_id, role, error, logs, "timestamp", bytes_in, bytes_out, host_calls, trace_id
FROM aerofn_internal.invocations;

-- The last 60 minutes, this one included, per function. Durations in milliseconds, the percentiles to 4.9 %.
CREATE OR REPLACE VIEW aerofn.metrics AS
SELECT h.function, max(h.upto)::bigint AS invocations, (sum(h.failures))::bigint AS failures,
       aerofn_internal.bucket_duration(min(h.bucket) FILTER (WHERE h.upto >= 0.5 * h.number)) AS p50_ms,
       aerofn_internal.bucket_duration(min(h.bucket) FILTER (WHERE h.upto >= 0.95 * h.number)) AS p95_ms,
       aerofn_internal.bucket_duration(min(h.bucket) FILTER (WHERE h.upto >= 0.99 * h.number)) AS p99_ms,
       max(h.memory_peak_mb) AS memory_peak_mb, max(h.last_at) AS last_at
FROM (
  SELECT m.function, m.bucket, sum(sum(m.invocations)) OVER (PARTITION BY m.function ORDER BY m.bucket) AS upto,
         sum(sum(m.invocations)) OVER (PARTITION BY m.function) AS number,
         coalesce(sum(m.invocations) FILTER (WHERE m.status <> 'success'), 0) AS failures,
         max(m.memory_peak_mb) AS memory_peak_mb, max(m.last_at) AS last_at
  FROM aerofn_internal.invocation_minutes m
  WHERE m.minute > now() - interval '1 hour' GROUP BY m.function, m.bucket
) h GROUP BY h.function;

GRANT USAGE ON SCHEMA aerofn TO aerofn_admin;
GRANT SELECT ON aerofn.versions, aerofn.functions, aerofn.triggers, aerofn.events, aerofn.deliveries, aerofn.backfills,
                aerofn.invocations, aerofn.metrics TO aerofn_admin;
GRANT USAGE ON SCHEMA aerofn_internal TO aerofn_admin;

RESET ROLE;
