"""What a guest may reach: the database under its caller's role, granted hosts, logs and environment keys."""
