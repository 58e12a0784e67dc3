"""The runtime: deploys, loads and runs components, each run in a fresh sandbox as part of an asyncio task.

A run starts on the loop's thread, for most functions need less than one slice, or in one of the pool's, where others
are under way (`_better_away`). A guest that uses its slice up goes on in the pool's threads until the loop waits for
something on its behalf, and so does from the start one that is known to (`Invocation._drive`); the loop never waits
for it. Whatever ends a run (a result, a trap, the time limit, cancellation), its stack is unwound before `run`
returns, and no thread is inside it any more. Its memory is freed by then, or in the loop's next pass after a result
(`ended`).
"""

import asyncio
import enum
import hashlib
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Hashable

from aerofn.errors import HostError
from aerofn.model import GuestError, Limits, Outcome, Run, Usage
from aerofn.runtime.backlog import Backlog, Share
from aerofn.runtime.components import Component, Components
from aerofn.runtime.config import RuntimeConfig
from aerofn.runtime.ended import Ended
from aerofn.runtime.fiber import Fiber
from aerofn.runtime.host import Host
from aerofn.runtime.invocation import Invocation
from aerofn.runtime.links import CannotLoad
from aerofn.runtime.spare import MOST, Spares
from aerofn.runtime.starts import Starts
from aerofn.runtime.tier import Tiers
from aerofn.runtime.turns import Turns
from aerofn.runtime.workers import Workers

_log = logging.getLogger("aerofn.runtime")


def refuse_python(version: tuple[int, ...]) -> None:
    """Refuse Python 3.14.0, whose stack checks abort on foreign stacks (cpython GH-139653)."""
    if version[:3] == (3, 14, 0):
        raise RuntimeError("AeroFn cannot run on Python 3.14.0 (cpython GH-139653): use 3.14.1 or later.")


class State(enum.Enum):
    """Where a runtime is in its life; threads exist only while it runs."""

    NEW = enum.auto()
    RUNNING = enum.auto()
    CLOSED = enum.auto()


