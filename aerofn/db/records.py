"""Invocation records as they are read: the newest ones, those of an event, one whole, or what comes in."""

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from aerofn import sql
from aerofn.db.database import Database
from aerofn.db.jsonb import fields_of
from aerofn.errors import NotFound
from aerofn.model import Status

_Q = sql.queries("records")
_JSON = ("error", "logs")


class ListedRecord(msgspec.Struct, frozen=True):
    """A record as the view `aerofn.invocations` has it; `reason` is its error's message.

    `error` and `logs` are JSON as PostgreSQL wrote it, null where they were not asked for.
    """

    id: str
    timestamp: datetime
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
    cpu_ms: float
    host_calls: int | None
    bytes_in: int | None
    bytes_out: int | None
    trace_id: str | None
    error: Any
    logs: Any


class Wanted(NamedTuple):
    """Which records: of a function, with an outcome or FAILED, that ended at `since` or later."""

    function: str | None = None
    status: Status | None = None
    since: datetime | None = None


class Records:
    """Reads records; every method is one statement, and may also raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(
        self,
        wanted: Wanted,
        limit: int,
        *,
        after: tuple[datetime, str] | None = None,
        whole: bool = False,
    ) -> list[ListedRecord]:
        """Up to `limit` records, newest first.

        Args:
            after: time and id of the last one of the page before.
            whole: with errors and logs.
        """
        at, last = after or (None, None)
        return _listed(await self._database.fetch(_Q.newest, *wanted, at, last, whole, limit))

    async def oldest(self, wanted: Wanted, limit: int) -> list[ListedRecord]:
        """Up to `limit` records, whole, oldest first."""
        return _listed(await self._database.fetch(_Q.oldest, *wanted, limit))

    async def of_event(self, event: int, limit: int) -> list[ListedRecord]:
        """The attempts at an event, newest first."""
        return _listed(await self._database.fetch(_Q.of_event, event, limit))

    async def one(self, invocation: str) -> ListedRecord:
        """A whole record, by its id, a UUID.

        Raises:
            NotFound: there is none (any more).
        """
        for record in _listed(await self._database.fetch(_Q.one, invocation)):
            return record
        raise NotFound(
            f"there is no record of invocation {invocation}",
            hint="records are written within a second, and kept for AEROFN_RETENTION_HOURS",
        )


def _listed(rows: list[Any]) -> list[ListedRecord]:
    return [ListedRecord(**fields_of(row, _JSON)) for row in rows]
