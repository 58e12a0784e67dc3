"""Leases events and runs them: a few ahead of what runs, so that the queue is asked once for many."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from aerofn.db.events import Lease
from aerofn.dispatch import retry
from aerofn.dispatch.calls import Securing, Waiting, call_for
from aerofn.dispatch.contract import Queue, Registry
from aerofn.dispatch.invoker import Completed, Invoker
from aerofn.dispatch.lanes import Lanes, Outlets
from aerofn.dispatch.recorded import error_of
from aerofn.dispatch.sender import Sender
from aerofn.dispatch.sweep import Sweep
from aerofn.dispatch.wakeups import Wakeups
from aerofn.errors import AeroFnError, DatabaseUnavailable
from aerofn.model import Event, GuestError, Outcome

log = structlog.get_logger(__name__)
_FIRST_PAUSE_S = 0.1
# A request's result is kept by its own commit; what is to be sent is sent without a sandbox.
_BY_THEMSELVES = frozenset({"http", "fetch"})
_AHEAD = 3  # how many times the concurrency is leased before its turn


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How a node takes events. `lease_s` is beyond a function's own time limit; `share`: events to a transaction."""

    concurrency: int
    poll_s: float
    lease_s: float
    max_depth: int = 16
    share: int = 1


class Dispatcher:
    """One node's share of the events.

    Args:
        sender: runs the events that are requests to be sent.
        node: this node's id while its lock is held, else None: then nothing is leased.
    """

    def __init__(
        self,
        queue: Queue,
        registry: Registry,
        invoker: Invoker,
        node: Callable[[], int | None],
        pace: Pace,
        *,
        wakeups: Wakeups,
        sender: Sender,
    ) -> None:
        self._queue = queue
        self._registry = registry
        self._invoker = invoker
        self._sender = sender
        self._wakeups = wakeups
        self._node = node
        self._pace = pace
        self._lanes = Lanes(
            queue,
            registry,
            invoker,
            Outlets(self._run_alone, self._handle, self._settle_later, self._room),
            pace.share,
        )
        self._least = pace.concurrency  # so many are to wait here, at the least
        self._alone: deque[Waiting] = deque()
        self._ahead: deque[Waiting] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._wakeup = asyncio.Event()
        self._more = False  # the last look may have left some behind
        self._holding = False  # others may wait for the end of what runs here
        self._stopping = False
        self._leases_no_more = asyncio.Event()
        self._leases_no_more.set()

    @property
    def running(self) -> int:
        """Events, and lanes of events, that run now."""
        return len(self._running) + len(self._lanes.running)

    def wake(self) -> None:
        """Look for events now."""
        self._wakeup.set()

    async def idle(self) -> None:
        """Wait until no event runs here: those that ran are settled."""
        while running := self._running | self._lanes.running:
            await asyncio.wait(running)

    async def run(self) -> None:
        """Lease and run, until stopped."""
        self._leases_no_more.clear()
        async with asyncio.TaskGroup() as tasks:
            sweeping = tasks.create_task(Sweep(self._queue, self.wake).run())
            while not self._stopping:
                self._wakeup.clear()
                try:
                    pause = await self._wakeups.longest(await self._look())
                except DatabaseUnavailable as error:
                    log.warning("events cannot be leased", error=error.detail)
                    pause = self._pace.poll_s
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wakeup.wait()
            self._leases_no_more.set()
            sweeping.cancel()

    async def stop(self, grace_s: float) -> None:
        """Lease no more, give back what has not begun, let the rest end within `grace_s` seconds."""
        self._stopping = True
        self.wake()
        with contextlib.suppress(TimeoutError):  # a lease under way may still bring events
            async with asyncio.timeout(grace_s):
                await self._leases_no_more.wait()
        await self._give_back_waiting()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self.idle()
        cut = self._running | self._lanes.running
        for task in cut:
            task.cancel()
        await asyncio.gather(*cut, return_exceptions=True)
        await self._give_back(self._lanes.abandon())
        await self._give_back_waiting()  # who left a lane meanwhile

    async def _give_back_waiting(self) -> None:
        leases = [one.lease for one in (*self._ahead, *self._alone)] + self._lanes.give_up()
        self._ahead.clear()
        self._alone.clear()
        await self._give_back(leases)

    async def _look(self) -> float:
        """Lease what there is room for; answers the longest time to wait for a wakeup."""
        waiting, node = self._waiting, self._node()
        if node is None or waiting >= self._least:
            self._more = True
            return self._pace.poll_s
        room = self._least * _AHEAD - waiting
        if self._idle:
            asyncio.get_running_loop().call_soon(self._invoker.make_ready)  # while the answer is on its way
        leased = await self._queue.lease(node, room, self._pace.lease_s)
        self._wakeups.found(len(leased))
        self._least = max([self._pace.concurrency, *(event.batch_size for event in leased)])
        until = time.monotonic() + self._pace.lease_s
        if leased:
            securing = Securing(self._queue.secure)
            self._ahead.extend(Waiting(event, until, securing) for event in leased)
            self._start()
            securing.begin()  # while their sandboxes are made
        self._holding = any(event.held for event in leased) or (self._holding and not self._idle)
        self._more = 2 * len(leased) >= room  # free events have half the room if others are held back
        if self._more:
            return self._pace.poll_s if len(leased) == room else 0.0
        await asyncio.sleep(0)  # what was leased begins first
        due = await self._queue.next_due()
        return self._pace.poll_s if due is None else min(max(due, 0.0), self._pace.poll_s)

    @property
    def _idle(self) -> bool:
        return not (self.running or self._waiting)

    @property
    def _waiting(self) -> int:
        return len(self._ahead) + len(self._alone) + self._lanes.waiting

    def _start(self) -> None:
        while (self._alone or self._ahead) and self.running < self._pace.concurrency and not self._stopping:
            if self._alone:
                one = self._alone.popleft()
            else:
                one = self._ahead.popleft()
                if self._in_company(one.event) and self._lanes.take(one, more=bool(self._ahead)):
                    continue
            if one.certain:
                self._begin(self._handle([one]))

    def _in_company(self, event: Event) -> bool:
        return event.trigger not in _BY_THEMSELVES and event.depth <= self._pace.max_depth

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an event could not be settled; its lease will run out", error=repr(error))
        self._room()

    def _room(self) -> None:
        self._start()
        if self._waiting < self._least and (self._more or self._holding):
            self.wake()

    def _run_alone(self, one: Waiting) -> None:
        self._alone.append(one)
        self._start()

    def _settle_later(self, event: Event, completed: Completed) -> None:
        self._begin(self._settle(event, completed))

    async def _handle(self, batch: list[Waiting]) -> None:
        event = batch[0].event
        try:
            completed = await self._invoke(batch)
        except AeroFnError as error:
            if len(batch) == 1:
                lease = batch[0].lease
                await self._failed(event, lease, Outcome.HOST_ERROR, GuestError(error.message), error.body())
                return
        except asyncio.CancelledError:
            with contextlib.suppress(DatabaseUnavailable):
                await self._queue.give_back([one.lease for one in batch])
            raise
        else:
            if len(batch) == 1 or completed.run.outcome is Outcome.SUCCESS:
                await self._settle(event, completed)
                return
        await self._one_by_one(batch)

    async def _one_by_one(self, batch: list[Waiting]) -> None:
        """A batch that failed, within the same attempt: only who fails by itself is charged for it."""
        left = deque(batch)
        try:
            while left and not self._stopping:
                if (one := left.popleft()).certain:
                    await self._handle([one])
        finally:
            await self._give_back([one.lease for one in left])

    async def _settle(self, event: Event, completed: Completed) -> None:
        run = completed.run
        if run.outcome in (Outcome.SUCCESS, Outcome.CANCELLED):  # cancelled: the lease was lost
            return
        lease = Lease(event.id, event.token)
        await self._failed(event, lease, run.outcome, run.error, error_of(run, completed.failure) or {})

    async def _invoke(self, batch: list[Waiting]) -> Completed:
        event = batch[0].event
        if event.depth > self._pace.max_depth:
            raise _loop(event)
        version = await self._registry.active(event.function)
        runs = self._sender if event.trigger == "fetch" else self._invoker
        return await runs.invoke(call_for(batch, version))

    async def _failed(
        self,
        event: Event,
        lease: Lease,
        outcome: Outcome,
        error: GuestError | None,
        fields: dict[str, object],
    ) -> None:
        kept = {"attempt": event.attempt, "at": datetime.now(UTC).isoformat(), **fields}
        if event.depth > self._pace.max_depth or retry.is_final(event, outcome, error):
            await self._surely(lambda: self._queue.bury(lease, kept))
            return
        await self._surely(lambda: self._queue.retry(lease, retry.delay(event), kept))
        self.wake()  # so that its time is waited for

    async def _surely(self, settle: Callable[[], Awaitable[None]]) -> None:
        """Settle once the database answers: otherwise the event would stay leased until its lease ends.

        Settling twice is harmless: the token is gone after the first time.
        """
        pause = _FIRST_PAUSE_S
        while True:
            try:
                await settle()
                return
            except DatabaseUnavailable as error:
                if self._stopping:
                    raise
                log.warning("an event cannot be settled yet", error=error.detail, retry_in_s=pause)
            await asyncio.sleep(pause)
            pause = min(self._pace.poll_s, pause * 2)

    async def _give_back(self, leases: list[Lease]) -> None:
        if leases:
            with contextlib.suppress(DatabaseUnavailable):  # else their leases run out
                await self._queue.give_back(leases)


def _loop(event: Event) -> AeroFnError:
    return AeroFnError(
        f"this event stands {event.depth} functions deep: they start each other in a loop",
        hint="give the trigger a condition, or raise AEROFN_MAX_DEPTH",
        code="loop",
    )
