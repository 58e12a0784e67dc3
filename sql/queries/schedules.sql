-- Schedules as nodes see them (aerofn/db/schedules.py). The time is the database's own.

-- name: look
-- $1 most rows. Those with a tick that is due, and those whose next one nobody has computed yet.
SELECT aerofn_internal.clock() AS now, s.trigger_id AS id, s.revision, s.fields, s.either_day, s.timezone, s.missed,
       s.decided_until, s.next_at
FROM aerofn_internal.schedules s JOIN aerofn_internal.triggers t ON t.id = s.trigger_id
WHERE t.enabled AND s.error IS NULL AND (s.next_at IS NULL OR s.next_at <= aerofn_internal.clock())
ORDER BY s.trigger_id LIMIT $1

-- name: next
-- Seconds until the next tick of all; null when none is known.
SELECT extract(epoch FROM min(s.next_at) - aerofn_internal.clock())::float8
FROM aerofn_internal.schedules s JOIN aerofn_internal.triggers t ON t.id = s.trigger_id
WHERE t.enabled AND s.error IS NULL

-- name: decide
-- $1 what was decided, as JSON
SELECT aerofn_internal.decide_ticks($1)
