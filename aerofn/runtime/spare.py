"""Sandboxes made ahead of their runs: the loop's thread, which all runs share, is left with the guests' own work.

Each is as fresh as any: instantiated, and no guest's handler has run in it. They are for a moment only, so that what
a guest does when it is instantiated is never long ago. Where a function runs again and again, the pool's threads free
what was used and make the next one in its place, a few at a time: waking a thread takes the loop half as long as a
small guest's sandbox. And one is made on the loop itself while that waits for the lease of an event.
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

MOST = 8  # to be used, and used: more of JavaScript's do not fit into the processor's caches
BATCH = 4
BATCH_S = 0.05  # they wait no longer than this for enough of them
LONGEST_S = 1.0
OFTEN_S = 0.02  # a function that ran so short a time ago is likely to run before its spare is old
MOST_UNFIT = 1000


class Spares:
    """A few fibers that wait for their runs, and those that the threads are to make, or make, into such."""

    def __init__(
        self, tiers: "Tiers", workers: Workers, loop: asyncio.AbstractEventLoop, *, most: int
    ) -> None:
        """`most`: how many there may be, of those that the threads make."""
        self._tiers = tiers
        self._workers = workers
        self._loop = loop
        self._most = most
        self._ready: list[Fiber] = []  # the oldest first
        self._used: list[Fiber] = []
        self._coming = 0  # in the threads' hands
        self._timer: asyncio.TimerHandle | None = None
        self._hand_over_later: asyncio.TimerHandle | None = None
        self._unfit: set[bytes] = set()  # digests of components that take long, or want their host, so early

    def __len__(self) -> int:
        return len(self._ready) + len(self._used) + self._coming

    def take(self, component: Component, limits: Limits) -> Fiber | None:
        """One for such a run: the newest, whose memory is in the processor's caches."""
        if self._coming and not self._ready:
            self._workers.take_back()
        for fiber in reversed(self._ready):
            if fiber.fits(component, limits):
                self._ready.remove(fiber)
                return fiber
        return None

    def make(self, component: Component, limits: Limits) -> None:
        """Have one for `component`, if none is ready and it can be had at once."""
        component.idled = time.perf_counter()
        if self._ready or component.digest in self._unfit:
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
        """Have threads free a fiber and make one of its kind, if that is likely to run soon and they have the time.

        Not where `make` is called for it: the loop has time of its own then, which costs nothing.
        """
        component, now = fiber.component, time.perf_counter()
        often = now - component.ended < OFTEN_S
        component.ended = now
        if (
            not often
            or now - component.idled < OFTEN_S
            or len(self) >= self._most
            or self._workers.full
            or not fiber.at_home
            or component.digest in self._unfit
        ):
            return False
        fiber.forget()
        self._used.append(fiber)
        if len(self._used) >= BATCH:
            self._hand_over()
        elif self._hand_over_later is None:
            self._hand_over_later = self._loop.call_later(BATCH_S, self._hand_over_the_rest)
        return True

    def drop(self) -> None:
        """Free all that are here."""
        for fibers in (self._ready, self._used):
            while fibers:
                fibers.pop().release()

    def _hand_over(self) -> None:
        while self._used:
            fiber = self._used.pop()
            self._coming += 1
            self._workers.renew(fiber, partial(self._renewed, fiber), wake=not self._used)

    def _hand_over_the_rest(self) -> None:
        self._hand_over_later = None
        self._hand_over()

    def _renewed(self, fiber: Fiber) -> None:
        self._coming -= 1
        self._keep(fiber)

    def _keep(self, fiber: Fiber) -> None:
        if not fiber.ready:
            self._avoid(fiber.component.digest)
            fiber.release()
            return
        fiber.until = self._loop.time() + LONGEST_S
        self._ready.append(fiber)
        if self._timer is None:
            self._timer = self._loop.call_at(fiber.until, self._look)

    def _look(self) -> None:
        """One timer for all that come and go in its time: making one takes longer than most of what is done here."""
        self._timer = None
        while self._ready and self._ready[0].until <= self._loop.time():
            self._ready.pop(0).release()
        if self._ready:
            self._timer = self._loop.call_at(self._ready[0].until, self._look)

    def _avoid(self, digest: bytes) -> None:
        if len(self._unfit) >= MOST_UNFIT:
            self._unfit.clear()
        self._unfit.add(digest)
