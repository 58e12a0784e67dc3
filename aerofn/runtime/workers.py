"""A few threads for guests that need more than their first slice: each takes one slice at a time."""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue


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
    """`count` threads that take slices in the order they came."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self._queue: SimpleQueue[Slice | None] = SimpleQueue()
        self._loop = loop
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, name=f"aerofn-worker-{i}", daemon=True) for i in range(count)
        ]
        self.busy = 0
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[], object]) -> None:
        """Run `work` on a thread some time soon; nobody waits for it."""
        self._queue.put(Slice(work))

    async def run(self, work: Callable[[], bool]) -> bool:
        """Run `work` on a thread and give its result.

        Cancelling waits until no thread runs `work` any more (a slice at most), or takes it out of the queue.
        """
        piece = Slice(work)
        self._queue.put(piece)
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
        while (piece := self._queue.get()) is not None:
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
        """Stop the threads when they have done what is queued."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
