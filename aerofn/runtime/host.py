"""What a guest may reach, handed over for each invocation."""

from typing import Protocol


class Host(Protocol):
    """The host's side of `wit/aerofn.wit`. Strings carry JSON; it is not looked at here.

    Called on the loop's thread, one call at a time for each run. An exception raised here ends the run as `host_error`.
    """

    async def db_query(self, sql: str, params: str) -> tuple[bool, bytes]:
        """Run one statement; (True, rows as JSON text) or (False, error as JSON text)."""
        ...

    async def http_fetch(self, request: str) -> tuple[bool, bytes]:
        """Send one HTTP request; (True, response as JSON text) or (False, error as JSON text)."""
        ...

    async def wait(self, seconds: float) -> None:
        """Return after so much time."""
        ...

    def log(self, level: str, message: str, at: float) -> None:
        """Keep one line that the function logged `at` (seconds, CLOCK_MONOTONIC) some milliseconds ago."""
        ...

    def env(self, key: str) -> str | None:
        """A granted environment key's value, else None."""
        ...
