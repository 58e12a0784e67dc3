-- The roles AeroFn works with and the schemas they own. Roles belong to the whole server, so another
-- database on it may have made them already.
DO $$
DECLARE
  r text;
BEGIN
  FOREACH r IN ARRAY ARRAY['aerofn_owner', 'aerofn_auth', 'aerofn_admin'] LOOP
    IF to_regrole(r) IS NULL THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', r);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;  -- another database's migration was quicker
      END;
    END IF;
    IF NOT pg_has_role(current_user, r, 'USAGE') THEN
      EXECUTE format('GRANT %I TO CURRENT_USER', r);
    END IF;
  END LOOP;
END $$;
COMMENT ON ROLE aerofn_owner IS 'Owns AeroFn''s tables and functions; nobody logs in as it';
COMMENT ON ROLE aerofn_auth IS 'Owns the key that signs callers'' claims; nobody logs in as it';
COMMENT ON ROLE aerofn_admin IS 'Members may register functions and triggers';

ALTER SCHEMA aerofn_internal OWNER TO aerofn_owner;
ALTER TABLE aerofn_internal.schema_migrations OWNER TO aerofn_owner;
CREATE SCHEMA aerofn AUTHORIZATION aerofn_owner;
CREATE SCHEMA aerofn_run AUTHORIZATION aerofn_owner;
CREATE SCHEMA aerofn_auth AUTHORIZATION aerofn_auth;
COMMENT ON SCHEMA aerofn IS 'AeroFn: functions for your Postgres (public API)';
COMMENT ON SCHEMA aerofn_internal IS 'AeroFn: tables of the service';
COMMENT ON SCHEMA aerofn_run IS 'AeroFn: one sealed executor per database role';
COMMENT ON SCHEMA aerofn_auth IS 'AeroFn: signing of callers'' claims';

SET LOCAL ROLE aerofn_owner;

-- A login per exposed role, and one for the service itself ('aerofn_service').
CREATE TABLE aerofn_internal.logins (
  role name PRIMARY KEY,
  login name NOT NULL UNIQUE,
  password text NOT NULL,
  seal text
);
COMMENT ON COLUMN aerofn_internal.logins.seal IS 'Which rows of pg_proc its executor is: an altered one is noticed before COMMIT';

-- One row: what SQL must know of the service's settings.
CREATE TABLE aerofn_internal.settings (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  anon_role name NOT NULL,
  max_depth int NOT NULL DEFAULT 16
);

-- What hardening took from PUBLIC, and whom it left it to: enough to give it back.
CREATE TABLE aerofn_internal.hardening (
  object text NOT NULL,
  privilege text NOT NULL,
  keepers name[] NOT NULL,
  done_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (object, privilege)
);

RESET ROLE;
