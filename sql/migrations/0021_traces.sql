-- The trace an event belongs to (W3C Trace Context), for nodes that trace. Older nodes neither read nor write it.
SET LOCAL ROLE aerofn_owner;

-- Of the request given, or of the transaction: `SET LOCAL aerofn.traceparent = '00-…'`, which anybody may set. It is
-- a hint and no right: what is not well-formed is left out, and never breaks the writer. Inlined where it is used.
CREATE FUNCTION aerofn_internal.traceparent(given text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN given OPERATOR(pg_catalog.~) '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$' THEN given END
$$;
REVOKE ALL ON FUNCTION aerofn_internal.traceparent(text) FROM PUBLIC;

ALTER TABLE aerofn_internal.events ADD COLUMN traceparent text;
ALTER TABLE aerofn_internal.events
  ALTER COLUMN traceparent SET DEFAULT aerofn_internal.traceparent(current_setting('aerofn.traceparent', true));
ALTER TABLE aerofn_internal.done_events ADD COLUMN traceparent text;

-- Their arguments change: the API makes them anew, and takes the calls of older nodes as well.
DO $$
DECLARE
  f regprocedure;
BEGIN
  FOR f IN SELECT p.oid FROM pg_proc p
    WHERE p.pronamespace = 'aerofn_internal'::regnamespace AND p.proname IN ('ask_event', 'receive') LOOP
    EXECUTE format('DROP FUNCTION %s', f);
  END LOOP;
END $$;

RESET ROLE;
