"""Places of which no owner may have all: so that what one function floods leaves room for the others.

Those who wait are called owner by owner, so that one that sends a thousand does not stand before the next one's
first. Where only so many may wait, the longest owner's youngest gives way to an owner that has fewer waiting.
"""

import asyncio
from collections import deque


class Full(Exception):
    """As many wait as may, and this owner's are not to wait instead of others."""


class Places:
    """So many places, and so many of them for each owner at most. Each `enter` is followed by one `leave`.

    Args:
        size: places.
        share: an owner's most.
        waiting: how many may wait; None: any number.
    """

    def __init__(self, size: int, share: int, waiting: int | None = None) -> None:
        self._size = size
        self._share = min(share, size)
        self._most_waiting = waiting
        self._taken: dict[str, int] = {}
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        self._turns: deque[str] = deque()  # owners that have somebody waiting and are below their share
        self.taken = 0
        self.waiting = 0

    def take(self, owner: str) -> bool:
        """Take a place as `enter` does, if there is one at once."""
        taken = self._taken.get(owner, 0)
        if taken >= self._share or self.taken >= self._size or self._turns:
            return False
        self.taken += 1
        self._taken[owner] = taken + 1
        return True

    async def enter(self, owner: str, wait_s: float | None = None) -> None:
        """Take a place, to be given back by `leave`.

        Raises:
            TimeoutError: none became free in time.
            Full: too many wait already.
        """
        if self.take(owner):
            return
        place = self._queue(owner)
        try:
            async with asyncio.timeout(wait_s):
                await place
        except BaseException:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.leave(owner)  # its turn had come: the next may have it
            self._forget(owner, place)
            raise

    def leave(self, owner: str) -> None:
        """Give a place back: to the next who waits and may have it, if there is one."""
        self.taken -= 1
        taken = self._taken.pop(owner)
        if taken == self._share and owner in self._queues:
            self._turns.append(owner)
        if taken > 1:
            self._taken[owner] = taken - 1
        while self._turns and self.taken < self._size:
            self._call(self._turns.popleft())

    def _queue(self, owner: str) -> "asyncio.Future[None]":
        if self._most_waiting is not None and self.waiting >= self._most_waiting:
            self._make_room(owner)
        place = asyncio.get_running_loop().create_future()
        if owner not in self._queues:
            self._queues[owner] = deque()
            if self._taken.get(owner, 0) < self._share:
                self._turns.append(owner)
        self._queues[owner].append(place)
        self.waiting += 1
        return place

    def _make_room(self, owner: str) -> None:
        """Refuse the youngest of the owner that has most waiting, unless that is who asks."""
        longest = max(self._queues, key=lambda name: len(self._queues[name]), default=owner)
        if len(self._queues.get(owner, ())) + 1 >= len(self._queues.get(longest, ())):
            raise Full
        place = self._queues[longest][-1]
        self._forget(longest, place)
        if not place.cancelled():
            place.set_exception(Full())

    def _call(self, owner: str) -> None:
        """Give a free place to the one of `owner` that waits longest."""
        place = self._queues[owner][0]
        self._forget(owner, place)
        if not place.cancelled():  # else its task is about to find out
            self.taken += 1
            self._taken[owner] = self._taken.get(owner, 0) + 1
            place.set_result(None)
        if owner in self._queues and self._taken.get(owner, 0) < self._share:
            self._turns.append(owner)

    def _forget(self, owner: str, place: "asyncio.Future[None]") -> None:
        """Take one out of the queue, if it is there; an owner without any has no turn."""
        queue = self._queues.get(owner, deque())
        if place not in queue:
            return
        queue.remove(place)
        self.waiting -= 1
        if not queue:
            del self._queues[owner]
            if owner in self._turns:
                self._turns.remove(owner)
