-- Secrets: sealed with a public key as soon as they arrive, so that no table, no WAL and no backup ever holds one.
-- RSA-OAEP with SHA-256 (RFC 8017, 7.1.1), exponent 65537, 3072 bits: PostgreSQL's numeric and sha256 are all it needs.
SET LOCAL ROLE aerofn_owner;

CREATE OR REPLACE FUNCTION aerofn_internal.xor_bytes(a bytea, b bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT decode(string_agg(lpad(to_hex(get_byte(a, i) # get_byte(b, i)), 2, '0'), '' ORDER BY i), 'hex')
  FROM generate_series(0, length(a) - 1) i
$$;
REVOKE ALL ON FUNCTION aerofn_internal.xor_bytes FROM PUBLIC;

-- RFC 8017, B.2.1.
CREATE OR REPLACE FUNCTION aerofn_internal.mgf1(seed bytea, size int) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT substring(string_agg(sha256(seed || int4send(n)), ''::bytea ORDER BY n) FROM 1 FOR size)
  FROM generate_series(0, (size + 31) / 32 - 1) n
$$;
REVOKE ALL ON FUNCTION aerofn_internal.mgf1 FROM PUBLIC;

-- 384 bytes, big-endian, to the power of 65537 modulo the modulus; six bytes at a time in and out.
CREATE OR REPLACE FUNCTION aerofn_internal.rsa_power(message bytea, modulus numeric) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  base numeric := 0;
  x numeric;
  power bytea := '';
BEGIN
  FOR i IN 0 .. 63 LOOP
    base := base * 281474976710656
      + ('x' || encode(substring(message FROM i * 6 + 1 FOR 6), 'hex'))::bit(48)::bigint;
  END LOOP;
  x := base;
  FOR i IN 1 .. 16 LOOP
    x := mod(x * x, modulus);
  END LOOP;
  x := mod(x * base, modulus);
  FOR i IN 1 .. 64 LOOP
    power := substring(int8send(mod(x, 281474976710656)::bigint) FROM 3) || power;
    x := div(x, 281474976710656);
  END LOOP;
  RETURN power;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.rsa_power FROM PUBLIC;

-- The randomness is gen_random_uuid()'s, PostgreSQL's strong source: 366 bits of it in each seed.
CREATE OR REPLACE FUNCTION aerofn_internal.rsa_oaep(message bytea, label bytea, modulus numeric) RETURNS bytea
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  seed bytea := sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
  block bytea := sha256(label) || decode(repeat('00', 318 - length(message)), 'hex') || '\x01'::bytea || message;
BEGIN
  block := aerofn_internal.xor_bytes(block, aerofn_internal.mgf1(seed, 351));
  seed := aerofn_internal.xor_bytes(seed, aerofn_internal.mgf1(block, 32));
  RETURN aerofn_internal.rsa_power('\x00'::bytea || seed || block, modulus);
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.rsa_oaep FROM PUBLIC;

CREATE OR REPLACE FUNCTION aerofn_internal.current_key_pair() RETURNS aerofn_internal.key_pairs
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  pair aerofn_internal.key_pairs;
BEGIN
  SELECT * INTO pair FROM aerofn_internal.key_pairs ORDER BY id DESC LIMIT 1;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no key to seal secrets with' USING ERRCODE = 'object_not_in_prerequisite_state',
      HINT = 'Start a node with AEROFN_SECRET_KEY set (make one with: openssl rand -hex 32): it makes the key pair.';
  END IF;
  RETURN pair;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.current_key_pair FROM PUBLIC;

-- The same text as aerofn/db/sealing.py makes. Every part is bound to the name, to this sealing and to its place.
CREATE OR REPLACE FUNCTION aerofn_internal.seal(name text, value text) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  pair aerofn_internal.key_pairs := aerofn_internal.current_key_pair();
  plain bytea := convert_to(value, 'UTF8');
  parts int := (length(plain) + 317) / 318;
  sealing text := gen_random_uuid();
  ciphertext bytea := '';
BEGIN
  FOR part IN 1 .. parts LOOP
    ciphertext := ciphertext || aerofn_internal.rsa_oaep(
      substring(plain FROM (part - 1) * 318 + 1 FOR 318),
      convert_to(format('aerofn:%s:%s:%s/%s', name, sealing, part, parts), 'UTF8'), pair.modulus);
  END LOOP;
  RETURN format('sealed:1:%s:%s:%s', pair.id, sealing, translate(encode(ciphertext, 'base64'), E'\n', ''));
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.seal FROM PUBLIC;

-- None of these messages may quote the value: PostgreSQL logs errors.
CREATE OR REPLACE FUNCTION aerofn_internal.check_secret(name text, value text, sealed text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF name IS NULL OR name !~ '^[A-Za-z_][A-Za-z0-9_]{0,127}$' THEN
    RAISE EXCEPTION 'a secret cannot have this name' USING ERRCODE = 'invalid_name',
      HINT = 'A name is a letter or "_", then up to 127 letters, digits or "_": STRIPE_KEY.';
  ELSIF (value IS NULL) = (sealed IS NULL) THEN
    RAISE EXCEPTION 'give either the value or the sealed text' USING ERRCODE = 'invalid_parameter_value';
  ELSIF octet_length(value) NOT BETWEEN 8 AND 16384 THEN
    RAISE EXCEPTION 'a secret has 8 to 16384 bytes' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'A shorter one could not be kept out of logs. What is no secret can be set as AEROFN_ENV_<KEY>.';
  ELSIF sealed !~ '^sealed:1:[0-9]{1,9}:[0-9a-f-]{36}:[A-Za-z0-9+/]+={0,2}$' OR length(sealed) > 40000 THEN
    RAISE EXCEPTION 'this is no sealed text' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Make it with: aerofn secrets seal <name>';
  ELSIF split_part(sealed, ':', 3)::int <> (aerofn_internal.current_key_pair()).id THEN
    RAISE EXCEPTION 'this was sealed for another key' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'The key was rotated, or it is another database''s: seal it again with aerofn secrets seal <name>.';
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.check_secret FROM PUBLIC;

-- Sets a secret, which functions registered with env => '{<name>}' read. Returns its new fingerprint.
CREATE OR REPLACE FUNCTION aerofn.set_secret(
  name text, value text DEFAULT NULL, sealed text DEFAULT NULL, author text DEFAULT session_user
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  text_sealed text;
  made text;
BEGIN
  LOCK TABLE aerofn_internal.secrets IN ROW EXCLUSIVE MODE;  -- a rotation under way ends first
  PERFORM aerofn_internal.check_secret(set_secret.name, set_secret.value, set_secret.sealed);
  text_sealed := coalesce(set_secret.sealed, aerofn_internal.seal(set_secret.name, set_secret.value));
  made := left(encode(sha256(convert_to(text_sealed, 'UTF8')), 'hex'), 12);
  INSERT INTO aerofn_internal.secrets AS s (name, sealed, key_pair, fingerprint, author)
  VALUES (set_secret.name, text_sealed, split_part(text_sealed, ':', 3)::int, made, set_secret.author)
  ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, key_pair = excluded.key_pair,
    fingerprint = excluded.fingerprint, author = excluded.author, updated_at = now();
  PERFORM aerofn_internal.registry_changed();
  RETURN made;
END $$;
REVOKE ALL ON FUNCTION aerofn.set_secret FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.set_secret TO aerofn_admin;

-- Removes a secret; functions that were granted it read nothing under its name from then on.
CREATE OR REPLACE FUNCTION aerofn.drop_secret(name text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM aerofn_internal.secrets s WHERE s.name = drop_secret.name;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no secret %', coalesce(quote_literal(drop_secret.name), 'NULL')
      USING ERRCODE = 'no_data_found', HINT = 'SELECT name FROM aerofn.secrets lists them.';
  END IF;
  PERFORM aerofn_internal.registry_changed();
END $$;
REVOKE ALL ON FUNCTION aerofn.drop_secret FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.drop_secret TO aerofn_admin;

-- The public key, for sealing outside the database.
CREATE OR REPLACE FUNCTION aerofn.sealing_key(OUT key_pair int, OUT modulus text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT p.id, p.modulus::text FROM aerofn_internal.current_key_pair() p
$$;
REVOKE ALL ON FUNCTION aerofn.sealing_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.sealing_key TO aerofn_admin;

-- The first node with a secret key makes the pair; of two at once, one.
CREATE OR REPLACE FUNCTION aerofn_internal.offer_key_pair(modulus numeric, wrapped bytea) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  LOCK TABLE aerofn_internal.key_pairs IN EXCLUSIVE MODE;
  IF NOT EXISTS (SELECT FROM aerofn_internal.key_pairs) THEN
    INSERT INTO aerofn_internal.key_pairs (modulus, wrapped)
    VALUES (offer_key_pair.modulus, offer_key_pair.wrapped);
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.offer_key_pair FROM PUBLIC;

-- A fingerprint tells one setting from the next and nothing of the value.
CREATE OR REPLACE VIEW aerofn.secrets AS
SELECT name, fingerprint, author, created_at, updated_at FROM aerofn_internal.secrets;
GRANT SELECT ON aerofn.secrets TO aerofn_admin;

RESET ROLE;
