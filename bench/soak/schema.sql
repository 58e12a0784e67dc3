-- What the soak writes, and what its functions write about it.
CREATE TABLE orders (id bigint PRIMARY KEY, made_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE accounts (id int PRIMARY KEY, n int NOT NULL);
INSERT INTO accounts SELECT i, 0 FROM generate_series(1, 8) i;
CREATE TABLE asked (key text PRIMARY KEY);
-- No unique key: what runs twice must be seen twice.
CREATE TABLE effects (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text NOT NULL, key text NOT NULL, started float8 NOT NULL);
GRANT INSERT ON effects TO service_role;
CREATE ROLE stranger LOGIN PASSWORD 'stranger';
