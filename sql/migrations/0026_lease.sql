-- Leasing answers what is to be run in the statement that leases it. No node need be gone: those of the version before
-- have a statement of their own.
SET LOCAL ROLE aerofn_owner;

-- What they answer changes: the API makes one of them anew, and the others are no more.
DROP FUNCTION IF EXISTS aerofn_internal.lease(int, int, float8, float8, bigint, smallint[]);
DROP FUNCTION IF EXISTS aerofn_internal.lease_free(int, int, float8, smallint, timestamptz, bigint);
DROP FUNCTION IF EXISTS aerofn_internal.leased(bigint[]);

-- Whether any function has a cap is asked at every look.
CREATE INDEX versions_capped ON aerofn_internal.versions (id) WHERE max_concurrency IS NOT NULL;

RESET ROLE;
