"""When a node asks to be told of events, and when it looks so often that nobody need tell it.

NOTIFY makes every commit of the cluster wait for the one before it. Where that makes writers queue, a node does
without: it looks every few milliseconds instead, until little is found. Who writes sees by a lock whether anybody
asks (`aerofn_internal.wake()`).
"""

import time
from collections.abc import Callable
from typing import Protocol

_WINDOW_S = 1.0
_FEW = 10  # a second, wakeups or events
_LOOK_S = 0.01
_AFTERWARDS_S = (0.0, 0.05)  # looks after asking again, for those who had just seen that nobody asked


class Line(Protocol):
    """The connection wakeups come by; see `aerofn.db.listener.Listener`."""

    quiet: bool

    async def ask(self, *, quiet: bool) -> bool: ...  # noqa: D102
    async def crowded(self) -> bool: ...  # noqa: D102


class Wakeups:
    """Chooses between being told and looking often, by what a second brought.

    Args:
        clock: seconds; tests give their own.
    """

    def __init__(self, line: Line, clock: Callable[[], float] = time.monotonic) -> None:
        self._line = line
        self._clock = clock
        self._since = clock()
        self._heard = 0
        self._found = 0
        self._afterwards: list[float] = []

    def heard(self) -> None:
        """A wakeup came."""
        self._heard += 1

    def found(self, events: int) -> None:
        """A look brought so many events."""
        self._found += events

    async def longest(self, pause: float) -> float:
        """How long to wait before the next look, if nothing else comes up within `pause` seconds."""
        elapsed = self._clock() - self._since
        if elapsed >= _WINDOW_S:
            heard, found = self._heard / elapsed, self._found / elapsed
            self._since, self._heard, self._found = self._clock(), 0, 0
            await self._choose(heard, found)
        if self._line.quiet:
            return min(pause, _LOOK_S)
        return min(pause, self._afterwards.pop(0)) if self._afterwards else pause

    async def _choose(self, heard: float, found: float) -> None:
        if not self._line.quiet:
            if heard > _FEW and await self._line.crowded():
                await self._line.ask(quiet=True)
        elif found < _FEW and await self._line.ask(quiet=False):
            self._afterwards = list(_AFTERWARDS_S)
