-- Triggers as HTTP and the command line show and change them (aerofn/db/triggers.py, aerofn/cli/triggers.py).

-- name: all
SELECT name, kind, function, "schema", "table", events, "when", columns, cron, timezone, missed, payload,
       next_at, error, scheme, secrets, header, encoding, prefix, id_from, tolerance_s, max_kb, run_as,
       max_attempts, ordered_by, batch_size, enabled, created_by, created_at
FROM aerofn.triggers ORDER BY name

-- name: some
-- $1 kind, $2 only names after this one, $3 most rows
SELECT t.name, t.kind, t.function, t."schema", t."table", t.events, t."when", t.columns, t.cron, t.timezone, t.missed,
       t.payload, t.next_at, t.error, t.scheme, t.secrets, t.header, t.encoding, t.prefix, t.id_from, t.tolerance_s,
       t.max_kb, t.run_as, t.max_attempts, t.ordered_by, t.batch_size, t.enabled, t.created_by, t.created_at,
       s.fields, s.either_day
FROM aerofn.triggers t
JOIN aerofn_internal.triggers i ON i.name = t.name
LEFT JOIN aerofn_internal.schedules s ON s.trigger_id = i.id
WHERE t.kind = $1 AND t.name > $2 ORDER BY t.name LIMIT $3

-- name: of_function
-- $1 function, $2 most rows
SELECT name, kind, function, "schema", "table", events, "when", columns, cron, timezone, missed, payload,
       next_at, error, scheme, secrets, header, encoding, prefix, id_from, tolerance_s, max_kb, run_as,
       max_attempts, ordered_by, batch_size, enabled, created_by, created_at
FROM aerofn.triggers WHERE function = $1 ORDER BY name LIMIT $2

-- name: times
-- $1 name. What the times of a schedule are computed from; nothing of another trigger.
SELECT s.fields, s.either_day, s.timezone
FROM aerofn_internal.schedules s JOIN aerofn_internal.triggers t ON t.id = s.trigger_id WHERE t.name = $1

-- name: create_schedule
SELECT aerofn.create_schedule(
  function => $1, cron => $2, timezone => $3, name => $4, missed => $5, payload => $6, run_as => $7, max_attempts => $8)

-- name: create_webhook
SELECT aerofn.create_webhook(
  function => $1, scheme => $2, secrets => $3, name => $4, header => $5, encoding => $6, prefix => $7, id_from => $8,
  tolerance_s => $9, max_kb => $10, run_as => $11, max_attempts => $12)

-- name: enable
SELECT aerofn.enable_trigger($1)

-- name: disable
SELECT aerofn.disable_trigger($1)

-- name: drop
SELECT aerofn.drop_trigger($1)
