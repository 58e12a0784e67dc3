-- What the demo runs on its database. Statements that people see are shown exactly as they stand here;
-- {wasm} is a parameter when they run, and psql's decode(:'wasm', 'base64') when they are shown.

-- name: in_use
-- Another demo, or a service, that works on this database now.
SELECT EXISTS (SELECT FROM aerofn_internal.live_nodes())

-- name: reset
-- The demo's own tables as they are at the beginning; what else was made in this database stays. As replica:
-- no trigger that somebody tried out on these tables takes this for work.
SET LOCAL session_replication_role = replica;
CREATE TABLE IF NOT EXISTS products (
  id int PRIMARY KEY, name text NOT NULL, stock int NOT NULL CHECK (stock >= 0));
CREATE TABLE IF NOT EXISTS orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  product_id int NOT NULL REFERENCES products, quantity int NOT NULL);
SELECT aerofn.drop_trigger(t.name) FROM aerofn.triggers t WHERE t.name = 'reduce-stock_on_orders';
DELETE FROM aerofn_internal.events e USING aerofn_internal.functions f
WHERE f.id = e.function_id AND f.name = 'reduce-stock';
DELETE FROM orders;
ALTER TABLE orders ALTER id RESTART;
INSERT INTO products VALUES (1, 'Espresso cup', 40), (2, 'Teapot', 12), (3, 'Milk jug', 3)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, stock = excluded.stock;
REVOKE ALL ON products, orders FROM anon, authenticated, service_role

-- name: register
SELECT aerofn.register_function('reduce-stock', {wasm})

-- name: grant
GRANT SELECT, UPDATE ON products TO service_role, authenticated

-- name: attach
SELECT aerofn.create_row_trigger('reduce-stock', 'orders', '{INSERT}', run_as => 'service_role')

-- name: order
INSERT INTO orders (product_id, quantity) VALUES (1, 2), (2, 1), (3, 5)

-- name: order_again
INSERT INTO orders (product_id, quantity) VALUES (2, 1)

-- name: products
SELECT id, name, stock FROM products WHERE id <= 3 ORDER BY id

-- name: dead
SELECT id, errors FROM aerofn.events WHERE state = 'dead' AND function = 'reduce-stock'
ORDER BY id LIMIT 1
