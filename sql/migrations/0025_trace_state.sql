-- The trace that a record belongs to, and what vendors of tracing add to a trace (W3C tracestate).
-- No node need be gone: older ones neither read nor write these columns, and name those that they do.
SET LOCAL ROLE aerofn_owner;

ALTER TABLE aerofn_internal.invocations ADD COLUMN trace_id text;
COMMENT ON COLUMN aerofn_internal.invocations.trace_id IS '32 hexadecimal digits, of the span or of what caused the invocation';

-- As with traceparent() what does not fit is left out, and never breaks the writer. The list's own grammar is for who
-- reads it.
CREATE FUNCTION aerofn_internal.tracestate(given text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN pg_catalog.length(given) OPERATOR(pg_catalog.<=) 512
                AND given OPERATOR(pg_catalog.~) '^[ -~]+$' THEN given END
$$;
REVOKE ALL ON FUNCTION aerofn_internal.tracestate(text) FROM PUBLIC;

ALTER TABLE aerofn_internal.events ADD COLUMN tracestate text;
ALTER TABLE aerofn_internal.events
  ALTER COLUMN tracestate SET DEFAULT aerofn_internal.tracestate(current_setting('aerofn.tracestate', true));
ALTER TABLE aerofn_internal.done_events ADD COLUMN tracestate text;

-- Their arguments or results change: the API makes them anew, and takes the calls of older nodes as well.
DO $$
DECLARE
  f regprocedure;
BEGIN
  FOR f IN SELECT p.oid FROM pg_proc p
    WHERE p.pronamespace = 'aerofn_internal'::regnamespace AND p.proname IN ('ask_event', 'receive', 'leased') LOOP
    EXECUTE format('DROP FUNCTION %s', f);
  END LOOP;
END $$;

RESET ROLE;
