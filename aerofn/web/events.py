"""`/manage/v1/events` and the replay of a trigger's dead events. For the admin role."""

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request

from aerofn.db.event_list import EventList, ListedEvent, ShownEvent
from aerofn.errors import InvalidRequest, NotFound
from aerofn.web.answer import Answer, json_answer
from aerofn.web.auth import Tokens
from aerofn.web.operation import operation
from aerofn.web.query import query_of

_FILTER_HINT = "state is pending, running, done, dead or cancelled; limit is 1 to 1000; before is an id"
_LONGEST_ID = 18  # digits of a bigint, with room to spare
Positive = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]
Text = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00]*$")]


class EventFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Which events to list."""

    state: Annotated[str, Meta(pattern="^(pending|running|done|dead|cancelled)$")] | None = None
    function: Text | None = None
    trigger: Text | None = None
    before: Positive | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class DecidedEvent(msgspec.Struct):
    """An event and the state it is in now."""

    id: int
    state: str


class Replayed(msgspec.Struct):
    """How many dead events of a trigger run again."""

    trigger: str
    replayed: int


class Discarded(msgspec.Struct):
    """How many dead events of a trigger were given up."""

    trigger: str
    discarded: int


class ManageEvents:
    """Events over HTTP. Every method raises InvalidToken or NotAllowed if the caller may not use it."""

    def __init__(self, events: EventList, tokens: Tokens) -> None:
        self._events = events
        self._tokens = tokens

    @operation("List events", answers={200: list[ListedEvent]}, query=EventFilter, errors=[InvalidRequest])
    async def list(self, request: Request) -> Answer:
        """Events, newest first; `?state=&function=&trigger=&before=&limit=`.

        Raises:
            InvalidRequest: a parameter that there is not, or that cannot be right.
        """
        await self._tokens.admin(request.scope)
        chosen = query_of(request, EventFilter, _FILTER_HINT)
        return json_answer(await self._events.some(**msgspec.structs.asdict(chosen)))

    @operation("Show an event", answers={200: ShownEvent}, errors=[NotFound])
    async def show(self, request: Request) -> Answer:
        """One event, with its payload and the errors of all its attempts.

        Raises:
            NotFound: there is none.
        """
        return json_answer(await self._events.one(await self._event(request)))

    @operation("Run a dead or cancelled event again", answers={200: DecidedEvent}, errors=[NotFound])
    async def replay(self, request: Request) -> Answer:
        """Give a dead or cancelled event its attempts back.

        Raises:
            NotFound: there is no such event in these states.
        """
        event = await self._event(request)
        await self._events.replay(event)
        return json_answer(DecidedEvent(event, "pending"))

    @operation("Give up a pending or dead event", answers={200: DecidedEvent}, errors=[NotFound])
    async def discard(self, request: Request) -> Answer:
        """Give up a pending or dead event.

        Raises:
            NotFound: there is no such event in these states.
        """
        event = await self._event(request)
        await self._events.discard(event)
        return json_answer(DecidedEvent(event, "cancelled"))

    @operation("Run all dead events of a trigger again", answers={200: Replayed}, errors=[NotFound])
    async def replay_all(self, request: Request) -> Answer:
        """Give all dead events of a trigger their attempts back: `{"replayed": 12}`.

        Raises:
            NotFound: there is no such trigger.
        """
        name = await self._trigger(request)
        return json_answer(Replayed(name, await self._events.replay_all(name)))

    @operation("Give up all dead events of a trigger", answers={200: Discarded}, errors=[NotFound])
    async def discard_all(self, request: Request) -> Answer:
        """Give up all dead events of a trigger: `{"discarded": 12}`.

        Raises:
            NotFound: there is no such trigger.
        """
        name = await self._trigger(request)
        return json_answer(Discarded(name, await self._events.discard_all(name)))

    async def _trigger(self, request: Request) -> str:
        await self._tokens.admin(request.scope)
        name: str = request.path_params["name"]
        if "\0" in name:
            raise NotFound(f"there is no trigger {name!r}")
        return name

    async def _event(self, request: Request) -> int:
        await self._tokens.admin(request.scope)
        text = request.path_params["event"]
        if not (text.isascii() and text.isdecimal()) or len(text) > _LONGEST_ID:
            raise NotFound(f"there is no event {text!r}", hint="an event's id is a number")
        return int(text)
