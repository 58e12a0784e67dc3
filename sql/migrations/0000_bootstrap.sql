-- The schema that only the service uses, and what is known there of its own installation.
-- This one must run on an empty database: `migrate` finds out by these tables what else is missing.

CREATE SCHEMA IF NOT EXISTS aerofn_internal;
REVOKE ALL ON SCHEMA aerofn_internal FROM PUBLIC;

CREATE TABLE aerofn_internal.schema_migrations (
    version integer PRIMARY KEY CHECK (version >= 0),
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE aerofn_internal.schema_migrations IS 'The migrations applied to this database; checksum is the SHA-256 of the file.';

CREATE TABLE aerofn_internal.schema_api (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    checksum text NOT NULL,
    aerofn_version text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE aerofn_internal.schema_api IS 'Which state of the API functions and views is installed, and by which version of AeroFn.';
