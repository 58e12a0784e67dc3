"""Waits for invocations by their records: the demo never sleeps and hopes."""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from aerofn.errors import AeroFnError
from aerofn.model import Record


class Seen(NamedTuple):
    """A record, and when it came by the wall clock: the moment its invocation had ended."""

    record: Record
    ended: float

    @property
    def began(self) -> float:
        """When the invocation started, by the same clock."""
        return self.ended - self.record.duration_ms / 1000


class Watch:
    """Takes every record of the node. `then` is told each one as well, once it is set."""

    def __init__(self) -> None:
        self.then: Callable[[Record], None] | None = None
        self.seen: list[Seen] = []
        self._failed = False
        self._changed = asyncio.Event()

    def record(self, record: Record) -> None:
        """An invocation has ended."""
        self.seen.append(Seen(record, time.time()))
        self._changed.set()
        if self.then is not None:
            self.then(record)

    def failed(self) -> None:
        """The node cannot go on."""
        self._failed = True
        self._changed.set()

    async def broken(self) -> None:
        """Wait until the node cannot go on.

        Raises:
            AeroFnError: always, then.
        """
        while not self._failed:
            self._changed.clear()
            await self._changed.wait()
        raise _node_failed()

    async def until(self, function: str, trigger: str, number: int, seconds: float) -> list[Seen]:
        """The first `number` invocations of `function` by a `trigger` of that kind.

        Raises:
            AeroFnError: the node failed, or they did not come in time.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._until(function, trigger, number)
        except TimeoutError:
            raise AeroFnError(
                f"function {function} was to run {number} times, and did not within {seconds:.0f} seconds",
                detail=f"{len(self.seen)} invocations came",
                hint="look at aerofn.events and aerofn.functions for the reason",
            ) from None

    async def _until(self, function: str, trigger: str, number: int) -> list[Seen]:
        while True:
            self._changed.clear()
            if self._failed:
                raise _node_failed()
            found = [s for s in self.seen if (s.record.function, s.record.trigger) == (function, trigger)]
            if len(found) >= number:
                return found[:number]
            await self._changed.wait()


def _node_failed() -> AeroFnError:
    return AeroFnError("the service failed", hint="its log lines above say why")
