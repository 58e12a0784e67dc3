"""Who may start now: at most so many invocations at once, a bounded queue behind them, and no more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aerofn.errors import Busy


class Admission:
    """A node's places for invocations.

    Args:
        places: invocations at the same time.
        waiting: callers that may wait for a place; further ones are refused.
    """

    def __init__(self, places: int, waiting: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._most_waiting = waiting
        self.waiting = 0

    @contextlib.asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Hold a place for the block.

        Raises:
            Busy: the queue is full.
        """
        if self._places.locked():
            await self._wait()
        else:
            await self._places.acquire()
        try:
            yield
        finally:
            self._places.release()

    async def _wait(self) -> None:
        if self.waiting >= self._most_waiting:
            raise Busy(
                "this node has as many invocations waiting as it may", retry_after=1, hint="try again shortly"
            )
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1
