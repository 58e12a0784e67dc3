-- Comparing a database with an aerofn.toml and making it as declared (aerofn/cli/apply), as a member of aerofn_admin.
-- Options travel as one JSON object, its keys named as the arguments of aerofn's SQL functions.

-- name: lock
SELECT pg_advisory_xact_lock(hashtextextended('aerofn apply', 0))

-- name: functions
-- Of each function's newest version. "version" says whether it is the one that runs.
SELECT DISTINCT ON (v.function) v.function AS name, v.author AS by, json_build_object(
         'component', v.digest, 'timeout_ms', v.timeout_ms, 'memory_mb', v.memory_mb, 'env', v.env,
         'hosts', v.hosts, 'roles', v.roles, 'run_as', v.run_as, 'max_concurrency', v.max_concurrency,
         'rate_limit', v.rate_limit,
         'version', CASE WHEN v.active OR v.status = 'compiling' THEN 'newest' WHEN v.status = 'failed' THEN 'failed'
                         ELSE format('rolled back from %s', v.version) END) AS options
FROM aerofn.versions v ORDER BY v.function, v.version DESC

-- name: row_triggers
SELECT t.name, t.created_by AS by, json_build_object(
         'function', t.function, 'table', format('%I.%I', t."schema", t."table"),
         'events', ARRAY(SELECT e FROM unnest(t.events) e ORDER BY e), 'run_as', t.run_as, 'when', t."when",
         'columns', t.columns, 'max_attempts', t.max_attempts, 'ordered_by', t.ordered_by,
         'batch_size', t.batch_size, 'enabled', t.enabled) AS options
FROM aerofn.triggers t WHERE t.kind = 'row'

-- name: schedules
SELECT t.name, t.created_by AS by, json_build_object(
         'function', t.function, 'cron', t.cron, 'timezone', t.timezone, 'missed', t.missed, 'payload', t.payload,
         'run_as', t.run_as, 'max_attempts', t.max_attempts, 'enabled', t.enabled) AS options
FROM aerofn.triggers t WHERE t.kind = 'schedule'

-- name: webhooks
SELECT t.name, t.created_by AS by, json_build_object(
         'function', t.function, 'scheme', t.scheme, 'secrets', t.secrets, 'header', t.header, 'encoding', t.encoding,
         'prefix', t.prefix, 'id_from', t.id_from, 'tolerance_s', t.tolerance_s, 'max_kb', t.max_kb,
         'run_as', t.run_as, 'max_attempts', t.max_attempts, 'enabled', t.enabled) AS options
FROM aerofn.triggers t WHERE t.kind = 'webhook'

-- name: table_name
-- $1 a table as the author wrote it; answers it with its schema, or as it was when there is none
SELECT coalesce((SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.oid = to_regclass($1)), $1)

-- name: register
-- $1 name, $2 component, $3 options
SELECT aerofn.register_function(
  name => $1, wasm => $2, timeout_ms => o.timeout_ms, memory_mb => o.memory_mb, env => o.env, hosts => o.hosts,
  roles => o.roles, run_as => o.run_as, max_concurrency => o.max_concurrency, rate_limit => o.rate_limit)
FROM jsonb_to_record($3) o (timeout_ms int, memory_mb int, env text[], hosts text[], roles text[], run_as text,
                            max_concurrency int, rate_limit text)

-- name: activate
-- $1 function, $2 version: which had been rolled back from; one that is still compiling becomes active by itself
SELECT aerofn.activate_version(v.function, v.version) FROM aerofn.versions v
WHERE v.function = $1 AND v.version = $2 AND v.status = 'ready' AND NOT v.active

-- name: create_row_trigger
-- $1 name, $2 options
SELECT aerofn.create_row_trigger(
  name => $1, function => o.function, "table" => o."table", events => o.events, run_as => o.run_as, "when" => o."when",
  columns => o.columns, max_attempts => o.max_attempts, ordered_by => o.ordered_by,
  batch_size => o.batch_size)
FROM jsonb_to_record($2) o (function text, "table" text, events text[], run_as text, "when" text, columns text[],
                            max_attempts int, ordered_by text, batch_size int)

-- name: create_schedule
-- $1 name, $2 options
SELECT aerofn.create_schedule(
  name => $1, function => o.function, cron => o.cron, timezone => o.timezone, missed => o.missed, payload => o.payload,
  run_as => o.run_as, max_attempts => o.max_attempts)
FROM jsonb_to_record($2) o (function text, cron text, timezone text, missed text, payload jsonb, run_as text,
                            max_attempts int)

-- name: create_webhook
-- $1 name, $2 options
SELECT aerofn.create_webhook(
  name => $1, function => o.function, scheme => o.scheme, secrets => o.secrets, header => o.header,
  encoding => o.encoding, prefix => o.prefix, id_from => o.id_from, tolerance_s => o.tolerance_s, max_kb => o.max_kb,
  run_as => o.run_as, max_attempts => o.max_attempts)
FROM jsonb_to_record($2) o (function text, scheme text, secrets text[], header text, encoding text, prefix text,
                            id_from text, tolerance_s int, max_kb int, run_as text, max_attempts int)

-- name: disable_trigger
SELECT aerofn.disable_trigger($1)

-- name: drop_trigger
SELECT aerofn.drop_trigger($1)

-- name: drop_function
SELECT aerofn.drop_function($1)
