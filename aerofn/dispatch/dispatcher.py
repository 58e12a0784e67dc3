"""Leases events and runs them: a few ahead of what runs, so that the queue is asked once for many."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
import structlog

from aerofn.db.events import Lease
from aerofn.dispatch import retry
from aerofn.dispatch.contract import Queue, Registry
from aerofn.dispatch.invoker import Call, Completed, Invoker, error_of
from aerofn.dispatch.sender import Sender
from aerofn.dispatch.wakeups import Wakeups
from aerofn.errors import AeroFnError, DatabaseUnavailable
from aerofn.model import Event, GuestError, Outcome

log = structlog.get_logger(__name__)
_FIRST_PAUSE_S = 0.1
_LONGEST_SWEEP_S = 5.0  # between two
_AHEAD = 3  # how many times the concurrency is leased before its turn


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How a node takes events. `lease_s` is beyond a function's own time limit."""

    concurrency: int
    poll_s: float
    lease_s: float
    max_depth: int = 16


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
        self._ahead: deque[tuple[Event, float]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._wakeup = asyncio.Event()
        self._stopping = False
        self._leases_no_more = asyncio.Event()
        self._leases_no_more.set()

    @property
    def running(self) -> int:
        """Events that run now."""
        return len(self._running)

    def wake(self) -> None:
        """Look for events now."""
        self._wakeup.set()

    async def idle(self) -> None:
        """Wait until no event runs here: those that ran are settled."""
        while self._running:
            await asyncio.wait(self._running)

    async def run(self) -> None:
        """Lease and run, until stopped."""
        self._leases_no_more.clear()
        async with asyncio.TaskGroup() as tasks:
            sweeping = tasks.create_task(self._sweep())
            while not self._stopping:
                self._wakeup.clear()
                try:
                    pause = await self._wakeups.longest(await self._look())
                except DatabaseUnavailable as error:
                    log.warning("events cannot be leased", error=error.detail)
                    pause = self._pace.poll_s
                self._start()
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
        await self._give_back([Lease(event.id, event.token) for event, _ in self._ahead])
        self._ahead.clear()
        if self._running:
            await asyncio.wait(self._running, timeout=grace_s)
        cut = list(self._running)
        for task in cut:
            task.cancel()
        await asyncio.gather(*cut, return_exceptions=True)

    async def _look(self) -> float:
        """Lease what there is room for; answers the longest time to wait for a wakeup."""
        room = self._pace.concurrency * _AHEAD - len(self._ahead)
        node = self._node()
        if node is None or len(self._ahead) >= self._pace.concurrency:
            return self._pace.poll_s
        leased = await self._queue.lease(node, room, self._pace.lease_s)
        self._wakeups.found(len(leased))
        until = time.monotonic() + self._pace.lease_s
        self._ahead.extend((event, until) for event in leased)
        if leased:
            return self._pace.poll_s if len(leased) == room else 0.0
        due = await self._queue.next_due()
        return self._pace.poll_s if due is None else min(max(due, 0.0), self._pace.poll_s)

    def _start(self) -> None:
        while self._ahead and len(self._running) < self._pace.concurrency and not self._stopping:
            event, until = self._ahead.popleft()
            if time.monotonic() > until:
                continue  # its lease may have passed to another node while it waited here
            task = asyncio.create_task(self._handle(event))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an event could not be settled; its lease will run out", error=repr(error))
        self._start()
        if len(self._ahead) < self._pace.concurrency:
            self.wake()

    async def _handle(self, event: Event) -> None:
        lease = Lease(event.id, event.token)
        try:
            completed = await self._invoke(event, lease)
        except AeroFnError as error:
            await self._failed(event, lease, Outcome.HOST_ERROR, GuestError(error.message), error.body())
            return
        except asyncio.CancelledError:
            with contextlib.suppress(DatabaseUnavailable):
                await self._queue.give_back([lease])
            raise
        run = completed.run
        if run.outcome in (Outcome.SUCCESS, Outcome.CANCELLED):  # cancelled: the lease was lost
            return
        await self._failed(event, lease, run.outcome, run.error, error_of(run, completed.failure) or {})

    async def _invoke(self, event: Event, lease: Lease) -> Completed:
        if event.depth > self._pace.max_depth:
            raise _loop(event)
        version = await self._registry.active(event.function)
        runs = self._sender if event.trigger == "fetch" else self._invoker
        return await runs.invoke(
            Call(
                version=version,
                caller=event.caller,
                payload=event.payload,
                trigger=event.trigger,
                lease=lease,
                attempt=event.attempt,
                depth=event.depth,
            )
        )

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

    async def _sweep(self) -> None:
        """Free the events of nodes that are gone, once a poll interval."""
        pause = self._pace.poll_s
        while True:
            await asyncio.sleep(pause)
            started = time.monotonic()
            try:
                if await self._queue.reclaim():
                    self.wake()
            except DatabaseUnavailable as error:
                log.warning("events of lost nodes cannot be freed", error=error.detail)
                pause = self._pace.poll_s
            else:  # where an old transaction makes it slow, it must not take all of a core
                pause = max(self._pace.poll_s, min(_LONGEST_SWEEP_S, 10 * (time.monotonic() - started)))


def _loop(event: Event) -> AeroFnError:
    return AeroFnError(
        f"this event stands {event.depth} functions deep: they start each other in a loop",
        hint="give the trigger a condition, or raise AEROFN_MAX_DEPTH",
        code="loop",
    )
