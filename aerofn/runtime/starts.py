"""How many runs may begin on the loop before those that have begun are over: few, as long as the loop has enough to do.

A run that begins while others are under way makes none of them end earlier, but all their memories have to fit into
the processor's caches: of 32 callers that each wait on a short query, a few at a time make 7 % more requests a second
than all at once, and half the p99. Who waits for something longer than that must hold nobody up: when the loop has
nothing to do, or when a run is `OLD_S`, it does not count any more.
"""

import asyncio
import itertools
import time
from collections.abc import Hashable

from aerofn.runtime.line import Line

YOUNG = 6
OLD_S = 0.05
LOOK_S = 0.002  # while somebody waits
PROMPT_S = (
    0.0015  # a timer no later than this, of a thread that computed less than half the time: the loop is idle
)


class Starts:
    """Whoever begins takes a number and gives it back at the end; those who have to wait are called owner by owner."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._numbers = itertools.count(1)
        self._most = YOUNG
        self._young: dict[int, float] = {}  # by number: when it began, the oldest first
        self._line: Line[asyncio.Future[int]] = Line()
        self._looks_from: tuple[float, float] | None = None  # the wall and the thread's time at the last look

    def take(self) -> int | None:
        """A number, if a run may begin now; who gets none calls `wait`."""
        return None if self._line or len(self._young) >= self._most else self._begin()

    async def wait(self, owner: Hashable) -> int:
        """A number, when it is the owner's turn."""
        turn: asyncio.Future[int] = self._loop.create_future()
        self._line.put(owner, turn)
        if self._looks_from is None:
            self._look_later()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(turn.result())  # its turn had come: the next may have it
            raise

    def leave(self, number: int) -> None:
        """The run with this number is over."""
        if self._young.pop(number, None) is not None and self._line:
            self._call()

    def _begin(self) -> int:
        number = next(self._numbers)
        self._young[number] = time.perf_counter()
        return number

    def _call(self) -> None:
        while len(self._young) < self._most and (turn := self._line.take()) is not None:
            if not turn.done():
                turn.set_result(self._begin())

    def _look_later(self) -> None:
        self._looks_from = time.perf_counter(), time.thread_time()
        self._loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        """Let those not count any more who hold nobody up."""
        assert self._looks_from is not None
        wall, computed = self._looks_from
        self._looks_from = None
        now = time.perf_counter()
        if now - wall < LOOK_S + PROMPT_S and time.thread_time() - computed < (now - wall) / 2:
            self._young.clear()
            self._most *= 2
        else:
            self._most = YOUNG
            for number in [number for number, began in self._young.items() if began < now - OLD_S]:
                del self._young[number]
        self._call()
        if self._line:
            self._look_later()
        else:
            self._most = YOUNG
