-- Triggers whose functions are given several events at once.
SET LOCAL ROLE aerofn_owner;

ALTER TABLE aerofn_internal.triggers
  ADD COLUMN batch_size int NOT NULL DEFAULT 1 CHECK (batch_size BETWEEN 1 AND 1000);

-- Their arguments change: the API makes them anew.
DO $$
DECLARE
  f regprocedure;
BEGIN
  FOR f IN SELECT p.oid FROM pg_proc p
    WHERE p.pronamespace = 'aerofn'::regnamespace AND p.proname = 'create_row_trigger'
       OR p.pronamespace = 'aerofn_internal'::regnamespace AND p.proname = 'add_row_trigger' LOOP
    EXECUTE format('DROP FUNCTION %s', f);
  END LOOP;
END $$;

RESET ROLE;
