"""A sandbox made ahead of the run it is for, while the loop waits for something else: the lease of that run's event.

It is as fresh as any: instantiated, and no guest's handler has run in it. One for each runtime, of the component that
is likely to run next, and for a moment only, so that what a guest does when it is instantiated is never long ago.
"""

import asyncio
from typing import TYPE_CHECKING

from aerofn.model import Limits
from aerofn.runtime.components import Component
from aerofn.runtime.fiber import Fiber
from aerofn.runtime.links import CannotLoad

if TYPE_CHECKING:
    from aerofn.runtime.tier import Tiers

LONGEST_S = 1.0
MOST_NS = 5_000_000  # of a processor's time; JavaScript takes a tenth of that
MOST_UNFIT = 1000


class Spare:
    """At most one fiber that waits for its run."""

    def __init__(self, tiers: "Tiers", loop: asyncio.AbstractEventLoop) -> None:
        self._tiers = tiers
        self._loop = loop
        self._fiber: Fiber | None = None
        self._memory_mb = 0
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0
        self._unfit: set[bytes] = set()  # digests of components that take long, or want their host, so early
        self.component: Component | None = None  # whose run it is for, while there is one

    def make(self, component: Component, limits: Limits) -> None:
        """Have one for `component`, if there is none yet and it can be had at once."""
        if self._fiber is not None or component.digest in self._unfit:
            return
        tier = self._tiers.take(component.tier)
        if tier is None:
            return
        try:
            fiber = Fiber(component, tier, limits)
        except CannotLoad:  # the run will tell
            return
        if not fiber.instantiate(MOST_NS):
            fiber.release()
            self._avoid(component.digest)
            return
        self._fiber, self.component, self._memory_mb = fiber, component, limits.memory_mb
        self._until = self._loop.time() + LONGEST_S
        if self._timer is None:
            self._timer = self._loop.call_at(self._until, self._look)

    def take(self, component: Component, limits: Limits) -> Fiber | None:
        """The one that is there, if it is for such a run."""
        fiber = self._fiber
        if fiber is None or self.component is not component or self._memory_mb != limits.memory_mb:
            return None
        self._forget()
        return fiber

    def drop(self) -> None:
        """Free the one that is there."""
        fiber = self._fiber
        self._forget()
        if fiber is not None:
            fiber.release()

    def _look(self) -> None:
        """One timer for all that come and go in its time: making one takes longer than most of what is done here."""
        self._timer = None
        if self._fiber is None:
            return
        if self._loop.time() < self._until:
            self._timer = self._loop.call_at(self._until, self._look)
        else:
            self.drop()

    def _forget(self) -> None:
        self._fiber = self.component = None

    def _avoid(self, digest: bytes) -> None:
        if len(self._unfit) >= MOST_UNFIT:
            self._unfit.clear()
        self._unfit.add(digest)
