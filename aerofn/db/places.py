"""Places of which no owner may have all: so that one function's slow queries leave connections to the others.

Those who wait are called owner by owner, so that one that sends a thousand does not stand before the next one's first.
"""

import asyncio
from collections import deque


class Places:
    """So many places, and so many of them for each owner at most.

    Args:
        size: places.
        share: an owner's most.
    """

    def __init__(self, size: int, share: int) -> None:
        self._size = size
        self._share = min(share, size)
        self._taken: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self.taken = 0

    async def enter(self, owner: str, wait_s: float) -> None:
        """Take a place, to be given back by `leave`.

        Raises:
            TimeoutError: none became free in time.
        """
        if self._may(owner):
            self._take(owner)
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(place)
        try:
            async with asyncio.timeout(wait_s):
                await place
        except BaseException:
            if place.done() and not place.cancelled():
                self.leave(owner)  # its turn had come: the next may have it
            raise

    def leave(self, owner: str) -> None:
        """Give a place back: to the next who waits and may have it, if there is one."""
        self.taken -= 1
        if self._taken[owner] == 1:
            del self._taken[owner]
        else:
            self._taken[owner] -= 1
        self._call_next()

    def _may(self, owner: str) -> bool:
        return self.taken < self._size and self._taken.get(owner, 0) < self._share

    def _take(self, owner: str) -> None:
        self.taken += 1
        self._taken[owner] = self._taken.get(owner, 0) + 1

    def _call_next(self) -> None:
        for owner in list(self._waiting):
            queue = self._waiting[owner]
            while queue and queue[0].done():
                queue.popleft()  # gave up
            if queue and not self._may(owner):
                continue
            del self._waiting[owner]
            if queue:
                self._take(owner)
                queue.popleft().set_result(None)
                self._waiting[owner] = queue  # behind the others now
                return
