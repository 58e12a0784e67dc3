-- The soak's own statements (bench/soak).

-- name: register
-- $1 name, $2 component, $3 milliseconds, $4 hosts, $5 mebibytes
SELECT aerofn.register_function($1, $2, timeout_ms => $3, hosts => $4, memory_mb => $5)

-- name: attach
SELECT aerofn.create_row_trigger('ledger', 'orders', '{INSERT}', run_as => 'service_role', max_attempts => 100),
       aerofn.create_row_trigger('ledger', 'accounts', '{UPDATE}', run_as => 'service_role', max_attempts => 100,
                                 ordered_by => 'row'),
       aerofn.create_webhook('ledger', 'standard', '{SOAK}', name => 'deliveries', run_as => 'service_role',
                             max_attempts => 100)

-- name: schedule
SELECT aerofn.create_schedule('ledger', '* * * * * *', name => n, run_as => 'service_role', max_attempts => 100)
FROM unnest('{tick,tock}'::text[]) n

-- name: unschedule
SELECT aerofn.disable_trigger(n) FROM unnest('{tick,tock}'::text[]) n

-- name: secret
SELECT aerofn.set_secret('SOAK', $1)

-- name: insert_orders
-- $1 ids
INSERT INTO orders (id) SELECT unnest($1::bigint[])

-- name: change_account
UPDATE accounts SET n = n + 1 WHERE id = $1

-- name: ask
-- $1 a key, $2 the payload, $3 attempts: the event exists if and only if the row of its key does
WITH asked AS (INSERT INTO asked (key) VALUES ($1) RETURNING key)
SELECT aerofn.invoke('ledger', $2::jsonb, run_as => 'service_role', max_attempts => $3) FROM asked

-- name: ask_hostile
SELECT aerofn.invoke('hostile', $1::jsonb, run_as => 'anon', max_attempts => 2)

-- name: cut
-- $1 a seed
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity, setseed($1)
WHERE application_name LIKE 'aerofn%' AND random() < 0.5

-- name: old_versions
-- $1 how many of the newest stay
SELECT version FROM aerofn.versions WHERE function = 'ledger' AND NOT active ORDER BY version DESC OFFSET $1

-- name: other_ready_versions
SELECT version FROM aerofn.versions WHERE function = 'ledger' AND status = 'ready' AND NOT active ORDER BY version DESC LIMIT 3

-- name: unsettled
-- Of whatever is not given up.
SELECT function, source, state, count(*) AS number, min(run_at)::text AS first, min(errors::text) AS errors
FROM aerofn.events WHERE state <> 'dead' GROUP BY 1, 2, 3

-- name: dead
SELECT function, source, count(*) AS number, min(errors::text) AS errors
FROM aerofn.events WHERE state = 'dead' GROUP BY 1, 2

-- name: effects
SELECT kind, key, started FROM effects ORDER BY seq

-- name: orders
SELECT id FROM orders

-- name: asked
SELECT key FROM asked

-- name: accounts
SELECT id, n FROM accounts

-- name: progress
SELECT last_value FROM effects_seq_seq

-- name: sizes
-- Of what grows while AeroFn works: bytes with indexes, rows, and rows that vacuum has not yet taken away.
SELECT s.relname AS name, pg_total_relation_size(s.relid) AS bytes, s.n_live_tup AS rows, s.n_dead_tup AS dead
FROM pg_stat_all_tables s
WHERE s.schemaname = 'aerofn_internal' AND (s.relname IN ('events', 'results', 'deliveries') OR s.relname LIKE 'invocations_%')

-- name: records
-- `counted`: what figures are made of; a soak is shorter than they are kept.
SELECT count(*) AS number, count(DISTINCT id) AS different,
       (SELECT coalesce(sum(m.invocations), 0)::bigint FROM aerofn_internal.invocation_minutes m) AS counted
FROM aerofn.invocations
