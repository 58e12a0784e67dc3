"""From leased events to the invocation they ask for: one event, or a batch of one trigger's."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec

from aerofn.db.events import Lease
from aerofn.dispatch.invoker import Call
from aerofn.model import Event, Version

_json = msgspec.json.Encoder()


class Waiting(msgspec.Struct, frozen=True):
    """A leased event; until when its lease is certain to be ours (`time.monotonic`); what waits until it is safe."""

    event: Event
    until: float
    secured: "Securing"

    @property
    def certain(self) -> bool:
        """Whether the lease cannot have passed to another node while the event waited here."""
        return time.monotonic() < self.until

    @property
    def lease(self) -> Lease:
        """What its settlement must present."""
        return Lease(self.event.id, self.event.token)


class Securing:
    """What waits until the leases of one look are safe on the database's disk; see `dispatch.contract.Secured`.

    Args:
        secure: makes them so.
    """

    def __init__(self, secure: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._secure = secure
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Task[None]:
        """Do it, if it has not begun."""
        if self._task is None:
            self._task = asyncio.create_task(self._secure())
            self._task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may ask
        return self._task

    async def __call__(self) -> None:
        """Wait for its end; raises what it raised."""
        task = self.begin()
        if task.done():
            task.result()
        else:
            await asyncio.shield(task)


class _Sender(msgspec.Struct, frozen=True):
    role: str
    sub: str | None


class _Batch(msgspec.Struct, frozen=True):
    """What a function of a trigger with a batch size is given."""

    trigger: str
    name: str | None
    batch: list[msgspec.Raw]
    attempt: int
    caller: _Sender


def call_for(batch: Sequence[Waiting], version: Version) -> Call:
    """The invocation of `version` for one event, or for several of one trigger and caller."""
    first = batch[0].event
    return Call(
        version=version,
        caller=first.caller,
        payload=first.payload if first.batch_size == 1 else _batch([one.event for one in batch]),
        trigger=first.trigger,
        leases=tuple([one.lease for one in batch]),
        secured=batch[-1].secured,  # with it what was leased before
        attempt=first.attempt,
        depth=first.depth,
        due=first.due,
        parents=tuple([one.event.parent for one in batch if one.event.parent is not None]),
    )


def _batch(events: Sequence[Event]) -> bytes:
    first = events[0]
    sender = _Sender(first.caller.role, first.caller.subject)
    payloads = [msgspec.Raw(event.payload) for event in events]
    return _json.encode(_Batch(first.trigger, first.trigger_name, payloads, first.attempt, sender))
