"""The service's own side of PostgreSQL: pools, migrations, the registry of functions, events and records."""
