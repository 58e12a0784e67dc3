"""AeroFn: functions for your Postgres."""

__version__ = "0.1.0"
