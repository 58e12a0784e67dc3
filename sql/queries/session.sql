-- What a function's transaction is made of (aerofn/bridge/session.py). {braces} are filled in by the bridge:
-- quoted identifiers, numbers, and strings as literals of ASCII alone (session.literal says why).

-- name: begin
BEGIN; SELECT aerofn_auth.begin_invocation({doc}, {depth}, {postgrest_claims})

-- name: execute
-- Sent as COPY … TO STDOUT in binary. Nothing is prepared on the connection: a guest that reached PREPARE could
-- put a statement of its own in a prepared one's place, and the login would run it.
SELECT aerofn_run.{role}({kind}, {statement}, ARRAY[{params}]::text[], {rows}, {bytes})

-- name: finish
-- Deferred constraints, under the role; cursors WITH HOLD would run at COMMIT as the login, so they go before it.
SELECT aerofn_run.{finish}(), aerofn_internal.check_seal({role}); CLOSE ALL

-- name: store
-- Requests to be sent once this transaction has committed.
SELECT aerofn_internal.store_fetches({function}, {role}, {claims}, {depth}, {requests})

-- name: complete
-- The event's end belongs to the effects' transaction.
SELECT aerofn_internal.complete_event({event}, {token})

-- name: keep
-- And so does what the sender of a request is answered, again and again
SELECT aerofn_internal.keep_result({result}, {token}, {output}, {invocation})

-- name: keep_event
SELECT aerofn_internal.keep_event_result({event}, {output}, {invocation})

-- name: commit
COMMIT

-- name: rollback
ROLLBACK

-- name: reset
-- Nothing stays for the next invocation: what DISCARD ALL does, which cannot stand in a message with others,
-- without throwing away the plans of AeroFn's own functions.
SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; CLOSE ALL; DEALLOCATE ALL; UNLISTEN *;
SELECT pg_advisory_unlock_all(); DISCARD SEQUENCES; DISCARD TEMP

-- name: stop
-- A stuck transaction, ended by the same login on another connection
SELECT pg_terminate_backend({backend})
