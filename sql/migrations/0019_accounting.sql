-- What an invocation was handed, gave back and asked for. Null in rows of nodes of the version before, which
-- may run beside this one: they name the columns that they write.
SET LOCAL ROLE aerofn_owner;

ALTER TABLE aerofn_internal.invocations
  ADD COLUMN bytes_in bigint,
  ADD COLUMN bytes_out bigint,
  ADD COLUMN host_calls int;
COMMENT ON COLUMN aerofn_internal.invocations.bytes_in IS 'of the event, as the function received it';
COMMENT ON COLUMN aerofn_internal.invocations.bytes_out IS 'of its result or error; 0 if it did not come to its end';
COMMENT ON COLUMN aerofn_internal.invocations.host_calls IS 'queries, requests, log lines, env keys and waits';

RESET ROLE;
