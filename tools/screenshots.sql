-- The stage of the pictures in docs/: a shop with a few functions and a busy hour (tools/screenshots.py).

-- name: shop
CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL, stock int NOT NULL CHECK (stock >= 0));
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, product_id int NOT NULL, quantity int NOT NULL);
CREATE TABLE payments (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, product_id int NOT NULL, quantity int NOT NULL);
INSERT INTO products VALUES (1, 'Espresso cup', 400), (2, 'Teapot', 120), (3, 'Milk jug', 3);
GRANT SELECT, UPDATE ON products TO service_role

-- name: register
SELECT aerofn.register_function(name => $1, wasm => $2)

-- name: attach
SELECT aerofn.create_row_trigger('reduce-stock', 'public.orders', '{INSERT}', run_as => 'service_role', max_attempts => 1);
SELECT aerofn.create_row_trigger('send-receipt', 'public.payments', '{INSERT}', run_as => 'service_role', max_attempts => 1);
SELECT aerofn.create_webhook('stripe-events', 'stripe', '{STRIPE_SIGNING_SECRET}', run_as => 'service_role');
SELECT aerofn.create_schedule('daily-report', '0 8 * * *', 'Europe/Berlin', run_as => 'service_role');
SELECT aerofn.create_schedule('sync-inventory', '*/15 * * * *', run_as => 'service_role')

-- name: order
INSERT INTO orders (product_id, quantity) VALUES (1, 2), (2, 1), (3, 5), (1, 1), (3, 4), (3, 9);
INSERT INTO payments (product_id, quantity) VALUES (1, 1), (3, 7)

-- name: settled
SELECT count(*) FROM aerofn.events WHERE state IN ('pending', 'running')

-- name: compiled
SELECT count(*) FROM aerofn.functions WHERE active_version IS NULL

-- name: compiling
SELECT count(*) FROM aerofn.functions WHERE active_version < newest_version

-- name: busy_hour
-- Records as a busy hour would have left them: the same every time.
SELECT setseed(0.42);
INSERT INTO aerofn_internal.invocations
  (id, function, version, "trigger", attempt, status, duration_ms, cpu_ms, memory_peak_mb, queries, user_id, role, error, logs, "timestamp")
SELECT gen_random_uuid(), f.name, f.version, f.source, 1, CASE WHEN bad THEN f.failure ELSE 'success' END,
       f.ms * exp(0.5 * (random() + random() + random() - 1.5)) * CASE WHEN random() < 0.03 THEN 6 ELSE 1 END,
       f.ms * 0.2, f.mb * (0.9 + 0.2 * random()), f.queries,
       CASE WHEN f.source = 'http' THEN 'user-' || (random() * 900)::int END,
       CASE WHEN f.source = 'http' THEN 'authenticated' ELSE 'service_role' END,
       CASE WHEN bad THEN jsonb_build_object('code', f.failure, 'message', f.message) END, '[]',
       now() - interval '1 minute' * abs(60 * at - 1.7 * f.calm * sin(13 * at))
FROM (VALUES
  ('reduce-stock', 3, 'row', 3.1, 1.6, 2, 2600, 0.006, 'function_error', 'order wants more than is left', 1.0),
  ('send-receipt', 2, 'row', 48, 2.4, 1, 640, 0.02, 'timeout', 'it ran longer than 10000 ms', 0.4),
  ('search-catalog', 7, 'http', 9.4, 3.2, 1, 3900, 0.001, 'function_error', 'the search has no words', 1.6),
  ('stripe-events', 4, 'webhook', 14, 2.1, 3, 210, 0.0, 'trap', '', 0.1),
  ('sync-inventory', 1, 'schedule', 870, 9.8, 41, 4, 0.0, 'trap', '', 0.0)
) f (name, version, source, ms, mb, queries, runs, share, failure, message, calm),
generate_series(1, f.runs) run, LATERAL (SELECT random() < f.share AND run > 0 AS bad, CASE WHEN run > 0 THEN random() END AS at) b
