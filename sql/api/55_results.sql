-- Results of HTTP requests that are kept for their senders. A request that may be repeated runs once: its result and
-- its effects commit together, and until then it is leased like an event, by a node whose lock says that it lives.
SET LOCAL ROLE aerofn_owner;

-- Takes a request on, or says what became of it. state: 'taken' (run it), 'running' (it runs elsewhere), 'waiting'
-- (an event will run it), 'done' (here is its output), 'other' (the key was used for another request).
CREATE OR REPLACE FUNCTION aerofn_internal.take_request(
  wanted_function int, wanted_caller bytea, wanted_key text, wanted_request bytea, node int, lease_s float8, keep_s float8
) RETURNS TABLE (state text, id uuid, token bigint, event_id bigint, output bytea, invocation uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  r aerofn_internal.results;
BEGIN
  LOOP
    INSERT INTO aerofn_internal.results AS old
      (function_id, caller, key, request, token, leased_by, lease_until, expires_at)
    VALUES (wanted_function, wanted_caller, wanted_key, wanted_request, nextval('aerofn_internal.lease_tokens'), node,
            now() + make_interval(secs => lease_s), now() + make_interval(secs => keep_s))
    ON CONFLICT (function_id, caller, key) WHERE key IS NOT NULL DO UPDATE
      SET request = excluded.request, token = excluded.token, leased_by = excluded.leased_by, event_id = NULL,
          lease_until = excluded.lease_until, expires_at = excluded.expires_at, output = NULL, invocation = NULL
      -- Past its time, or left by a node that is gone or hangs.
      WHERE old.expires_at < now() AND old.lease_until < now()
         OR old.output IS NULL AND old.event_id IS NULL AND old.request = excluded.request
            AND (old.lease_until < now() OR old.leased_by <> ALL (ARRAY(SELECT aerofn_internal.live_nodes())))
    RETURNING old.* INTO r;
    IF FOUND THEN
      RETURN QUERY SELECT 'taken', r.id, r.token, r.event_id, r.output, r.invocation;
      RETURN;
    END IF;
    SELECT * INTO r FROM aerofn_internal.results k
    WHERE k.function_id = wanted_function AND k.caller = wanted_caller AND k.key = wanted_key;
    EXIT WHEN FOUND;  -- else it was given back this moment
  END LOOP;
  RETURN QUERY SELECT CASE WHEN r.request <> wanted_request THEN 'other' WHEN r.output IS NOT NULL THEN 'done'
                           WHEN r.event_id IS NOT NULL THEN 'waiting' ELSE 'running' END,
                      r.id, r.token, r.event_id, r.output, r.invocation;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.take_request FROM PUBLIC;

-- Makes an event of a request whose sender does not wait, unless its key says that there is one already. Answers as
-- take_request() does; 'taken' is never among it.
CREATE OR REPLACE FUNCTION aerofn_internal.ask_event(
  wanted_function int, wanted_caller bytea, wanted_key text, wanted_request bytea, keep_s float8, role text,
  claims jsonb, payload json, traceparent text DEFAULT NULL, tracestate text DEFAULT NULL
) RETURNS TABLE (state text, id uuid, token bigint, event_id bigint, output bytea, invocation uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  made bigint;
BEGIN
  SELECT t.* INTO state, id, token, event_id, output, invocation
  FROM aerofn_internal.take_request(wanted_function, wanted_caller, wanted_key, wanted_request, NULL, 0, keep_s) t;
  IF state = 'taken' THEN
    PERFORM aerofn_internal.check_nodes(12, 'Prefer: respond-async');
    INSERT INTO aerofn_internal.events AS e (function_id, source, payload, role, claims, traceparent, tracestate)
    VALUES (wanted_function, 'http', ask_event.payload, ask_event.role, ask_event.claims,
            aerofn_internal.traceparent(ask_event.traceparent), aerofn_internal.tracestate(ask_event.tracestate))
    RETURNING e.id INTO made;
    UPDATE aerofn_internal.results r SET event_id = made WHERE r.id = ask_event.id;
    PERFORM aerofn_internal.wake();
    state := 'waiting';
    event_id := made;
  END IF;
  RETURN NEXT;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.ask_event FROM PUBLIC;

-- Called by a function's own transaction just before it commits. Raises AF001 when the request was taken over.
CREATE OR REPLACE FUNCTION aerofn_internal.keep_result(result uuid, lease bigint, returned bytea, ran uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE aerofn_internal.results SET output = returned, invocation = ran, leased_by = NULL
  WHERE id = result AND token = lease AND output IS NULL;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the request is run by another node now' USING ERRCODE = 'AF001';
  END IF;
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.keep_result FROM PUBLIC;

-- The same for an event that complete_event() has just ended. Nobody may want it any more.
CREATE OR REPLACE FUNCTION aerofn_internal.keep_event_result(event bigint, returned bytea, ran uuid) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE aerofn_internal.results SET output = returned, invocation = ran
  WHERE event_id = event AND output IS NULL AND NOT EXISTS (SELECT FROM aerofn_internal.events e WHERE e.id = event)
$$;
REVOKE ALL ON FUNCTION aerofn_internal.keep_event_result FROM PUBLIC;

RESET ROLE;
