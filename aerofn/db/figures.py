"""What functions have been doing lately, as numbers: of each one, of all, and what waits."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from aerofn import sql
from aerofn.db.database import Database

_Q = sql.queries("figures")
MINUTES = 60
# Counting a million events takes a seventh of a second each time.
COUNTED = 10_000


class Metrics(msgspec.Struct, frozen=True):
    """A function's last hour, as the view `aerofn.metrics` has it. Durations in milliseconds."""

    function: str
    invocations: int
    failures: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    memory_peak_mb: float | None
    last_at: datetime


class Minutes(NamedTuple):
    """Invocations and failures of each of the last 60 minutes, this one last."""

    invocations: list[int]
    failures: list[int]

    @classmethod
    def none(cls) -> "Minutes":
        """An hour in which nothing ran."""
        return cls([0] * MINUTES, [0] * MINUTES)


class Waiting(msgspec.Struct, frozen=True):
    """Events by state, counted up to COUNTED and beyond that estimated by PostgreSQL; and the nodes that live."""

    pending: int
    running: int
    dead: int
    nodes: int


class Figures:
    """Reads them; every method is one statement, and raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def metrics(self, functions: Sequence[str]) -> dict[str, Metrics]:
        """Of those functions that ran in the last hour, by name."""
        rows = await self._database.fetch(_Q.metrics, functions)
        return {row["function"]: Metrics(**row) for row in rows}

    async def minutes(self, functions: Sequence[str]) -> dict[str, Minutes]:
        """Of those functions that ran in the last hour, by name."""
        found: dict[str, Minutes] = {}
        for function, minute, invocations, failures in await self._database.fetch(_Q.minutes, functions):
            of_function = found.setdefault(function, Minutes.none())
            of_function.invocations[minute], of_function.failures[minute] = invocations, failures
        return found

    async def hour(self) -> Minutes:
        """Of all functions together."""
        hour = Minutes.none()
        for minute, invocations, failures in await self._database.fetch(_Q.hour):
            hour.invocations[minute], hour.failures[minute] = invocations, failures
        return hour

    async def failures(self, function: str) -> dict[str, int]:
        """How a function's invocations of the last hour failed, how often; the most frequent first."""
        return dict(await self._database.fetch(_Q.failures, function))

    async def waiting(self) -> Waiting:
        """The events that wait, run and are dead now."""
        return Waiting(**await self._database.fetchrow(_Q.waiting, COUNTED))
