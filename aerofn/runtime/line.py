"""Who waits for a thread: owners in turn, so that one owner's thousand pieces do not stand before another's first."""

import threading
from collections import deque
from collections.abc import Hashable
from queue import SimpleQueue
from typing import Generic, TypeVar

Piece = TypeVar("Piece")


class Line(Generic[Piece]):
    """Pieces of work in turns of their owners; any thread may put and take."""

    def __init__(self) -> None:
        self._there: SimpleQueue[None] = SimpleQueue()  # one token for each piece: threads sleep on it
        self._lock = threading.Lock()
        self._first: deque[Piece] = deque()
        self._queues: dict[Hashable, deque[Piece]] = {}
        self._turns: deque[Hashable] = deque()  # owners that have pieces waiting

    def put(self, owner: Hashable, piece: Piece) -> None:
        """Line up behind what `owner` has waiting, and behind one piece of each other owner at the most."""
        with self._lock:
            queue = self._queues.get(owner)
            if queue is None:
                queue = self._queues[owner] = deque()
                self._turns.append(owner)
            queue.append(piece)
        self._there.put(None)

    def put_first(self, piece: Piece) -> None:
        """Line up before all owners."""
        with self._lock:
            self._first.append(piece)
        self._there.put(None)

    def take(self) -> Piece:
        """The next piece; waits for one."""
        self._there.get()
        with self._lock:
            if self._first:
                return self._first.popleft()
            owner = self._turns.popleft()
            queue = self._queues[owner]
            piece = queue.popleft()
            if queue:
                self._turns.append(owner)
            else:
                del self._queues[owner]
            return piece
