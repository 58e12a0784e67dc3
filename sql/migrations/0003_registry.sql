-- Functions, their versions and the triggers that start them.
SET LOCAL ROLE aerofn_owner;

CREATE TABLE aerofn_internal.components (
  digest bytea PRIMARY KEY CHECK (length(digest) = 32),
  wasm bytea NOT NULL
);
-- Components are read whole and compress little.
ALTER TABLE aerofn_internal.components ALTER COLUMN wasm SET STORAGE EXTERNAL;

CREATE TABLE aerofn_internal.functions (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z][A-Za-z0-9_-]{0,62}$'),
  active_version int,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TYPE aerofn_internal.version_status AS ENUM ('compiling', 'ready', 'failed');

CREATE TABLE aerofn_internal.versions (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  function_id int NOT NULL REFERENCES aerofn_internal.functions ON DELETE CASCADE,
  number int NOT NULL,
  digest bytea NOT NULL REFERENCES aerofn_internal.components,
  status aerofn_internal.version_status NOT NULL DEFAULT 'compiling',
  error jsonb,
  timeout_ms int CHECK (timeout_ms BETWEEN 1 AND 900000),
  memory_mb int CHECK (memory_mb BETWEEN 1 AND 4096),
  env text[] NOT NULL DEFAULT '{}',
  hosts text[] NOT NULL DEFAULT '{}',
  roles text[],
  run_as text,
  activate boolean NOT NULL DEFAULT true,
  compile_until timestamptz,
  compiled_by int,
  author text NOT NULL DEFAULT session_user,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (function_id, number)
);
CREATE INDEX versions_compiling ON aerofn_internal.versions (id) WHERE status = 'compiling';
CREATE INDEX versions_digest ON aerofn_internal.versions (digest);
ALTER TABLE aerofn_internal.functions
  ADD FOREIGN KEY (active_version) REFERENCES aerofn_internal.versions DEFERRABLE INITIALLY DEFERRED;
COMMENT ON COLUMN aerofn_internal.versions.roles IS 'Roles that may invoke; null: every exposed role';
COMMENT ON COLUMN aerofn_internal.versions.run_as IS 'Role the function acts as; null: its caller''s';
COMMENT ON COLUMN aerofn_internal.versions.activate IS 'Becomes the active version once it is ready';

CREATE TABLE aerofn_internal.triggers (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  function_id int NOT NULL REFERENCES aerofn_internal.functions,
  kind text NOT NULL CHECK (kind IN ('row', 'schedule', 'webhook')),
  relation oid,
  schema_name text,
  table_name text,
  operations text[],
  condition text,
  columns text[],
  run_as text NOT NULL,
  max_attempts int NOT NULL DEFAULT 5 CHECK (max_attempts BETWEEN 1 AND 100),
  enabled boolean NOT NULL DEFAULT true,
  created_by text NOT NULL DEFAULT session_user,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX triggers_function ON aerofn_internal.triggers (function_id);

-- Counts changes to the tables above; nodes compare it with what they last saw.
CREATE TABLE aerofn_internal.registry (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  revision bigint NOT NULL
);
INSERT INTO aerofn_internal.registry (revision) VALUES (1);

RESET ROLE;
