-- What AeroFn made beyond its own schemas, so that `aerofn uninstall` takes away that and nothing else.
-- Of the exposed roles that are there when this runs it is not known who made them: they are left alone.
SET LOCAL ROLE aerofn_owner;

CREATE TABLE aerofn_internal.made (
  kind text NOT NULL CHECK (kind IN ('role', 'membership')),
  role name NOT NULL,
  PRIMARY KEY (kind, role)
);
COMMENT ON COLUMN aerofn_internal.made.kind IS 'membership: of whoever migrated, in the role';

RESET ROLE;
