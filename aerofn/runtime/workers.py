"""Threads for guests that would hold up the loop: each advances one at a time, without Python.

Those that compute have slices in fair turns; a run that is likely to be over in its first slice is given at once, as
far as there is time for such (`backlog`).
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Hashable

from aerofn.errors import HostError
from aerofn.runtime import sandbox
from aerofn.runtime.fiber import Fiber
from aerofn.runtime.line import Line

LATER_S = 0.05  # the threads do not tell of what they released: nobody waits for that
_MANY = 4096  # bytes of a pipe, of which each says no more than "look"


class Slice:
    """A fiber that is to be advanced once, and who waits for that on the loop."""

    __slots__ = ("done", "fiber", "given", "said", "waiter")

    def __init__(self, fiber: Fiber, done: Callable[[], None] | None) -> None:
        self.fiber = fiber
        self.done = done  # a short one's: called before the waiter learns of it
        self.given = False  # to the threads: it cannot be taken back
        self.said: int | None = None  # what advancing it said
        self.waiter: asyncio.Future[None] | None = None

    def finish(self, said: int) -> None:
        """No thread is at it any more."""
        self.said = said
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Workers:
    """`count` threads. Owners (functions) get slices in turn, whatever number of guests each of them has waiting.

    All of this is for the loop's thread. The threads have a short line of their own, in C, so that none is idle until
    the loop has time for it.
    """

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._line: Line[Slice] = Line()
        self._most = 2 * count
        self._given: dict[int, Slice | Callable[[], None]] = {}  # by the run's address: what the threads have
        self._count = count
        self._slices = 0  # of what they have
        self._long = 0  # of the slices
        self._waking = False
        self._later: asyncio.TimerHandle | None = None
        self._freed = asyncio.Event()
        self._look, self._wake = os.pipe()
        os.set_blocking(self._look, False)
        os.set_blocking(self._wake, False)
        self._pool: int | None = sandbox.pool_new(count, self._wake)
        if not self._pool:
            self._close_pipe()
            raise HostError(
                "The system gives AeroFn no threads.", hint="raise its limit of threads (ulimit -u)"
            )
        loop.add_reader(self._look, self._told)

    @property
    def busy(self) -> int:
        """How many threads advance a guest, at the most."""
        return min(len(self._given), self._count)

    @property
    def full(self) -> bool:
        """Whether who comes with a long slice now would have to wait in line, or the threads have gone."""
        return self._pool is None or self._long >= self._most

    @property
    def have_short(self) -> bool:
        """Whether they have a short slice: others are under way, and a thread is awake."""
        return self._slices > self._long

    @property
    def open_to_short(self) -> bool:
        """Whether a thread is free of long slices."""
        return self._pool is not None and self._long < self._count

    async def advance(self, owner: Hashable, fiber: Fiber, short: Callable[[], None] | None = None) -> int:
        """`fiber.advance` on a thread, in a turn of `owner`; a short one at once, and `short` is called after it.

        Cancelling waits until no thread is at it any more (it, and what the threads had before it), or takes it out
        of the line.

        Raises:
            HostError: the threads have gone, while a run was under way.
        """
        if self._pool is None:
            raise HostError("The runtime is closed.")
        piece = Slice(fiber, short)
        if short is not None:
            self._give_short(piece)
        else:
            self._line.put(owner, piece)
            self._feed()
        try:
            while piece.said is None:
                await self._waiter(piece)
        except asyncio.CancelledError:
            await self._withdraw(owner, piece)
            raise
        return piece.said

    def _waiter(self, piece: Slice) -> asyncio.Future[None]:
        piece.waiter = waiter = self._loop.create_future()
        return waiter

    def release(self, fiber: Fiber) -> None:
        """`fiber.release` on a thread, before all that waits; nobody waits for it."""
        if self._pool is None:
            fiber.release()
        else:
            self._untold(fiber, sandbox.RELEASE, fiber.released, wake=True)

    def renew(self, fiber: Fiber, done: Callable[[], None], *, wake: bool) -> None:
        """Release `fiber` on a thread and make it ready once more; `done` is called when somebody looks.

        Without `wake` it may lie there until more is given to the threads. Not when the threads are `full`.
        """
        self._untold(fiber, sandbox.RENEW, done, wake=wake)

    def _untold(self, fiber: Fiber, errand: int, done: Callable[[], None], *, wake: bool) -> None:
        self._given[fiber.address] = done
        sandbox.pool_put(self._pool, fiber.address, errand, wake)
        if self._later is None:
            self._later = self._loop.call_later(LATER_S, self._look_later)

    async def freed(self) -> bool:
        """Wait until the threads have released a fiber, and its place is free; False if they have none to release."""
        if self._pool is None or len(self._given) == self._slices:
            return False
        self._freed.clear()
        sandbox.pool_expect(self._pool)
        return await self._freed.wait()

    def _look_later(self) -> None:
        self._later = None
        self.take_back()
        if len(self._given) > self._slices:
            self._later = self._loop.call_later(LATER_S, self._look_later)

    async def _withdraw(self, owner: Hashable, piece: Slice) -> None:
        if not piece.given:
            self._line.remove(owner, piece)
            return
        while piece.said is None:
            # the caller is told of the first one; a second cannot hurry the thread
            with contextlib.suppress(asyncio.CancelledError):
                await self._waiter(piece)

    def _feed(self) -> None:
        while self._long < self._most and (piece := self._line.take()) is not None:
            self._long += 1
            self._give(piece, wake=True)

    def _give_short(self, piece: Slice) -> None:
        self._give(piece, wake=False)
        if not self._waking:
            self._waking = True
            self._loop.call_soon(self._wake_a_thread)

    def _give(self, piece: Slice, *, wake: bool) -> None:
        piece.given = True
        self._slices += 1
        self._given[piece.fiber.address] = piece
        sandbox.pool_put(self._pool, piece.fiber.address, sandbox.ADVANCE, wake)

    def _wake_a_thread(self) -> None:
        """Once for all of a pass: waking takes longer than many a slice."""
        self._waking = False
        if self._pool is not None:
            sandbox.pool_wake(self._pool)

    def _told(self) -> None:
        """The threads have done something."""
        os.read(self._look, _MANY)
        self.take_back()
        self._feed()

    def take_back(self) -> None:
        """Look at what the threads have done."""
        while self._pool is not None and (address := sandbox.pool_done(self._pool)):
            given = self._given.pop(address)
            if isinstance(given, Slice):
                self._over(given)
            else:
                given()
                self._freed.set()

    def _over(self, piece: Slice) -> None:
        self._slices -= 1
        if piece.done is None:
            self._long -= 1
        else:
            piece.done()
        piece.finish(piece.fiber.said())

    def close(self) -> None:
        """Stop the threads when they have done all they have; nobody may wait for them any more."""
        self._loop.remove_reader(self._look)
        if self._later is not None:
            self._later.cancel()
        sandbox.pool_close(self._pool)
        self.take_back()
        sandbox.pool_free(self._pool)
        self._pool = None
        self._close_pipe()

    def _close_pipe(self) -> None:
        os.close(self._look)
        os.close(self._wake)
