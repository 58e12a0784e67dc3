-- Who the caller is was signed with a key. Now PostgreSQL keeps it (sql/api/10_claims.sql), and there is no key any more.
SET LOCAL ROLE aerofn_auth;

-- First, since it waits for the invocations under way, and lets none begin before all this is committed: what they have
-- signed would not be believed any more. One that was about to begin fails. A dump holds the table for hours, and what
-- wants to begin would wait behind this: so this waits for ten seconds only, and then nothing of it has happened.
SET LOCAL lock_timeout = '10s';
DROP TABLE aerofn_auth.claim_keys;
SET LOCAL lock_timeout = 0;
DROP FUNCTION aerofn_auth.pad(bytea, int);
DROP FUNCTION IF EXISTS aerofn_auth.mac(text), aerofn_auth.signed();

-- The two halves of a hash. Their values are of no interest, only currval(), which each session has for itself. Unlogged:
-- an invocation that only reads writes nothing to the WAL, and gets no transaction id.
CREATE UNLOGGED SEQUENCE aerofn_auth.caller_high MINVALUE -9223372036854775808;
CREATE UNLOGGED SEQUENCE aerofn_auth.caller_low MINVALUE -9223372036854775808;
REVOKE ALL ON SEQUENCE aerofn_auth.caller_high, aerofn_auth.caller_low FROM PUBLIC;

COMMENT ON SCHEMA aerofn_auth IS 'AeroFn: who the caller of an invocation is';
RESET ROLE;
COMMENT ON ROLE aerofn_auth IS 'Owns what says who the caller is; nobody logs in as it';
