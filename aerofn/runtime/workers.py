"""A few threads for guests that need more than their first slice: each takes one slice at a time, in fair turns."""

import asyncio
import threading
from collections.abc import Callable, Hashable

from aerofn.runtime.line import Line


class Slice:
    """One piece of work for a thread, and who waits for it on the loop."""

    __slots__ = ("error", "finished", "result", "started", "waiter", "withdrawn", "work")

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work
        self.waiter: asyncio.Future[None] | None = None
        self.started = False
        self.finished = False
        self.withdrawn = False
        self.result: object = None
        self.error: BaseException | None = None

    def finish(self) -> None:
        """On the loop: the thread has let go."""
        self.finished = True
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Workers:
    """`count` threads. Owners (functions) get slices in turn, whatever number of guests each of them has waiting."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self._line: Line[Slice | None] = Line()
        self._loop = loop
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, name=f"aerofn-worker-{i}", daemon=True) for i in range(count)
        ]
        self.busy = 0
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[], object]) -> None:
        """Run `work`, which is short and frees what others need, as soon as a thread is free; nobody waits for it."""
        self._line.put_first(Slice(work))

    async def run(self, owner: Hashable, work: Callable[[], bool]) -> bool:
        """Run `work` on a thread in a turn of `owner`, and give its result.

        Cancelling waits until no thread runs `work` any more (a slice at most), or takes it out of the queue.
        """
        piece = Slice(work)
        self._line.put(owner, piece)
        try:
            await self._wait(piece)
        except asyncio.CancelledError:
            await self._withdraw(piece)
            raise
        if piece.error is not None:
            raise piece.error
        return piece.result is True

    async def _wait(self, piece: Slice) -> None:
        while not piece.finished:
            piece.waiter = self._loop.create_future()
            await piece.waiter

    async def _withdraw(self, piece: Slice) -> None:
        with self._lock:
            piece.withdrawn = not piece.started
        while not (piece.withdrawn or piece.finished):
            try:
                await self._wait(piece)
            except asyncio.CancelledError:
                continue  # the caller is told of the first one; a second cannot hurry the thread

    def _take(self, piece: Slice) -> bool:
        with self._lock:
            if not piece.withdrawn:
                piece.started = True
                self.busy += 1
            return piece.started

    def _run(self) -> None:
        while (piece := self._line.take()) is not None:
            if not self._take(piece):
                continue
            try:
                piece.result = piece.work()
            except BaseException as error:
                piece.error = error
            with self._lock:
                self.busy -= 1
            self._report(piece)

    def _report(self, piece: Slice) -> None:
        try:
            self._loop.call_soon_threadsafe(piece.finish)
        except RuntimeError:  # the loop is closed: nobody waits
            piece.finished = True

    def close(self) -> None:
        """Stop the threads when they have freed what there is to free; nobody may wait for them any more."""
        for _ in self._threads:
            self._line.put(None, None)
        for thread in self._threads:
            thread.join()
