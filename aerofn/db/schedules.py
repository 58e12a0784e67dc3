"""Schedules as nodes read them, and what a node decides about their ticks. The time is the database's own."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from aerofn import sql
from aerofn.db.database import Database

_Q = sql.queries("schedules")
_MOST = 500
_json = msgspec.json.Encoder()


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule with something to decide. `decided_until`: every tick up to there is settled."""

    id: int
    revision: int
    fields: str
    either_day: bool
    timezone: str
    missed: str
    decided_until: datetime
    next_at: datetime | None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Which ticks become events, and when the next one is. Counts only while the schedule has that revision."""

    id: int
    revision: int
    decided_until: datetime
    next_at: datetime | None = None
    ticks: list[datetime] = []
    error: dict[str, Any] | None = None


class Looked(msgspec.Struct, frozen=True):
    """The schedules with something to decide at `now`."""

    now: datetime | None
    schedules: list[Schedule]


class Schedules:
    """The schedules' table. Every method is one statement and raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look(self) -> Looked:
        """Those with a tick that is due or a next one not computed, 500 at most."""
        rows = [dict(row) for row in await self._database.fetch(_Q.look, _MOST)]
        now = [row.pop("now") for row in rows]
        return Looked(now[0] if now else None, [Schedule(**row) for row in rows])

    async def decide(self, decisions: Sequence[Decision]) -> int:
        """Make the ticks' events, in one transaction; answers how many decisions counted."""
        made: int = await self._database.fetchval(_Q.decide, _json.encode(decisions).decode())
        return made

    async def seconds_to_next(self) -> float | None:
        """Seconds until the next tick of all, if one is known; negative when it is overdue."""
        seconds: float | None = await self._database.fetchval(_Q.next)
        return seconds
