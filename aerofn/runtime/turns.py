"""How much of the loop guests may take before other callbacks get a turn."""

import asyncio
import time
from collections.abc import Hashable

from aerofn.runtime.line import Line

CALLED = 32  # of those who wait, in one pass; who comes too late in it is the first of its owner in the next


class Turns:
    """A budget of time for each pass of the loop: beyond it, guests wait for the next pass, in turns of their owners.

    Whoever comes while somebody waits, or was called and has not run yet, waits too: else those who come would take
    the pass before those who were called run, and a few would wait for seconds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, budget_ms: int) -> None:
        self._loop = loop
        self._budget = budget_ms * 1_000_000
        self._until = 0
        self._open = False
        self._passes = 0
        self._first: asyncio.Task[object] | None = None  # who had time in this pass
        self._inside = 0
        self._waiting: Line[asyncio.Future[None]] = Line()
        self._late: Line[asyncio.Future[None]] = Line()

    def free(self) -> bool:
        """Whether a guest may run on the loop now; who may not calls `wait`."""
        if self._inside or not self._has_time():
            return False
        if self._first is None:
            self._first = asyncio.current_task(self._loop)
        return True

    def crowded(self) -> bool:
        """Whether other tasks' guests run on the loop in this pass too, or wait for that."""
        if self._inside:
            return True
        return self._first is not None and self._first is not asyncio.current_task(self._loop)

    def this_pass(self) -> int:
        """A number that is another one for whoever the loop has waited for."""
        if not self._open:
            self._begin_pass()
        return self._passes

    async def wait(self, owner: Hashable = None) -> None:
        """Return when a guest of `owner` may run on the loop."""
        turn = self._loop.create_future()
        self._waiting.put(owner, turn)
        self._inside += 1
        try:
            while True:
                if not self._open:  # those who were called may all have given up: nobody else would call
                    self._begin_pass()
                await turn
                if self._has_time():
                    return
                turn = self._loop.create_future()
                self._late.put(owner, turn)
        finally:
            self._inside -= 1

    def _has_time(self) -> bool:
        if not self._open:
            self._begin_pass()
        return time.perf_counter_ns() < self._until

    def _begin_pass(self) -> None:
        self._open = True
        self._until = time.perf_counter_ns() + self._budget
        self._loop.call_soon(self._next_pass)

    def _next_pass(self) -> None:
        self._open, self._first = False, None
        self._passes += 1
        self._waiting.prepend(self._late)
        called = 0
        while called < CALLED and (turn := self._waiting.take()) is not None:
            if not turn.done():  # else its run was cancelled
                turn.set_result(None)
                called += 1
        if self._waiting:  # also when nobody who was called is still there
            self._begin_pass()
