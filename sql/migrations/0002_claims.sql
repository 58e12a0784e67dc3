-- The key behind callers' claims. HMAC-SHA-256 with its two pads computed once: only aerofn_auth reads
-- them, and only its functions do. Never in a setting or a function's source, where guests could look.
SET LOCAL ROLE aerofn_auth;

CREATE TABLE aerofn_auth.claim_keys (
  kid int PRIMARY KEY,
  ipad bytea NOT NULL,
  opad bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION aerofn_auth.pad(key bytea, mask int) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  padded bytea := key || decode(repeat('00', 64 - length(key)), 'hex');
BEGIN
  FOR i IN 0 .. 63 LOOP
    padded := set_byte(padded, i, get_byte(padded, i) # mask);
  END LOOP;
  RETURN padded;
END $$;
REVOKE ALL ON FUNCTION aerofn_auth.pad(bytea, int) FROM PUBLIC;

DO $$
DECLARE
  -- gen_random_uuid() draws on the server's strong random source.
  key bytea := sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'));
BEGIN
  INSERT INTO aerofn_auth.claim_keys (kid, ipad, opad)
  VALUES (1, aerofn_auth.pad(key, 54), aerofn_auth.pad(key, 92));
END $$;

RESET ROLE;
