"""Events in company: what is alike waits in one lane, for a shared transaction or for its trigger's next batch.

A commit and its round trips cost more than a small function does. Under load, where several events of the same
function and caller wait, a lane takes them in turn, a few dozen to a transaction, and never waits for more to
come. Who cannot stay (see `bridge.shared`) and everybody whose transaction is lost runs again alone, within the
same attempt: what happened in the transaction is undone, and nobody is charged for a neighbour.

Batches of one trigger are few at a time: what comes meanwhile makes the next one larger.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import msgspec
import structlog

from aerofn.db.events import Lease
from aerofn.dispatch.calls import Waiting
from aerofn.dispatch.contract import Queue, Registry
from aerofn.dispatch.group import Group
from aerofn.dispatch.habits import Habits
from aerofn.dispatch.invoker import Completed, Invoker
from aerofn.errors import AeroFnError, DatabaseUnavailable
from aerofn.model import Event

log = structlog.get_logger(__name__)
_COMMIT_S = 10.0
_json = msgspec.json.Encoder()
_BATCHES = 2  # of one trigger and caller at a time
Alike = tuple[str, str | None, int, bytes]


class Outlets:
    """Where events go that do not end in a lane.

    Args:
        alone: runs an event by itself.
        batch: runs events in one invocation, to their end.
        failed: settles an event whose function failed.
        room: told when the lanes have come nearer to their end.
    """

    def __init__(
        self,
        alone: Callable[[Waiting], None],
        batch: Callable[[list[Waiting]], Awaitable[None]],
        failed: Callable[[Event, Completed], None],
        room: Callable[[], None],
    ) -> None:
        self.alone = alone
        self.batch = batch
        self.failed = failed
        self.room = room


class Lane(msgspec.Struct):
    """Alike events, and how many transactions take from them."""

    waiting: deque[Waiting]
    tasks: int = 0


class Lanes:
    """Takes events that may share transactions.

    Args:
        most: events to a transaction; 1: none are shared.
    """

    def __init__(
        self, queue: Queue, registry: Registry, invoker: Invoker, outlets: Outlets, most: int
    ) -> None:
        self._queue = queue
        self._registry = registry
        self._invoker = invoker
        self._outlets = outlets
        self._most = most
        self._habits = Habits()
        self._lanes: dict[Alike, Lane] = {}
        self._filled_groups: set[Group] = set()  # whose commit has a task that has not begun
        self.running: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Events that wait in lanes."""
        return sum(len(lane.waiting) for lane in self._lanes.values())

    def take(self, one: Waiting, *, more: bool) -> bool:
        """Take an event if it may share a transaction; `more`: other events wait behind it.

        A retry runs alone: it may be what broke the transaction.
        """
        event, batches = one.event, one.event.batch_size > 1
        if not (more or batches or self._lanes):
            return False
        if event.attempt > 1 or not (batches or self._may_share(event.function)):
            return False
        trigger = event.trigger_name if batches else None
        alike = (event.function, trigger, event.depth, _json.encode(event.caller))
        lane = self._lanes.get(alike)
        if lane is None:
            if not (more or batches):
                return False
            lane = self._lanes[alike] = Lane(deque())
        lane.waiting.append(one)
        if lane.tasks < (_BATCHES if batches else self._habits.lanes(event.function)):
            self._begin(alike, lane)
        return True

    def _may_share(self, function: str) -> bool:
        return self._most > 1 and self._habits.may_share(function)

    def give_up(self) -> list[Lease]:
        """Forget what has not begun; the leases of those events."""
        leases = [one.lease for lane in self._lanes.values() for one in lane.waiting]
        for lane in self._lanes.values():
            lane.waiting.clear()
        return leases

    def abandon(self) -> list[Lease]:
        """Undo what was run and would be committed by tasks that were cancelled before they began; its leases."""
        groups, self._filled_groups = self._filled_groups, set()
        for group in groups:
            group.abandon()
        return [lease for group in groups for lease in group.leases]

    def _begin(self, alike: Alike, lane: Lane) -> None:
        lane.tasks += 1
        self._spawn(self._run(alike, lane))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a shared transaction could not be settled; its leases will run out", error=repr(error))
        self._outlets.room()

    async def _run(self, alike: Alike, lane: Lane) -> None:
        ending: asyncio.Task[None] | None = None  # of the last transaction: its commit waits for the disk
        try:
            while lane.waiting:
                size = lane.waiting[0].event.batch_size
                if size > 1:
                    await self._outlets.batch(_taken(lane.waiting, size))
                elif self._habits.may_share(alike[0]):
                    group = await self._filled(lane.waiting)
                    self._filled_groups.add(group)
                    older, ending = ending, self._spawn(self._finish(group))
                    await asyncio.sleep(0)  # the commit goes out first
                    if older is not None:
                        await asyncio.wait({older})  # one commits while another one is filled, and no more
                else:
                    break
                self._outlets.room()
        finally:
            lane.tasks -= 1
            if not lane.tasks:
                del self._lanes[alike]
                for one in lane.waiting:
                    self._outlets.alone(one)

    async def _filled(self, waiting: deque[Waiting]) -> Group:
        """Run what waits in one transaction, as far as it goes."""
        function = waiting[0].event.function
        eager = self._habits.queries(function)
        group = Group(function, self._invoker, self._registry, self._most, eager=eager)
        async with self._given_up(group):
            await group.run(waiting)
        return group

    async def _finish(self, group: Group) -> None:
        """Commit, and settle what did not succeed."""
        self._filled_groups.discard(group)
        async with self._given_up(group):
            await self._commit(group)
        group.abandon()  # does nothing once committed
        self._learn(group.function, group)
        for one, trial in group.failed:
            self._outlets.failed(one.event, self._invoker.conclude(trial))
        for one in group.aside:
            self._outlets.alone(one)

    @contextlib.asynccontextmanager
    async def _given_up(self, group: Group) -> AsyncIterator[None]:
        """Give a transaction and its events up if the block is broken off."""
        try:
            yield
        except asyncio.CancelledError:
            group.abandon()
            with contextlib.suppress(DatabaseUnavailable):
                await self._queue.give_back(group.leases)
            raise
        except BaseException:
            group.abandon()
            raise

    def _learn(self, function: str, group: Group) -> None:
        if any(trial.queries for _, trial in group.kept[:1]):
            self._habits.queried(function)
        if group.late:
            self._habits.strike(function)
        elif group.waited_ms is not None:
            self._habits.ran(function, group.waited_ms)
        if group.shared is not None and group.shared.alone is not None:
            self._habits.avoid(function, group.shared.alone)

    async def _commit(self, group: Group) -> None:
        leases = [one.lease for one, _ in group.kept]
        try:
            async with asyncio.timeout(_COMMIT_S):
                done = await self._settle(group, leases)
        except (AeroFnError, TimeoutError) as error:
            log.info("a shared transaction is undone", events=len(leases), error=str(error))
            done = set()
        for one, trial in group.kept:
            if one.event.id in done:
                self._invoker.conclude(trial)
            else:
                self._invoker.forget(trial)
                group.aside.append(one)

    async def _settle(self, group: Group, leases: list[Lease]) -> set[int]:
        """Commit the transaction if there is one; the events that are done."""
        if not leases:
            if group.shared is not None:
                await group.shared.rollback()
            return set()
        if group.shared.broken:
            return set()
        if not group.shared.open:
            return await self._queue.complete(leases)
        await group.shared.commit(leases)
        return {lease.event for lease in leases}


def _taken(waiting: deque[Waiting], most: int) -> list[Waiting]:
    return [waiting.popleft() for _ in range(min(most, len(waiting)))]
