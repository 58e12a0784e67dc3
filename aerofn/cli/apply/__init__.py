"""`aerofn apply`: the database is made as `aerofn.toml` declares, in one transaction."""
