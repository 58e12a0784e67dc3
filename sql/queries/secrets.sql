-- Secrets and the key pair they are sealed to (aerofn/db/secrets.py, aerofn/db/rotation.py).

-- name: sealed
-- $1 names
SELECT name, sealed FROM aerofn_internal.secrets WHERE name = ANY ($1)

-- name: lock
-- Nobody sets one while this transaction lasts.
LOCK TABLE aerofn_internal.secrets IN EXCLUSIVE MODE

-- name: all_sealed
SELECT name, sealed FROM aerofn_internal.secrets ORDER BY name

-- name: listed
SELECT name, fingerprint, author, created_at, updated_at FROM aerofn.secrets ORDER BY name

-- name: set_sealed
-- $1 name, $2 sealed text, $3 author
SELECT aerofn.set_secret($1, sealed => $2, author => $3)

-- name: set_by_me
-- $1 name, $2 sealed text
SELECT aerofn.set_secret($1, sealed => $2)

-- name: drop
SELECT aerofn.drop_secret($1)

-- name: sealing_key
SELECT key_pair, modulus FROM aerofn.sealing_key()

-- name: key_pair
-- The newest.
SELECT id, modulus::text AS modulus, wrapped FROM aerofn_internal.key_pairs ORDER BY id DESC LIMIT 1

-- name: offer_key_pair
-- $1 modulus, $2 wrapped private key. Does nothing when there is one.
SELECT aerofn_internal.offer_key_pair($1::text::numeric, $2)

-- name: add_key_pair
-- $1 modulus, $2 wrapped private key
INSERT INTO aerofn_internal.key_pairs (modulus, wrapped) VALUES ($1::text::numeric, $2) RETURNING id

-- name: reseal
-- $1 name, $2 sealed text, $3 key pair
UPDATE aerofn_internal.secrets SET sealed = $2, key_pair = $3 WHERE name = $1

-- name: drop_key_pairs_before
-- $1 key pair
DELETE FROM aerofn_internal.key_pairs WHERE id < $1

-- name: registry_changed
SELECT aerofn_internal.registry_changed()
