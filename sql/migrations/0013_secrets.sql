-- Secrets of functions, sealed to a key pair whose private half only nodes can unwrap (docs/reach.md).
SET LOCAL ROLE aerofn_owner;

-- wrapped: the private key, encrypted with AEROFN_SECRET_KEY, which the database never sees.
CREATE TABLE aerofn_internal.key_pairs (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  modulus numeric NOT NULL,
  wrapped bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE aerofn_internal.secrets (
  name text PRIMARY KEY CHECK (name ~ '^[A-Za-z_][A-Za-z0-9_]{0,127}$'),
  sealed text NOT NULL,
  key_pair int NOT NULL REFERENCES aerofn_internal.key_pairs,
  fingerprint text NOT NULL,
  author text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

RESET ROLE;
