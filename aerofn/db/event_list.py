"""Events as an operator sees them: what waits and what failed, and the decision to run it again or give it up."""

from datetime import datetime
from typing import Any

import msgspec

from aerofn import sql
from aerofn.db.database import Database
from aerofn.db.jsonb import fields_of
from aerofn.errors import NotFound

_Q = sql.queries("event_list")
_JSON = ("claims", "record", "old_record", "payload", "errors")


class ListedEvent(msgspec.Struct):
    """An event in a list; `reason` is its last attempt's error, `errors` are those of all attempts."""

    id: int
    function: str | None
    trigger: str | None
    source: str
    state: str
    priority: int
    attempt: int
    max_attempts: int
    depth: int
    role: str
    run_at: datetime
    created_at: datetime
    node: int | None
    reason: str | None
    errors: Any


class ShownEvent(ListedEvent):
    """An event with what it brings its function."""

    claims: Any
    lease_until: datetime | None
    operation: str | None
    record: Any
    old_record: Any
    payload: Any
    dedup_key: str | None


class EventLine(msgspec.Struct, frozen=True):
    """An event in a list for people; of its last attempt's error the beginning."""

    id: int
    function: str | None
    trigger: str | None
    source: str
    state: str
    attempt: int
    max_attempts: int
    run_at: datetime
    created_at: datetime
    reason: str | None


class DeadOfTrigger(msgspec.Struct, frozen=True):
    """How many dead events a trigger has."""

    trigger: str
    function: str
    dead: int


class EventList:
    """Lists events and decides over them; every method may also raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def some(
        self,
        *,
        state: str | None = None,
        function: str | None = None,
        trigger: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[ListedEvent]:
        """Up to `limit` events that fit, newest first; `before`: with a lower id, for the next page."""
        rows = await self._database.fetch(_Q.some, state, function, trigger, before, limit)
        return [ListedEvent(**fields_of(row, _JSON)) for row in rows]

    async def one(self, event: int, longest: int | None = None) -> ShownEvent:
        """An event with its payload and the errors of all its attempts.

        Args:
            longest: characters after which payload, records, claims and errors are cut; they may be no JSON then.

        Raises:
            NotFound: there is none (any more).
        """
        cut = () if longest is None else (longest,)
        row = await self._database.fetchrow(_Q.one_cut if cut else _Q.one, event, *cut)
        if row is None:
            raise NotFound(
                f"there is no event {event}", hint="completed events are gone; what ran is in the invocations"
            )
        return ShownEvent(**fields_of(row, _JSON))

    async def waiting(self, before: int, limit: int) -> list[EventLine]:
        """Up to `limit` pending and running events with an id lower than `before`, newest first."""
        return [EventLine(**row) for row in await self._database.fetch(_Q.waiting, before, limit)]

    async def dead(self, trigger: str | None, before: int, limit: int) -> list[EventLine]:
        """The same for dead ones, of a trigger or of all."""
        return [EventLine(**row) for row in await self._database.fetch(_Q.dead, trigger, before, limit)]

    async def dead_by_trigger(self, limit: int) -> list[DeadOfTrigger]:
        """The triggers with the most dead events."""
        return [DeadOfTrigger(**row) for row in await self._database.fetch(_Q.dead_by_trigger, limit)]

    async def replay(self, event: int) -> None:
        """Give a dead or cancelled event its attempts back.

        Raises:
            NotFound: there is no such event in these states.
        """
        await self._database.call(_Q.replay, event)

    async def discard(self, event: int) -> None:
        """Give up a pending or dead event.

        Raises:
            NotFound: there is no such event in these states.
        """
        await self._database.call(_Q.discard, event)

    async def replay_all(self, trigger: str) -> int:
        """Give all dead events of a trigger their attempts back; answers how many there were.

        Raises:
            NotFound: there is no such trigger.
        """
        return int(await self._database.call(_Q.replay_all, trigger))

    async def discard_all(self, trigger: str) -> int:
        """Give up all dead events of a trigger; answers how many there were.

        Raises:
            NotFound: there is no such trigger.
        """
        return int(await self._database.call(_Q.discard_all, trigger))
