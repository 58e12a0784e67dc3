"""From leased events to the invocation they ask for: one event, or a batch of one trigger's."""

import time
from collections.abc import Sequence

import msgspec

from aerofn.db.events import Lease
from aerofn.dispatch.invoker import Call
from aerofn.model import Event, Version

_json = msgspec.json.Encoder()


class Waiting(msgspec.Struct, frozen=True):
    """A leased event, and until when its lease is certain to be ours (`time.monotonic`)."""

    event: Event
    until: float

    @property
    def certain(self) -> bool:
        """Whether the lease cannot have passed to another node while the event waited here."""
        return time.monotonic() < self.until

    @property
    def lease(self) -> Lease:
        """What its settlement must present."""
        return Lease(self.event.id, self.event.token)


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


def call_for(events: Sequence[Event], version: Version) -> Call:
    """The invocation of `version` for one event, or for several of one trigger and caller."""
    first = events[0]
    return Call(
        version=version,
        caller=first.caller,
        payload=first.payload if first.batch_size == 1 else _batch(events),
        trigger=first.trigger,
        leases=tuple([Lease(event.id, event.token) for event in events]),
        attempt=first.attempt,
        depth=first.depth,
        parents=tuple([event.traceparent for event in events if event.traceparent is not None]),
    )


def _batch(events: Sequence[Event]) -> bytes:
    first = events[0]
    sender = _Sender(first.caller.role, first.caller.subject)
    payloads = [msgspec.Raw(event.payload) for event in events]
    return _json.encode(_Batch(first.trigger, first.trigger_name, payloads, first.attempt, sender))
