"""How many connections may outlive their request: without a bound, every host ever asked would cost one."""

import time
from collections.abc import Callable, Hashable


class WarmConnections:
    """Counts those of the node that are, or will be, open though nobody uses them; rather too many than too few.

    Args:
        most: that may be.
        seconds: after which an idle connection is closed.
        clock: seconds; tests give their own.
    """

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._total = 0
        # By whose they are and where they lead: how many are idle, and since when none was used.
        self._idle: dict[Hashable, tuple[int, float]] = {}

    def begin(self, key: Hashable) -> bool:
        """A request begins: whether its connection may stay open afterwards; then `end` must follow."""
        self._expire()
        number, since = self._idle.get(key, (0, 0.0))
        if number:
            self._idle[key] = number - 1, since
            return True
        if self._total >= self._most:
            return False
        self._total += 1
        return True

    def end(self, key: Hashable) -> None:
        """The request has ended."""
        number, _ = self._idle.get(key, (0, 0.0))
        self._idle[key] = number + 1, self._clock()

    def _expire(self) -> None:
        past = self._clock() - self._seconds
        for key in [key for key, (_, since) in self._idle.items() if since <= past]:
            self._total -= self._idle.pop(key)[0]
