-- How webhooks are verified, and which deliveries have come. Secrets are named here, never kept.
SET LOCAL ROLE aerofn_owner;

CREATE TABLE aerofn_internal.webhooks (
  trigger_id int PRIMARY KEY REFERENCES aerofn_internal.triggers ON DELETE CASCADE,
  scheme text NOT NULL CHECK (scheme IN ('standard', 'stripe', 'github', 'slack', 'hmac')),
  secrets text[] NOT NULL CHECK (cardinality(secrets) BETWEEN 1 AND 8),
  header text,
  encoding text CHECK (encoding IN ('hex', 'base64')),
  prefix text,
  id_from text,
  tolerance_s int NOT NULL,
  max_kb int NOT NULL,
  CHECK ((scheme = 'hmac') = (header IS NOT NULL))
);

-- A sender's id is remembered longer than its event, which is gone once it is done. No foreign keys: a delivery
-- must not wait for whoever drops a trigger, and its row goes by itself.
CREATE TABLE aerofn_internal.deliveries (
  trigger_id int NOT NULL,
  sender_id text NOT NULL,
  event_id bigint NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (trigger_id, sender_id)
);
CREATE INDEX deliveries_received ON aerofn_internal.deliveries (received_at);

RESET ROLE;