class Runtime:
    """Runs components, on the asyncio loop that first calls `run`, and on that one alone."""

    def __init__(self, config: RuntimeConfig) -> None:
        refuse_python(sys.version_info[:3])
        self.config = config
        self._tiers = Tiers(config.max_instances, config.slice_ms)
        self._components = Components(self._tiers, config)
        self._state = State.NEW
        self.running = 0
        self.spare_cores = _cores() > 1

    def _start(self) -> None:
        if self._state is State.CLOSED:
            raise HostError("The runtime is closed.")
        self.loop = asyncio.get_running_loop()
        self.workers = workers = Workers(self.config.worker_threads, self.loop)
        try:
            self._tiers.ticker.start()
        except HostError:  # no thread for it: the next run tries again
            workers.close()
            raise
        self.turns = Turns(self.loop, self.config.slice_ms)
        most = MOST if self.spare_cores else 0
        self.spares = Spares(self._tiers, workers, self.loop, most=most)
        self.ended = Ended(self.loop)
        self.starts = Starts(self.loop)
        self.backlog = Backlog(self.loop, self.config.max_instances)
        self._state = State.RUNNING

    @property
    def busy_workers(self) -> int:
        """How many threads of the pool run a guest right now, at the most."""
        return self.workers.busy if self._state is State.RUNNING else 0

    @property
    def loaded(self) -> int:
        """How many compiled components are in memory."""
        return len(self._components)

    async def prepare(self, wasm: bytes) -> bytes:
        """Check and compile a component for later runs; returns its SHA-256 digest.

        Raises:
            InvalidComponent: the bytes are no component that can be a function.
            CompileFailed: compiling took too much time or memory.
        """
        digest = await asyncio.to_thread(_digest, wasm)
        await self._components.prepare(wasm, digest)
        return digest

    async def load(self, digest: bytes, fetch: Callable[[], Awaitable[bytes]]) -> Component:
        """The compiled component of `digest`: from memory, from disk, or compiled from `await fetch()`.

        Raises:
            InvalidComponent, CompileFailed: as `prepare`, for what `fetch` gave.
        """
        return await self._components.load(digest, fetch)

    async def run(
        self, component: Component, event: bytes, host: Host, limits: Limits, owner: Hashable = None
    ) -> Run:
        """Run one invocation in a fresh sandbox.

        Guests that compute take turns by `owner`, the function; without one, by component.

        Whatever the guest does is told by the returned `Run`; a `host` that raises is the outcome
        `host_error`, with the exception in the log, and so is a node without a free sandbox. Cancelling
        the task kills the guest.
        """
        if self._state is not State.RUNNING:
            self._start()
        invocation = Invocation(
            self, component, event, host=host, limits=limits, owner=owner or component.digest
        )
        if self._better_away(invocation):
            return await self._run_away(invocation)
        return await self._run_here(invocation)

    def _better_away(self, invocation: Invocation) -> bool:
        """Whether a run is better a thread's from the start.

        Others under way would be held up; giving it to a thread and back takes the loop less than a small guest. One
        that waits goes on on the loop, and so begins there: its memory is in that processor's caches then.
        """
        return (
            self.spare_cores
            and invocation.is_short
            and self.workers.open_to_short
            and (self.workers.have_short or self.turns.crowded())
        )

    async def _run_away(self, invocation: Invocation) -> Run:
        share = Share(invocation.component)
        taken = self.backlog.take(share)
        if not taken:
            self.workers.take_back()  # they may have done what nobody knows of
            taken = self.backlog.take(share)
        try:
            if not taken:
                await self.backlog.wait(invocation.owner, share)
                if not invocation.is_short:  # as others have shown meanwhile
                    self.backlog.leave(share)
                    return await self._run_here(invocation)
            return await self._run(invocation, share)
        finally:
            if share.taken:
                self.backlog.leave(share)

    async def _run_here(self, invocation: Invocation) -> Run:
        owner = invocation.owner
        if not self.turns.free():
            await self.turns.wait(owner)  # before it has a number, which others could have meanwhile
        number = self.starts.take()
        called = number is None
        if number is None:
            number = await self.starts.wait(owner)
        try:
            if called and not self.turns.free():
                await self.turns.wait(owner)
            return await self._run(invocation)
        finally:
            self.starts.leave(number)

    async def _run(self, invocation: Invocation, share: Share | None = None) -> Run:
        component, limits = invocation.component, invocation.limits
        try:
            fiber = None if share else self.spares.take(component, limits)
            fiber = fiber or self._fresh(component, limits)
            while fiber is None and await self.workers.freed():
                fiber = self._fresh(component, limits)
        except CannotLoad as error:
            _log.error("a compiled component cannot be loaded once more: %s", error)
            return _refused(invocation.event, "AeroFn failed to start the function.")
        if fiber is None:
            message = f"All {self.config.max_instances} sandboxes of this node are in use."
            return _refused(invocation.event, message)
        self.running += 1
        try:
            return await invocation.run(fiber, share)
        finally:
            self.running -= 1

    async def tidy(self) -> None:
        """Say in the cache directory what is in use, and keep it within its bound: now and then, while it runs."""
        await asyncio.to_thread(self._components.tidy)

    def _fresh(self, component: Component, limits: Limits) -> Fiber | None:
        """A new sandbox, if there is a place for it."""
        self.ended.free()
        self.workers.take_back()
        tier = self._tiers.take(component.tier)
        if tier is None:
            self.spares.drop()
            tier = self._tiers.take(component.tier)
        return None if tier is None else Fiber(component, tier, limits)

    def make_ready(self, component: Component, limits: Limits) -> None:
        """Make a sandbox ahead of a run of `component` that is likely, if any ran before; see `Spares`."""
        if self._state is State.RUNNING and self.turns.free():
            self.ended.free()
            self.spares.make(component, limits)

    async def close(self) -> None:
        """Stop the threads and forget all components. Runs must be over. Idempotent."""
        before, self._state = self._state, State.CLOSED
        if before is State.RUNNING:
            self.ended.free()
            self.workers.close()
            self.spares.drop()
        self._components.close()
        if before is State.RUNNING:
            await asyncio.to_thread(self._tiers.ticker.stop)


def _refused(event: bytes, message: str) -> Run:
    usage = Usage(wall_ms=0, cpu_ms=0, memory_peak=None, bytes_in=len(event), bytes_out=0, host_calls=0)
    return Run(Outcome.HOST_ERROR, None, GuestError(message, name="HostError"), usage)


def _digest(wasm: bytes) -> bytes:
    return hashlib.sha256(wasm).digest()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
