-- What a function's transaction is made of (aerofn/bridge/session.py). {braces} are filled in by the bridge
-- with quoted identifiers, literals and numbers of its own, never with a guest's text.

-- name: begin
BEGIN; SELECT aerofn_auth.begin_invocation({doc})

-- name: execute
-- $1 kind, $2 the guest's statement, $3 its parameters as text, $4 most rows, $5 most bytes
SELECT ok, doc FROM aerofn_run.{role}($1, $2, $3, $4, $5)

-- name: finish
-- Deferred constraints, under the role.
SELECT aerofn_run.{finish}();

-- name: complete
-- The event's end belongs to the effects' transaction.
SELECT aerofn_internal.complete_event({event}, {token});

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

-- name: reset
-- Nothing stays for the next invocation. DISCARD ALL cannot stand in a message with others, and would take
-- the executor's prepared statement along: this is the rest of it.
SELECT aerofn_internal.tidy(); RESET ALL; CLOSE ALL; UNLISTEN *; DISCARD SEQUENCES; DISCARD TEMP
