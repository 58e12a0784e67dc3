-- A victim application: what a careless but ordinary user database looks like. Roles as in Supabase and PostgREST.
DO $$ BEGIN
  CREATE ROLE app_owner NOLOGIN;
EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN
  CREATE ROLE authenticator LOGIN NOINHERIT; GRANT anon, authenticated, service_role TO authenticator;
EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ DECLARE e text; BEGIN
  FOR e IN SELECT name FROM pg_available_extensions WHERE name IN ('pg_stat_statements', 'dblink', 'tablefunc') LOOP
    EXECUTE 'CREATE EXTENSION ' || e;
  END LOOP;
  EXECUTE format('ALTER DATABASE %I SET app.jwt_secret = %L', current_database(), 'db-guc-secret');
END $$;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
GRANT CREATE ON SCHEMA public TO app_owner;
SET ROLE app_owner;
CREATE TABLE todos(id serial primary key, owner text not null, title text not null, code text);
ALTER TABLE todos ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON todos TO anon, authenticated USING (owner = current_setting('request.jwt.claims', true)::json->>'sub');
INSERT INTO todos(owner,title,code) VALUES ('victim','victim secret','999'),('victim','victim two','x'),('mallory','mine','5');
CREATE VIEW all_todos AS SELECT * FROM todos;                       -- no security_invoker: owner's view
CREATE VIEW my_todos AS SELECT * FROM todos WHERE owner = current_setting('request.jwt.claims', true)::json->>'sub'; -- no barrier
CREATE TABLE admins(sub text primary key);
INSERT INTO admins VALUES ('root');
CREATE FUNCTION admin_report() RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER AS $$
 BEGIN IF EXISTS(SELECT 1 FROM admins WHERE sub = current_setting('request.jwt.claims', true)::json->>'sub')
  THEN RETURN QUERY SELECT title FROM todos; END IF; END $$;        -- no SET search_path
CREATE FUNCTION safe_report() RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER SET search_path=pg_catalog,public,pg_temp AS $$
 BEGIN IF EXISTS(SELECT 1 FROM admins WHERE sub = current_setting('request.jwt.claims', true)::json->>'sub')
  THEN RETURN QUERY SELECT title FROM todos; END IF; END $$;
CREATE FUNCTION exec_sql(q text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE q; END $$;
CREATE FUNCTION run_sql(q text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE r text; BEGIN EXECUTE q INTO r; RETURN r; END $$;
CREATE TABLE accounts(id serial primary key, email text unique, owner text);
ALTER TABLE accounts ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON accounts USING (owner = current_setting('request.jwt.claims', true)::json->>'sub');
INSERT INTO accounts(email,owner) VALUES ('victim@x','victim');
CREATE TABLE comments(id serial primary key, todo_id int references todos(id), body text);
CREATE TABLE logs(id int, owner text, line text) PARTITION BY RANGE(id);
CREATE TABLE logs_p1 PARTITION OF logs FOR VALUES FROM (0) TO (1000);
ALTER TABLE logs ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON logs USING (owner = current_setting('request.jwt.claims', true)::json->>'sub');
INSERT INTO logs VALUES (1,'victim','victim log line');
CREATE MATERIALIZED VIEW todo_stats AS SELECT owner, count(*) FROM todos GROUP BY 1;
CREATE TABLE orders(id serial primary key, n int);
CREATE TABLE audit(at timestamptz default clock_timestamp(), who text, claims text);
CREATE FUNCTION ord_trg() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO audit(who,claims) VALUES (current_user, current_setting('request.jwt.claims', true));
  IF NEW.n > 0 THEN PERFORM pg_sleep(NEW.n); END IF; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER ord_d AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ord_trg();
CREATE TABLE shared(id int primary key, v text); INSERT INTO shared VALUES (1,'');
GRANT ALL ON ALL TABLES IN SCHEMA public TO authenticated, service_role;     -- supabase-style broad grants
REVOKE ALL ON admins FROM authenticated;
GRANT SELECT ON todos TO anon;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO anon, authenticated, service_role;
GRANT INSERT ON audit TO PUBLIC;
RESET ROLE;
DO $$ BEGIN GRANT ALL ON pg_stat_statements TO PUBLIC; EXCEPTION WHEN undefined_table THEN NULL; END $$;

-- A table whose policy uses the verified claims.
SET ROLE app_owner;
CREATE TABLE notes(id serial primary key, owner text, body text);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON notes USING (owner = (SELECT auth.uid()));
INSERT INTO notes(owner,body) VALUES ('victim','victim signed note'),('mallory','m');
GRANT ALL ON notes, notes_id_seq TO authenticated, service_role;
RESET ROLE;
ANALYZE;
