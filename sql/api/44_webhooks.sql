-- Webhooks: HTTP requests that another service signs, and that start a function.
SET LOCAL ROLE aerofn_owner;

CREATE OR REPLACE FUNCTION aerofn_internal.refuse_webhook(problem text, advice text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '%', problem USING ERRCODE = 'invalid_parameter_value', HINT = advice;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.refuse_webhook FROM PUBLIC;

CREATE OR REPLACE FUNCTION aerofn_internal.check_webhook(w aerofn_internal.webhooks, name text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  plain boolean := w.scheme = 'hmac';
BEGIN
  IF name IS NULL OR name !~ '^[A-Za-z][A-Za-z0-9_-]{0,62}$' THEN
    PERFORM aerofn_internal.refuse_webhook(format('%L cannot name a webhook', name),
      'A name is a letter and up to 62 letters, digits, "-" or "_": it stands in the URL.');
  ELSIF w.scheme IS NULL OR w.scheme NOT IN ('standard', 'stripe', 'github', 'slack', 'hmac') THEN
    PERFORM aerofn_internal.refuse_webhook(format('there is no scheme %L', w.scheme),
      'It is standard (Standard Webhooks), stripe, github, slack, or hmac for any other HMAC-SHA-256 in a header.');
  ELSIF w.secrets IS NULL OR cardinality(w.secrets) NOT BETWEEN 1 AND 8 OR array_position(w.secrets, NULL) > 0
        OR EXISTS (SELECT FROM unnest(w.secrets) s WHERE s !~ '^[A-Za-z_][A-Za-z0-9_]{0,127}$') THEN
    PERFORM aerofn_internal.refuse_webhook('secrets are 1 to 8 names of secrets',
      'For example secrets => ''{STRIPE_SECRET}'': the name of one that aerofn.set_secret() or aerofn secrets set made, '
      'not its value; two while the sender changes it.');
  ELSIF plain <> (w.header IS NOT NULL) OR NOT plain AND (w.encoding IS NOT NULL OR w.prefix IS NOT NULL OR w.id_from IS NOT NULL) THEN
    PERFORM aerofn_internal.refuse_webhook('header, encoding, prefix and id_from are for the scheme hmac, which needs a header',
      'For example scheme => ''hmac'', header => ''X-Signature'', encoding => ''hex'', prefix => ''sha256=''.');
  ELSIF w.header !~ '^[a-z0-9-]{1,64}$' OR w.encoding NOT IN ('hex', 'base64') OR length(w.prefix) > 32 THEN
    PERFORM aerofn_internal.refuse_webhook('header, encoding or prefix is not one',
      'header: a header''s name; encoding: hex or base64; prefix: what stands before the signature, like sha256=.');
  ELSIF w.id_from !~ '^([A-Za-z0-9-]{1,64}|\$(\.[A-Za-z0-9_-]{1,64}){1,8})$' THEN
    PERFORM aerofn_internal.refuse_webhook(format('id_from is %L', w.id_from),
      'Write a header''s name (X-Request-Id), or $ and the keys of a value in the JSON body ($.data.id).');
  ELSIF w.tolerance_s IS NULL OR w.tolerance_s NOT BETWEEN 1 AND 86400 OR w.max_kb IS NULL OR w.max_kb NOT BETWEEN 1 AND 25600 THEN
    PERFORM aerofn_internal.refuse_webhook('tolerance_s or max_kb is out of range',
      'tolerance_s: 1 to 86400 seconds; max_kb: 1 to 25600 KiB.');
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.check_webhook FROM PUBLIC;

-- Runs a function for every genuine delivery to /hooks/v1/<name>. Returns the trigger's name.
CREATE OR REPLACE FUNCTION aerofn.create_webhook(
  function text, scheme text, secrets text[], name text DEFAULT NULL, header text DEFAULT NULL, encoding text DEFAULT NULL,
  prefix text DEFAULT NULL, id_from text DEFAULT NULL, tolerance_s int DEFAULT 300, max_kb int DEFAULT 1024,
  run_as text DEFAULT NULL, max_attempts int DEFAULT 5
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  w aerofn_internal.webhooks;
BEGIN
  name := coalesce(name, function || '_webhook');
  w := (0, scheme, secrets, lower(header), encoding, prefix, id_from, tolerance_s, max_kb)::aerofn_internal.webhooks;
  PERFORM aerofn_internal.check_webhook(w, name);
  PERFORM aerofn_internal.check_nodes(11, 'webhooks');
  w.trigger_id := aerofn_internal.add_trigger(function, 'webhook', name, run_as, max_attempts);
  w.encoding := CASE WHEN scheme = 'hmac' THEN coalesce(encoding, 'hex') END;
  INSERT INTO aerofn_internal.webhooks SELECT w.*;
  RETURN name;
END $$;
REVOKE ALL ON FUNCTION aerofn.create_webhook FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.create_webhook TO aerofn_admin;

-- Changes what is given of a webhook: its secrets, when the sender has a new one.
CREATE OR REPLACE FUNCTION aerofn.alter_webhook(
  name text, secrets text[] DEFAULT NULL, tolerance_s int DEFAULT NULL, max_kb int DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  id int := aerofn_internal.the_trigger(name, 'webhook');
  w aerofn_internal.webhooks;
BEGIN
  SELECT * INTO w FROM aerofn_internal.webhooks h WHERE h.trigger_id = id FOR UPDATE;
  w.secrets := coalesce(secrets, w.secrets);
  w.tolerance_s := coalesce(tolerance_s, w.tolerance_s);
  w.max_kb := coalesce(max_kb, w.max_kb);
  PERFORM aerofn_internal.check_webhook(w, name);
  UPDATE aerofn_internal.webhooks h SET secrets = w.secrets, tolerance_s = w.tolerance_s, max_kb = w.max_kb
  WHERE h.trigger_id = id;
  PERFORM aerofn_internal.registry_changed();
END $$;
REVOKE ALL ON FUNCTION aerofn.alter_webhook FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aerofn.alter_webhook TO aerofn_admin;

-- Stores a verified delivery, once for each id of its sender. A second one with the same id, at the same moment or days
-- later, is answered with the first one's event. event is null when the webhook is disabled or dropped.
CREATE OR REPLACE FUNCTION aerofn_internal.receive(
  webhook int, sender_id text, request json, traceparent text DEFAULT NULL, tracestate text DEFAULT NULL,
  OUT event bigint, OUT fresh boolean
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  t aerofn_internal.triggers;
BEGIN
  SELECT * INTO t FROM aerofn_internal.triggers WHERE triggers.id = webhook AND triggers.enabled;
  fresh := FOUND;
  IF NOT fresh THEN
    RETURN;
  END IF;
  event := nextval(pg_get_serial_sequence('aerofn_internal.events', 'id'));
  IF sender_id IS NOT NULL THEN
    INSERT INTO aerofn_internal.deliveries (trigger_id, sender_id, event_id) VALUES (webhook, sender_id, event)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
      SELECT d.event_id, false INTO event, fresh FROM aerofn_internal.deliveries d
      WHERE d.trigger_id = webhook AND d.sender_id = receive.sender_id;
      RETURN;
    END IF;
  END IF;
  INSERT INTO aerofn_internal.events
    (id, function_id, trigger_id, source, payload, role, max_attempts, traceparent, tracestate)
  OVERRIDING SYSTEM VALUE VALUES (event, t.function_id, t.id, 'webhook', request, t.run_as, t.max_attempts,
                                  aerofn_internal.traceparent(traceparent), aerofn_internal.tracestate(tracestate));
  PERFORM aerofn_internal.wake();
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.receive FROM PUBLIC;

-- Forgets sender ids that are old enough, some at a time. Returns how many.
CREATE OR REPLACE FUNCTION aerofn_internal.forget_deliveries(retention interval) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH old AS (
    SELECT d.ctid FROM aerofn_internal.deliveries d WHERE d.received_at < now() - retention
    ORDER BY d.received_at LIMIT 10000 FOR UPDATE SKIP LOCKED
  ), gone AS (
    DELETE FROM aerofn_internal.deliveries d USING old WHERE d.ctid = old.ctid RETURNING 1
  )
  SELECT count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION aerofn_internal.forget_deliveries FROM PUBLIC;

RESET ROLE;
