"""Where a look for events begins, so that an old transaction elsewhere does not make looking slow.

While any transaction of the server is old, nothing that was leased since it began can be cleaned out of the index:
a look from the very beginning walks over all of it, and takes longer and longer. Once looks are slow, most of them
begin where the last one found something; what only a look from the beginning finds (an event of a transaction that
took longer than five seconds) waits a second or so for the next of those.
"""

import math
import time
from collections.abc import Callable, Sequence

_SLOW_S = 0.02
_PERIOD_S = 1.0
_SHARE = 10  # looks from the beginning may take a tenth of the time


class Horizon:
    """Chooses the beginning of each look, by how long they take.

    Args:
        clock: seconds; tests give their own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._slow = False
        self._whole = True
        self._next_whole = 0.0
        self._from = math.inf

    def begin(self) -> float:
        """Due times to begin from, in seconds since 1970: minus infinity for a look from the beginning."""
        self._whole = not self._slow or self._clock() >= self._next_whole
        return -math.inf if self._whole else self._from

    def looked(self, seconds: float, due: Sequence[float], *, filled: bool) -> None:
        """A look took `seconds` and found events due at these times; `filled`: there may be more of them."""
        if self._whole:
            self._slow = seconds > _SLOW_S
            self._next_whole = self._clock() + max(_PERIOD_S, seconds * _SHARE)
        self._from = min(due) if filled and due else math.inf

    def forget(self) -> None:
        """Look from the beginning next: events were put back."""
        self._next_whole = 0.0
