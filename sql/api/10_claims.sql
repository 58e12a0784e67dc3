-- Callers' claims that cannot be forged: signed inside PostgreSQL when an invocation begins, bound to the
-- backend, the transaction and the login, and checked whenever a policy asks for them.
SET LOCAL ROLE aerofn_auth;

-- Bound to backend, transaction and login: none of them can be had again.
CREATE OR REPLACE FUNCTION aerofn_auth.mac(doc text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
  made text;
BEGIN
  SELECT pg_catalog.encode(pg_catalog.sha256(k.opad || pg_catalog.sha256(k.ipad || pg_catalog.convert_to(
    pg_catalog.pg_backend_pid() || ':' || (extract(epoch FROM pg_catalog.transaction_timestamp()) * 1000000)::bigint
    || ':' || session_user || ':' || doc, 'UTF8'))), 'hex') INTO made
  FROM aerofn_auth.claim_keys k WHERE k.kid = 1;
  RETURN made;
END $$;
-- So that PostgreSQL knows of the only row: it takes an index otherwise, which makes signing a third dearer. Nothing
-- but the number, so that no statistics ever have the key.
ANALYZE aerofn_auth.claim_keys (kid);
REVOKE ALL ON FUNCTION aerofn_auth.mac(text) FROM PUBLIC;

-- doc: {"role", "claims", "depth"}. Executable by the function logins only; guests run as another role. It also
-- refuses to run in any message but the transaction's first, and there from within anything: a guest's text runs
-- inside the executor, and what a guest may have planted for the moment of COMMIT, when the login is the current
-- user, cannot sign anything.
-- What the connection's last invocation may have left goes too, where it is no command's to end: locks, and the
-- seed of random(), which begins anew by what no guest of before could know.
CREATE OR REPLACE FUNCTION aerofn_auth.begin_invocation(doc text, depth int, postgrest_claims text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  callers text;
BEGIN
  GET DIAGNOSTICS callers = PG_CONTEXT;  -- a line for this function, and one for each that stands behind it
  IF transaction_timestamp() <> statement_timestamp() OR strpos(callers, E'\n') > 0 THEN
    RAISE EXCEPTION 'an invocation begins with its transaction' USING ERRCODE = '28000';
  END IF;
  -- One assignment for both: cheaper than two, and than PERFORM, which takes three times as long.
  callers := pg_advisory_unlock_all()::text
    || setseed(hashtext(set_config('aerofn.signed', aerofn_auth.mac(doc) || doc, true)) / 2147483648.0)::text;
  IF postgrest_claims IS NOT NULL THEN
    PERFORM set_config('request.jwt.claims', postgrest_claims, true);
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_auth.begin_invocation(text, int, text) FROM PUBLIC;

-- The signed document of this invocation; null outside one. Raises 28000 when it was tampered with.
CREATE OR REPLACE FUNCTION aerofn_auth.signed() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  held text := current_setting('aerofn.signed', true);
  doc text := substr(held, 65);
BEGIN
  IF coalesce(held, '') = '' THEN
    RETURN NULL;
  END IF;
  IF aerofn_auth.mac(doc) IS DISTINCT FROM left(held, 64) THEN
    RAISE EXCEPTION 'the claims of this invocation were tampered with' USING ERRCODE = '28000';
  END IF;
  RETURN doc::jsonb;
END $$;

-- Everybody may ask who the caller is; the key and the signing stay out of reach.
GRANT USAGE ON SCHEMA aerofn_auth TO PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn_auth.signed() TO PUBLIC;

RESET ROLE;
SET LOCAL ROLE aerofn_owner;

-- For policies: USING (owner = (SELECT aerofn.uid())). The sub-select makes it one call a statement. Not in SQL, which
-- PostgreSQL would inline: to parse it anew for each statement takes a fifth of the check. Their operators are named in
-- full: no search_path can change what they mean.
CREATE OR REPLACE FUNCTION aerofn.jwt() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED AS $$
BEGIN
  RETURN aerofn_auth.signed() OPERATOR(pg_catalog.->) 'claims';
END $$;

CREATE OR REPLACE FUNCTION aerofn.uid() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED AS $$
BEGIN
  RETURN aerofn_auth.signed() OPERATOR(pg_catalog.->) 'claims' OPERATOR(pg_catalog.->>) 'sub';
END $$;

CREATE OR REPLACE FUNCTION aerofn.role() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED AS $$
BEGIN
  RETURN aerofn_auth.signed() OPERATOR(pg_catalog.->>) 'role';
END $$;

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
