"""Where a look for events begins, so that an old transaction elsewhere does not make looking slow.

While any transaction of the server is old, nothing that was leased since it began can be cleaned out of the index:
a look from the very beginning walks over all of it, and takes longer and longer. Once looks are slow, most of them
begin where the last one found something, in the priorities seen so far; what only a look from the beginning finds (an
event of a transaction that took longer than five seconds, a new priority) waits a second or so for the next of those.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

_SLOW_S = 0.006
_EACH_S = 0.0002  # for each event that a look brings, it may take longer
_PERIOD_S = 1.0
_SHARE = 10  # looks from the beginning may take a tenth of the time
_USUAL = 0


class Place(NamedTuple):
    """Due time in seconds since 1970 and id of the first event to look at; `priorities`: None for all."""

    due: float
    id: int
    priorities: list[int] | None


class Found(NamedTuple):
    """An event that a look brought; `due` is None if it was held and leased by another way."""

    due: float | None
    id: int
    priority: int


BEGINNING = Place(-math.inf, 0, None)


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
        self._from = (math.inf, 0)
        self._priorities = {_USUAL}

    def place(self) -> Place:
        """Where to begin the next look."""
        self._whole = not self._slow or self._clock() >= self._next_whole
        return BEGINNING if self._whole else Place(*self._from, sorted(self._priorities))

    def looked(self, seconds: float, found: Sequence[Found], *, filled: bool) -> None:
        """A look took `seconds` and brought these events; `filled`: there may be more."""
        if self._whole:
            self._slow = seconds > _SLOW_S + _EACH_S * len(found)
            self._next_whole = self._clock() + max(_PERIOD_S, seconds * _SHARE)
        self._priorities.update(event.priority for event in found)
        free = [(event.due, event.id) for event in found if event.due is not None]
        self._from = min(free) if filled and free else (math.inf, 0)

    def forget(self) -> None:
        """Look from the beginning next: events were put back."""
        self._next_whole = 0.0
