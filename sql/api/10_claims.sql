-- Who the caller is, in a way that no guest can change. The document that says it is in a setting of the transaction,
-- aerofn.caller, which anybody may overwrite. The first 128 bits of its SHA-256 are in two sequences, as what setval() has
-- made their currval(): a value of the session alone, which nobody else sees or changes. PostgreSQL lets only holders of
-- UPDATE call setval(), and that is the owner of the sequences, aerofn_auth, as whom begin_invocation() runs. So there is
-- no key. currval() knows no transactions: a rollback to a savepoint does not change it.
-- Names and operators are qualified, those of types too, instead of a search_path that would be pinned: that costs 2 to 3 µs
-- for each function. No expression more than needed: PL/pgSQL makes each ready anew in every transaction, for 2 µs.
SET LOCAL ROLE aerofn_auth;

-- doc: {"role", "claims", "depth", "nonce"}. Executable by the function logins only; guests run as another role. It also
-- refuses to run in any message but the transaction's first, and there from within anything: a guest's text runs
-- inside the executor, and what a guest may have planted for the moment of COMMIT, when the login is the current
-- user, cannot become anybody else.
-- What the connection's last invocation may have left goes too, where it is no command's to end: locks, and the
-- seed of random(), which begins anew by what no guest of before could know, because of the nonce. (That is the node's,
-- since gen_random_uuid() takes 15 µs. Nodes of the version before send none.)
CREATE OR REPLACE FUNCTION aerofn_auth.begin_invocation(doc text, depth int, postgrest_claims text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
DECLARE
  hash pg_catalog.text := pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(doc, 'UTF8')), 'hex');
  callers pg_catalog.text;
BEGIN
  GET DIAGNOSTICS callers = PG_CONTEXT;  -- a line for this function, and one for each that stands behind it
  IF pg_catalog.transaction_timestamp() OPERATOR(pg_catalog.<>) pg_catalog.statement_timestamp()
     OR pg_catalog.strpos(callers, E'\n') OPERATOR(pg_catalog.>) 0 THEN
    RAISE EXCEPTION 'an invocation begins with its transaction' USING ERRCODE = '28000';
  END IF;
  -- One assignment for all: cheaper than several, and than PERFORM, which takes three times as long.
  callers := pg_catalog.concat(
    pg_catalog.pg_advisory_unlock_all(),
    pg_catalog.setseed(pg_catalog.hashtext(pg_catalog.set_config('aerofn.caller', doc, true))
      OPERATOR(pg_catalog./) 2147483648::pg_catalog.float8),
    pg_catalog.setval('aerofn_auth.caller_high', ('x' OPERATOR(pg_catalog.||) pg_catalog.substr(hash, 1, 16))::bit(64)::bigint),
    pg_catalog.setval('aerofn_auth.caller_low', ('x' OPERATOR(pg_catalog.||) pg_catalog.substr(hash, 17, 16))::bit(64)::bigint));
  IF postgrest_claims IS NOT NULL THEN
    PERFORM pg_catalog.set_config('request.jwt.claims', postgrest_claims, true);
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_auth.begin_invocation(text, int, text) FROM PUBLIC;

-- The document of this invocation; null outside one. Raises 28000 when it was tampered with. Where the session has no
-- currval(), PostgreSQL raises 55000: after DISCARD SEQUENCES, and in a parallel worker that a wrapper declared
-- PARALLEL SAFE led here. That error is not caught: up to PostgreSQL 16, no EXCEPTION block may run beside parallel workers.
CREATE OR REPLACE FUNCTION aerofn_auth.caller() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER AS $$
BEGIN
  IF coalesce(pg_catalog.current_setting('aerofn.caller', true), '') OPERATOR(pg_catalog.<>) ''
     AND pg_catalog.substr(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.current_setting('aerofn.caller'), 'UTF8')), 1, 16)
       OPERATOR(pg_catalog.<>) (pg_catalog.int8send(pg_catalog.currval('aerofn_auth.caller_high'))
         OPERATOR(pg_catalog.||) pg_catalog.int8send(pg_catalog.currval('aerofn_auth.caller_low'))) THEN
    RAISE EXCEPTION 'the claims of this invocation were tampered with' USING ERRCODE = '28000';
  END IF;
  RETURN CASE WHEN pg_catalog.current_setting('aerofn.caller', true) OPERATOR(pg_catalog.<>) ''
              THEN pg_catalog.current_setting('aerofn.caller')::pg_catalog.jsonb END;
END $$;

-- Everybody may ask who the caller is; the sequences stay out of reach, whatever was granted since. Not SELECT, which
-- backups need: it tells what some session last set, and changes nothing.
GRANT USAGE ON SCHEMA aerofn_auth TO PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn_auth.caller() TO PUBLIC;
DO $$ DECLARE grantee text; BEGIN
  FOR grantee IN SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
                 FROM pg_class s, aclexplode(s.relacl) a
                 WHERE s.oid IN ('aerofn_auth.caller_high'::regclass, 'aerofn_auth.caller_low'::regclass) AND a.grantee <> s.relowner LOOP
    EXECUTE format('REVOKE UPDATE, USAGE ON SEQUENCE aerofn_auth.caller_high, aerofn_auth.caller_low FROM %s CASCADE', grantee);
  END LOOP;
END $$;

RESET ROLE;
SET LOCAL ROLE aerofn_owner;

-- For policies: USING (owner = (SELECT aerofn.uid())). The sub-select makes it one call a statement. Not in SQL, which
-- PostgreSQL would inline: to parse it anew for each statement takes a fifth of the check. Their operators are named in
-- full: no search_path can change what they mean.
CREATE OR REPLACE FUNCTION aerofn.jwt() RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED AS $$
BEGIN
  RETURN aerofn_auth.caller() OPERATOR(pg_catalog.->) 'claims';
END $$;

CREATE OR REPLACE FUNCTION aerofn.uid() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED AS $$
BEGIN
  RETURN aerofn_auth.caller() OPERATOR(pg_catalog.->) 'claims' OPERATOR(pg_catalog.->>) 'sub';
END $$;

CREATE OR REPLACE FUNCTION aerofn.role() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED AS $$
BEGIN
  RETURN aerofn_auth.caller() OPERATOR(pg_catalog.->>) 'role';
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
