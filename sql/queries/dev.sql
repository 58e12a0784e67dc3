-- What `aerofn dev` remembers of a project's own migrations (aerofn/cli/dev), in the project's database.

-- name: make_migrations
CREATE SCHEMA IF NOT EXISTS aerofn_dev;
CREATE TABLE IF NOT EXISTS aerofn_dev.migrations (
  name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())

-- name: migrations
SELECT name, checksum FROM aerofn_dev.migrations

-- name: add_migration
INSERT INTO aerofn_dev.migrations (name, checksum) VALUES ($1, $2)
