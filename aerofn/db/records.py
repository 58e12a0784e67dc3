"""Invocation records as HTTP lists them; the newest first, or from a time on for those who follow."""

from datetime import datetime
from typing import Any

import msgspec

from aerofn import sql
from aerofn.db.database import Database

_Q = sql.queries("records")
_JSON = ("error", "logs")


class ListedRecord(msgspec.Struct, frozen=True):
    """A record as the view `aerofn.invocations` has it; `reason` is its error's message."""

    id: str
    timestamp: datetime
    function: str
    version: int | None
    trigger: str
    event_id: int | None
    attempt: int
    status: str
    duration_ms: float
    cpu_ms: float
    memory_peak_mb: float | None
    queries: int
    host_calls: int | None
    bytes_in: int | None
    bytes_out: int | None
    role: str
    user_id: str | None
    reason: str | None
    error: Any
    logs: Any


class Records:
    """Lists records; every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def some(
        self, function: str | None, status: str | None, since: datetime | None, limit: int, *, oldest: bool
    ) -> list[ListedRecord]:
        """Up to `limit` records that fit and ended at `since` or later; the oldest of them, or the newest."""
        statement = _Q.oldest if oldest else _Q.newest
        rows = await self._database.fetch(statement, function, status, since, limit)
        return [ListedRecord(**_fields(row)) for row in rows]


def _fields(row: Any) -> dict[str, Any]:
    """A row as JSON: what PostgreSQL wrote as JSON stays as it is."""
    return {
        key: msgspec.Raw(value.encode()) if key in _JSON and value is not None else value
        for key, value in row.items()
    }
