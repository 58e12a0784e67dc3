-- What a function's transaction is made of (aerofn/bridge/session.py). {braces} are filled in by the bridge:
-- quoted identifiers, numbers, and strings as literals of ASCII alone (quoting.literal says why).

-- name: begin
-- By itself, and not a value of the first statement's COPY, which would be faster: pg_stat_statements keeps what stands in
-- a COPY as it is, claims too.
BEGIN; SELECT aerofn_auth.begin_invocation({doc}, {depth}, {postgrest_claims})

-- name: trace
-- What this invocation's writes cause belongs to its trace.
SET LOCAL aerofn.traceparent = '{traceparent}'; SET LOCAL aerofn.tracestate = {tracestate}

-- name: impatience
-- In a transaction that several events share, none may keep the others waiting (milliseconds).
SET LOCAL lock_timeout = {lock}; SET LOCAL statement_timeout = {statement}

-- name: patience
-- For the end of it: the deferred constraints of all members, the completion of their events
SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 960000

-- name: execute
-- Nothing is prepared on the connection: a guest that reached PREPARE could put a statement of its own in a prepared
-- one's place, and the login would run it.
-- Whether the transaction has written by then is PostgreSQL's word, not the executor's: a guest may have altered that.
COPY (SELECT aerofn_run.{role}({kind}, {statement}, ARRAY[{params}]::text[], {rows}, {bytes}),
  pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL) TO STDOUT (FORMAT binary)

-- name: finish
-- Deferred constraints, under the role: there are none where nothing was written, and so neither is the seal broken.
SELECT aerofn_run.{finish}(), aerofn_internal.check_seal({role})

-- name: close
-- Cursors WITH HOLD would run at COMMIT as the login, so they go before it.
CLOSE ALL

-- name: store
-- Requests to be sent once this transaction has committed.
SELECT aerofn_internal.store_fetches({function}, {role}, {claims}, {depth}, {requests})

-- name: complete
-- The events' end belongs to the effects' transaction.
SELECT aerofn_internal.complete_events(ARRAY[{events}]::bigint[], ARRAY[{tokens}]::bigint[])

-- name: keep
-- And so does what the sender of a request is answered, again and again
SELECT aerofn_internal.keep_result({result}, {token}, {output}, {invocation})

-- name: keep_event
SELECT aerofn_internal.keep_event_result({event}, {output}, {invocation})

-- name: commit
COMMIT

-- name: savepoint
SAVEPOINT aerofn_{number}

-- name: release
RELEASE SAVEPOINT aerofn_{number}

-- name: undo
ROLLBACK TO SAVEPOINT aerofn_{number}

-- name: rollback
ROLLBACK

-- name: reset
-- Nothing stays for the next invocation: what DISCARD ALL does, which cannot stand in a message with others,
-- without throwing away the plans of AeroFn's own functions.
SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; CLOSE ALL; DEALLOCATE ALL; UNLISTEN *;
DISCARD SEQUENCES; DISCARD TEMP

-- name: unlock
-- Behind a reset; where the next invocation begins in the same message, begin_invocation() does it.
SELECT pg_advisory_unlock_all()

-- name: ending
-- Of a transaction that wrote nothing, in front of reset, COMMIT and the next one's beginning. The reset has a
-- transaction of its own: it would become a part of the next one, and be undone with it.
CLOSE ALL; COMMIT; BEGIN

-- name: stop
-- A stuck transaction, ended by the same login on another connection
SELECT pg_terminate_backend({backend})
