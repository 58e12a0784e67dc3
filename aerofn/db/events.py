"""Events as the service handles them: leasing a batch, and settling what was leased."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from aerofn import sql
from aerofn.db.database import Database
from aerofn.db.horizon import Found, Horizon
from aerofn.db.jsonb import jsonb
from aerofn.db.payloads import payload_of
from aerofn.model import Caller, Event
from aerofn.tracing import parent_of

_Q = sql.queries("events")
_MOST_LOOKS = 20  # in one lease, which is not to outlast whoever asks


class Lease(NamedTuple):
    """An event's id and the fencing token its settlement must present."""

    event: int
    token: int


class Events:
    """The events table. Every method is one statement; all raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._horizon = Horizon()

    async def lease(self, node: int, most: int, seconds: float) -> list[Event]:
        """Take up to `most` due events for `node`, for `seconds` at the longest."""
        for _ in range(_MOST_LOOKS):
            rows = await self._look(node, most, seconds)
            mine = sorted((row for row in rows if row["token"] is not None), key=_rank)
            if mine or not rows:  # else all of them are of functions with a cap, and held back by now
                return [event for row in mine if (event := await self._read(row)) is not None]
        return []

    async def _read(self, row: Any) -> Event | None:
        """The event of a row; None for one that no function can be given, which is buried: no other is to suffer."""
        try:
            return _event(row)
        except (RecursionError, ValueError) as error:
            detail = "its JSON is nested too deeply" if isinstance(error, RecursionError) else str(error)
            told = {"code": "unreadable_event", "message": "the event cannot be read", "detail": detail}
            await self.bury(Lease(row["id"], row["token"]), {"attempt": row["attempt"], **told})
            return None

    async def _look(self, node: int, most: int, seconds: float) -> list[Any]:
        started = time.monotonic()
        rows = await self._database.fetch_at_once(_Q.lease, node, most, seconds, *self._horizon.place())
        found = [Found(row["due"], row["id"], row["priority"]) for row in rows]
        self._horizon.looked(time.monotonic() - started, found, filled=len(rows) >= most)
        return rows

    async def secure(self) -> None:
        """Wait until what was leased so far is on PostgreSQL's disk: `lease` itself does not."""
        await self._database.execute(_Q.secure)

    async def complete(self, leases: Sequence[Lease]) -> set[int]:
        """Remove events that are done; answers the ids that were still leased to us."""
        rows = await self._database.fetch(_Q.complete, *_columns(leases))
        return {row["id"] for row in rows}

    async def retry(self, lease: Lease, seconds: float, error: dict[str, Any]) -> None:
        """Put an event back, due in `seconds`, with the error of this attempt kept."""
        await self._database.execute(_Q.retry, lease.event, lease.token, seconds, jsonb(error))

    async def bury(self, lease: Lease, error: dict[str, Any]) -> None:
        """Declare an event dead; it stays until it is replayed or discarded."""
        await self._database.execute(_Q.bury, lease.event, lease.token, jsonb(error))

    async def give_back(self, leases: Sequence[Lease]) -> None:
        """Return events that this node will not run, as if they had not been leased."""
        await self._database.execute(_Q.give_back, *_columns(leases))

    async def gone(self) -> frozenset[int]:
        """Nodes whose lock is free and that have not been forgotten yet; a few rows are looked at."""
        return frozenset(row["id"] for row in await self._database.fetch(_Q.gone_nodes))

    async def reclaim(self) -> int:
        """Free the events of nodes that are gone; answers how many."""
        rows = await self._database.fetch(_Q.reclaim)
        if rows:
            self._horizon.forget()
        await self._database.execute(_Q.forget_nodes)
        return len(rows)

    async def next_due(self) -> float | None:
        """Seconds until the next pending event is due, if one waits for its time."""
        value: float | None = await self._database.fetchval(_Q.next_due)
        return value


def _columns(leases: Sequence[Lease]) -> tuple[list[int], list[int]]:
    return [lease.event for lease in leases], [lease.token for lease in leases]


def _rank(row: Any) -> int:
    return -int(row["priority"])


def _event(row: Any) -> Event:
    claims = row["claims"]
    caller = Caller(row["role"], msgspec.json.decode(claims) if claims else {"role": row["role"]})
    return Event(
        id=row["id"],
        function=row["function"],
        trigger=row["source"],
        trigger_name=row["trigger_name"],
        payload=payload_of(row, caller),
        caller=caller,
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        token=row["token"],
        depth=row["depth"],
        created_at=row["created_at"],
        batch_size=row["batch_size"],
        parent=parent_of(row),
        held=row["due"] is None,
        due=None if row["waited"] is None else time.perf_counter() - row["waited"],
    )
