"""Invocation records as an operator reads them: the newest ones, those of an event, and one whole."""

from datetime import datetime
from typing import Any

import msgspec

from aerofn import sql
from aerofn.db.database import Database
from aerofn.errors import NotFound
from aerofn.model import LogLine

_Q = sql.queries("invocation_list")


class InvocationLine(msgspec.Struct, frozen=True, kw_only=True):
    """An invocation in a list; `at` is when it ended, `reason` the beginning of its error's message."""

    id: str
    at: datetime
    function: str
    version: int | None
    trigger: str
    event_id: int | None
    attempt: int
    status: str
    duration_ms: float
    memory_peak_mb: float | None
    queries: int
    role: str
    user_id: str | None
    reason: str | None


class ShownInvocation(InvocationLine, frozen=True, kw_only=True):
    """A whole record."""

    cpu_ms: float
    host_calls: int | None
    bytes_in: int | None
    bytes_out: int | None
    error: dict[str, Any] | None
    logs: list[LogLine]


class InvocationList:
    """Reads records; every method may also raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def some(
        self,
        *,
        function: str | None = None,
        failed: bool = False,
        after: tuple[datetime, str] | None = None,
        limit: int = 50,
    ) -> list[InvocationLine]:
        """Up to `limit` records, newest first; `after`: time and id of the last one of the page before."""
        at, last = after or (None, None)
        rows = await self._database.fetch(_Q.some, function, failed, at, last, limit)
        return [InvocationLine(**row) for row in rows]

    async def of_event(self, event: int, limit: int) -> list[InvocationLine]:
        """The attempts at an event, newest first."""
        return [InvocationLine(**row) for row in await self._database.fetch(_Q.of_event, event, limit)]

    async def one(self, invocation: str) -> ShownInvocation:
        """A record, by its id, a UUID.

        Raises:
            NotFound: there is none (any more).
        """
        row = await self._database.fetchrow(_Q.one, invocation)
        if row is None:
            raise NotFound(
                f"there is no record of invocation {invocation}",
                hint="records are written within a second, and kept for AEROFN_RETENTION_HOURS",
            )
        fields = dict(row)
        fields["error"] = msgspec.json.decode(row["error"]) if row["error"] else None
        fields["logs"] = msgspec.json.decode(row["logs"], type=list[LogLine])
        return ShownInvocation(**fields)
