-- Requests to be sent after the commit (http.fetchAfterCommit): stored with the effects, by the host alone.
SET LOCAL ROLE aerofn_owner;

-- Called by a function's own transaction just before it commits. requests: a JSON array, each one event's payload.
CREATE OR REPLACE FUNCTION aerofn_internal.store_fetches(
  function_id int, role text, claims jsonb, depth int, requests json
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO aerofn_internal.events (function_id, source, payload, role, claims, depth, max_attempts)
  SELECT store_fetches.function_id, 'fetch', r.value, store_fetches.role, store_fetches.claims, store_fetches.depth, 12
  FROM json_array_elements(requests) r;
  PERFORM aerofn_internal.wake();
END $$;
REVOKE ALL ON FUNCTION aerofn_internal.store_fetches FROM PUBLIC;

RESET ROLE;
