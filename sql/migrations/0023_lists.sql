-- Indexes for lists that people look at: whatever a table's size, a page of a list reads as many rows as it shows.
-- No node need be gone: nothing else changes, and nodes of the version before write the same rows.
SET LOCAL ROLE aerofn_owner;

CREATE INDEX invocations_at ON aerofn_internal.invocations ("timestamp" DESC);
-- Failures are few, and what one looks for.
CREATE INDEX invocations_failed ON aerofn_internal.invocations ("timestamp" DESC) WHERE status <> 'success';
CREATE INDEX invocations_failed_of ON aerofn_internal.invocations (function, "timestamp" DESC) WHERE status <> 'success';

-- An event comes into these when it is given up, and costs nothing before.
CREATE INDEX events_dead ON aerofn_internal.events (id) WHERE state = 'dead';
CREATE INDEX events_dead_of ON aerofn_internal.events (trigger_id, id) WHERE state = 'dead';

RESET ROLE;
