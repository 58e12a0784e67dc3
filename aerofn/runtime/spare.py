"""Sandboxes made ahead of the runs they are for, while the loop does something else.

Each is as fresh as any: instantiated, and no guest's handler has run in it. They are for a moment only, so that what
a guest does when it is instantiated is never long ago. Where a function runs again and again, the pool's threads free
what was used and make the next one in its place: the loop's thread, which all runs share, is left with the guest's own
work. And one is made on the loop itself while that waits for the lease of an event.
"""

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from aerofn.model import Limits
from aerofn.runtime.components import Component
from aerofn.runtime.fiber import Fiber
from aerofn.runtime.links import CannotLoad
from aerofn.runtime.workers import Workers

if TYPE_CHECKING:
    from aerofn.runtime.tier import Tiers

MOST = 8  # as many as begin at once, and to spare
COMING = 3  # more than these in the threads' hands: they do not keep up
LONGEST_S = 1.0
OFTEN_S = 0.02  # a function that ran so short a time ago is likely to run before its spare is old
MOST_UNFIT = 1000


class Spares:
    """A few fibers that wait for their runs."""

    def __init__(self, tiers: "Tiers", workers: Workers, loop: asyncio.AbstractEventLoop) -> None:
        self._tiers = tiers
        self._workers = workers
        self._loop = loop
        self._fibers: list[Fiber] = []  # the oldest first
        self._coming = 0  # in the threads' hands
        self._timer: asyncio.TimerHandle | None = None
        self._unfit: set[bytes] = set()  # digests of components that take long, or want their host, so early

    def __len__(self) -> int:
        return len(self._fibers)

    def take(self, component: Component, limits: Limits) -> Fiber | None:
        """One for such a run, the newest; what it had before is in the processor's caches."""
        if self._coming and not self._fibers:
            self._workers.take_back()
        for fiber in reversed(self._fibers):
            if fiber.fits(component, limits):
                self._fibers.remove(fiber)
                return fiber
        return None

    def make(self, component: Component, limits: Limits) -> None:
        """Have one for `component`, if there is none at all yet and it can be had at once."""
        if self._fibers or component.digest in self._unfit:
            return
        tier = self._tiers.take(component.tier)
        if tier is None:
            return
        try:
            fiber = Fiber(component, tier, limits)
        except CannotLoad:  # the run will tell
            return
        fiber.make_ready()
        self._keep(fiber)

    def renew(self, fiber: Fiber) -> bool:
        """Have the threads free a fiber and make one of its kind, if that is likely to run soon and they have time."""
        component, now = fiber.component, time.perf_counter()
        often, component.ended = now - component.ended < OFTEN_S, now
        if (
            not often
            or self._coming >= COMING
            or self._coming + len(self._fibers) >= MOST
            or self._workers.full
            or not fiber.at_home
            or component.digest in self._unfit
        ):
            return False
        self._coming += 1
        fiber.forget()
        self._workers.renew(fiber, partial(self._renewed, fiber))
        return True

    def drop(self) -> None:
        """Free all that are there."""
        while self._fibers:
            self._fibers.pop().release()

    def _renewed(self, fiber: Fiber) -> None:
        self._coming -= 1
        self._keep(fiber)

    def _keep(self, fiber: Fiber) -> None:
        if not fiber.ready:
            self._avoid(fiber.component.digest)
            fiber.release()
            return
        fiber.until = self._loop.time() + LONGEST_S
        self._fibers.append(fiber)
        if self._timer is None:
            self._timer = self._loop.call_at(fiber.until, self._look)

    def _look(self) -> None:
        """One timer for all that come and go in its time: making one takes longer than most of what is done here."""
        self._timer = None
        while self._fibers and self._fibers[0].until <= self._loop.time():
            self._fibers.pop(0).release()
        if self._fibers:
            self._timer = self._loop.call_at(self._fibers[0].until, self._look)

    def _avoid(self, digest: bytes) -> None:
        if len(self._unfit) >= MOST_UNFIT:
            self._unfit.clear()
        self._unfit.add(digest)
