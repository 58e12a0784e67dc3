"""Sandboxes whose guests have come to their end: freed a moment later, when what waited for the result has gone on.

An answer is on its way then, or the next statement of a shared transaction is. Whoever makes another sandbox frees
them first, so that it takes the memory that is in the processor's caches.
"""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aerofn.runtime.fiber import Fiber


class Ended:
    """Those of one pass of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._fibers: list[Fiber] = []

    def add(self, fiber: "Fiber") -> None:
        """Free it in the next pass, at the latest."""
        if not self._fibers:
            self._loop.call_soon(self.free)
        self._fibers.append(fiber)

    def free(self) -> None:
        """Free all that are here."""
        while self._fibers:
            self._fibers.pop().release()
