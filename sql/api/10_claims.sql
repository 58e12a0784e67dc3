-- Callers' claims that cannot be forged: signed inside PostgreSQL when an invocation begins, bound to the
-- backend, the transaction and the login, and checked whenever a policy asks for them.
SET LOCAL ROLE aerofn_auth;

CREATE OR REPLACE FUNCTION aerofn_auth.mac(doc text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT encode(sha256(k.opad || sha256(k.ipad || convert_to(
      pg_backend_pid()::text || ':'
      || (extract(epoch FROM transaction_timestamp()) * 1000000)::bigint::text || ':'
      || session_user || ':' || doc, 'UTF8'))), 'hex')
  FROM aerofn_auth.claim_keys k WHERE k.kid = 1
$$;
REVOKE ALL ON FUNCTION aerofn_auth.mac(text) FROM PUBLIC;

-- doc: {"role", "claims", "depth"}. Executable by the function logins only; guests run as another role.
CREATE OR REPLACE FUNCTION aerofn_auth.begin_invocation(doc text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT set_config('aerofn.signed', doc, true), set_config('aerofn.mac', aerofn_auth.mac(doc), true),
         set_config('aerofn.depth', doc::jsonb ->> 'depth', true), setseed(random() * 2 - 1)
$$;
REVOKE ALL ON FUNCTION aerofn_auth.begin_invocation(text) FROM PUBLIC;

-- The signed document of this invocation; null outside one. Raises 28000 when it was tampered with.
CREATE OR REPLACE FUNCTION aerofn_auth.signed() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  doc text := current_setting('aerofn.signed', true);
  mac text := current_setting('aerofn.mac', true);
BEGIN
  IF coalesce(doc, '') = '' OR mac IS NULL THEN
    RETURN NULL;
  END IF;
  IF aerofn_auth.mac(doc) IS DISTINCT FROM mac THEN
    RAISE EXCEPTION 'the claims of this invocation were tampered with' USING ERRCODE = '28000';
  END IF;
  RETURN doc::jsonb;
END $$;
REVOKE ALL ON FUNCTION aerofn_auth.signed() FROM PUBLIC;

GRANT USAGE ON SCHEMA aerofn_auth TO aerofn_owner;
GRANT EXECUTE ON FUNCTION aerofn_auth.signed() TO aerofn_owner;

RESET ROLE;
SET LOCAL ROLE aerofn_owner;

-- For policies: USING (owner = (SELECT aerofn.uid())). The sub-select makes it one call a statement.
CREATE OR REPLACE FUNCTION aerofn.jwt() RETURNS jsonb
LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT aerofn_auth.signed() -> 'claims'
$$;

CREATE OR REPLACE FUNCTION aerofn.uid() RETURNS text
LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS $$
  SELECT aerofn.jwt() ->> 'sub'
$$;

CREATE OR REPLACE FUNCTION aerofn.role() RETURNS text
LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT aerofn_auth.signed() ->> 'role'
$$;

RESET ROLE;

-- The same as auth.uid() and so on, where the database has no functions of these names (Supabase does).
DO $$
DECLARE
  f record;
BEGIN
  IF to_regnamespace('auth') IS NULL THEN
    CREATE SCHEMA auth AUTHORIZATION aerofn_owner;
    GRANT USAGE ON SCHEMA auth TO PUBLIC;
  END IF;
  IF NOT has_schema_privilege('auth', 'CREATE') THEN
    RETURN;
  END IF;
  FOR f IN VALUES ('uid', 'text'), ('role', 'text'), ('jwt', 'jsonb') LOOP
    IF to_regprocedure(format('auth.%I()', f.column1)) IS NULL THEN
      EXECUTE format(
        'CREATE FUNCTION auth.%I() RETURNS %s LANGUAGE sql STABLE PARALLEL RESTRICTED AS %L',
        f.column1, f.column2, format('SELECT aerofn.%I()', f.column1));
      EXECUTE format('ALTER FUNCTION auth.%I() OWNER TO aerofn_owner', f.column1);
    END IF;
  END LOOP;
END $$;
