"""Settles the events of functions that opened no transaction: together, as many as have come meanwhile."""

import asyncio
from collections.abc import Sequence

from aerofn.db.events import Lease
from aerofn.dispatch.contract import Queue
from aerofn.errors import LeaseLost


class Completions:
    """Collects leases while one statement is under way, and settles them with the next."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._waiting: list[tuple[Sequence[Lease], asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def complete(self, leases: Sequence[Lease]) -> None:
        """Settle one invocation's events.

        Raises:
            LeaseLost: one of them runs elsewhere now.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((leases, done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._settle())
        await done

    async def _settle(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                ours = await self._queue.complete([lease for leases, _ in batch for lease in leases])
            except Exception as error:  # whoever waits must hear of it, whatever it is
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
                continue
            for leases, done in batch:
                if done.done():
                    continue
                if all(lease.event in ours for lease in leases):
                    done.set_result(None)
                else:
                    done.set_exception(LeaseLost("the event is leased by another node now"))
