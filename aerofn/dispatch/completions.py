"""Settles the events of functions that opened no transaction: together, as many as have come meanwhile."""

import asyncio

from aerofn.db.events import Lease
from aerofn.dispatch.contract import Queue
from aerofn.errors import LeaseLost


class Completions:
    """Collects leases while one statement is under way, and settles them with the next."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._waiting: list[tuple[Lease, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def complete(self, lease: Lease) -> None:
        """Settle one event.

        Raises:
            LeaseLost: it runs elsewhere now.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((lease, done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._settle())
        await done

    async def _settle(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                ours = await self._queue.complete([lease for lease, _ in batch])
            except Exception as error:  # whoever waits must hear of it, whatever it is
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
                continue
            for lease, done in batch:
                if done.done():
                    continue
                if lease.event in ours:
                    done.set_result(None)
                else:
                    done.set_exception(LeaseLost("the event is leased by another node now"))
