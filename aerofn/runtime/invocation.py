"""The driving of one run: polls on the loop or on workers, host calls awaited, one time limit over all."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Hashable
from functools import partial
from typing import TYPE_CHECKING

from aerofn.errors import SteppedAside
from aerofn.model import Limits, Outcome, Run, Usage
from aerofn.runtime import ffi, verdict
from aerofn.runtime.backlog import Share
from aerofn.runtime.components import HOT, Component
from aerofn.runtime.fiber import Fiber
from aerofn.runtime.host import Host
from aerofn.runtime.sandbox import ASKS, OVER, Seen

if TYPE_CHECKING:
    from aerofn.runtime.runtime import Runtime

# One poll of a guest that gives way by itself takes less than this; one that computes takes a slice.
IDLE_POLL_NS = 200_000
IDLE_PAUSES_S = (0.0, 0.0, 0.0005, 0.001, 0.002, 0.005, 0.01)  # between polls of a guest that gives way
LARGE_EVENT = 256 << 10  # copying this much into a guest is done on a worker
STUBBORN = 3  # slices that no poll takes, but what nothing interrupts: wasmtime's copying of 100 MB

_log = logging.getLogger("aerofn.runtime")


class Invocation:
    """One call of `Runtime.run`."""

    __slots__ = (
        "_away", "_cancelling", "_computed_ns", "_deadline", "_expired", "_fiber", "_host", "_hot", "_long_ns",
        "_pauses", "_runtime", "_share", "_task", "_timer", "_was_hot", "component", "event", "limits", "owner",
    )  # fmt: skip

    def __init__(
        self,
        runtime: "Runtime",
        component: Component,
        event: bytes,
        *,
        host: Host,
        limits: Limits,
        owner: Hashable,
    ) -> None:
        self._runtime = runtime
        self.component = component
        self.owner = owner
        self.limits = limits
        self.event = ffi.valid_utf8(event)
        self._host = host
        self._hot = self._was_hot = False
        self._long_ns = runtime.config.slice_ms * 500_000  # half a slice of a processor's time
        self._computed_ns = 0
        self._pauses = 0
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._expired = False
        self._cancelling = 0

    @property
    def is_short(self) -> bool:
        """Whether it is likely to be over in one slice, and without waiting for its host."""
        return not (self.component.waits or self._begins_hot)

    @property
    def _begins_hot(self) -> bool:
        component = self.component
        return component.heat >= HOT or component.stubborn or len(self.event) > LARGE_EVENT

    async def run(self, fiber: Fiber, share: Share | None) -> Run:
        """Drive the guest to its end, from its first slice in a thread if it has a share of their time.

        Raises only CancelledError.
        """
        self._fiber, self._share = fiber, share
        self._away = share is not None  # a thread is to have its next slice, or had its last
        self._hot = self._was_hot = not self._away and self._begins_hot
        self._deadline = self._runtime.loop.time() + self.limits.timeout_ms / 1000
        fiber.begin(self.event, self._host)
        began = time.perf_counter()
        try:
            await self._drive()
            return self._report(began)
        except asyncio.CancelledError:
            if not self._ran_out():
                self._fiber.keep_lines()
                raise
            return self._report(began)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._release()

    async def _drive(self) -> None:
        fiber, component, turns = self._fiber, self.component, self._runtime.turns
        first, waits = True, False
        while True:
            self._away = self._hot or (first and self._away)
            said = await (self._on_worker() if self._away else self._on_loop(first))
            first = False
            if said & OVER or self._expired:
                component.waits = waits
                return
            waited = False
            if said & ASKS:
                self._arm()
                asked_in = turns.this_pass()
                if await fiber.answer():
                    waits = True
                    # a query that is refused is answered at once: who asks on and on must leave the loop too
                    waited = turns.this_pass() != asked_in
                if fiber.fault_error is not None:
                    return
            if waited:
                self._polled(fiber.seen().poll_ns)
                self._hot, self._pauses, self._computed_ns = component.stubborn, 0, 0
            else:
                await self._after_slice(asked=bool(said & ASKS))

    async def _on_loop(self, first: bool) -> int:
        if not (first or self._runtime.turns.free()):  # it was made in a turn
            self._arm()
            await self._runtime.turns.wait(self.owner)
        return self._fiber.advance()

    def _on_worker(self) -> Awaitable[int]:
        workers = self._runtime.workers
        if self._hot or self._share is None:
            self._arm()
            return workers.advance(self.owner, self._fiber)
        # soon over: a timer would be dearer than many a run
        leave = partial(self._runtime.backlog.leave, self._share)
        return workers.advance(self.owner, self._fiber, leave)

    async def _after_slice(self, *, asked: bool) -> None:
        """The loop waited for nothing: the guest's slice is used up, it gave way by itself, or it asked for little."""
        spent = self._fiber.seen().poll_ns
        self._polled(spent)
        self._computed_ns += spent
        if self._computed_ns > self._long_ns:
            self._heat()
            return
        if asked or spent > IDLE_POLL_NS:
            return  # slices end by the clock: it was not the guest that took this one, but a busy machine
        self._arm()
        await asyncio.sleep(IDLE_PAUSES_S[self._pauses])
        self._pauses = min(self._pauses + 1, len(IDLE_PAUSES_S) - 1)

    def _polled(self, ns: int) -> None:
        """A poll took so long, of a processor's time."""
        if ns > 2 * STUBBORN * self._long_ns:
            self.component.stubborn = True

    def _heat(self) -> None:
        self._hot = True
        if not self._was_hot:
            self._was_hot = True
            self.component.heat = min(self.component.heat + 1, 2 * HOT)

    # --- the time limit ---

    def _arm(self) -> None:
        # only runs that ever wait pay for a timer: a slice on the loop ends soon enough by itself
        if self._timer is None:
            self._task = task = asyncio.current_task()
            assert task is not None
            self._cancelling = task.cancelling()
            self._timer = self._runtime.loop.call_at(self._deadline, self._expire)

    def _expire(self) -> None:
        self._expired = True
        assert self._task is not None
        self._task.cancel()

    def _ran_out(self) -> bool:
        """Whether the CancelledError just caught is our own timer's and nobody else's."""
        return self._expired and self._task is not None and self._task.uncancel() <= self._cancelling

    # --- the end ---

    def _report(self, began: float) -> Run:
        seen = self._fiber.seen()
        if seen.state & ASKS:
            self._fiber.keep_lines()
        output, ending = self._ending(seen)
        usage = Usage(
            wall_ms=(time.perf_counter() - began) * 1000,
            cpu_ms=seen.cpu_ns / 1e6,
            memory_peak=self._memory_peak(ending, seen),
            bytes_in=len(self.event),
            bytes_out=seen.size,
            host_calls=seen.host_calls,
        )
        if ending is None:
            return Run(Outcome.SUCCESS, output, None, usage)
        return Run(ending[0], None, ending[1], usage)

    def _memory_peak(self, ending: verdict.Verdict | None, seen: Seen) -> int | None:
        if ending is not None and ending[0] is Outcome.MEMORY_LIMIT:
            return self.limits.memory_mb << 20
        return self._fiber.memory_peak(seen.pages)

    def _ending(self, seen: Seen) -> tuple[bytes | None, verdict.Verdict | None]:
        fiber, limits, most = self._fiber, self.limits, self._runtime.config.max_output_bytes
        if fiber.fault_error is not None:
            if not isinstance(fiber.fault_error, SteppedAside):
                _log.error("the host failed during a run", exc_info=fiber.fault_error)
            return None, verdict.host_error()
        if self._expired or not seen.state & OVER:
            return None, verdict.timeout(limits)
        if seen.failure:
            return None, verdict.of_failure(fiber.failure() or "", limits)
        if seen.size > most:
            return None, verdict.too_large(seen.size, most)
        text = ffi.bytes_at(seen.text, seen.size)
        return (text, None) if seen.ok else (None, verdict.of_error(text))

    def _release(self) -> None:
        seen, component = self._fiber.seen(), self.component
        component.ran(seen.cpu_ns)
        if component.heat and seen.cpu_ns < self._long_ns:
            component.heat -= 1
        self._polled(seen.poll_ns)
        runtime, over = self._runtime, bool(seen.state & OVER)
        if over and self._away:
            self._fiber.release()  # the thread has freed its guest
        elif over and not self._was_hot and runtime.spares.renew(self._fiber):
            pass
        # a hot one may have touched much memory, and giving that back takes a while
        elif self._was_hot or self._away or self._better_freed_away():
            runtime.workers.release(self._fiber)
        elif over:
            runtime.ended.add(self._fiber)
        else:
            self._fiber.release()

    def _better_freed_away(self) -> bool:
        """Whether freeing it holds others up, and a thread has time for that."""
        runtime = self._runtime
        heavy = self.component.tier.warm and runtime.spare_cores
        return heavy and runtime.running > 1 and not runtime.workers.full
