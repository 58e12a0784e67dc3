"""Who waits for a thread or the loop: owners in turn, so that one's thousand do not stand before another's first."""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Piece = TypeVar("Piece")


class Line(Generic[Piece]):
    """Pieces of work in turns of their owners; the owner whose turn is next is the first of `_queues`."""

    def __init__(self) -> None:
        self._queues: dict[Hashable, deque[Piece]] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def put(self, owner: Hashable, piece: Piece) -> None:
        """Line up behind what `owner` has waiting, and behind one piece of each other owner at the most."""
        self._queues.setdefault(owner, deque()).append(piece)

    def take(self) -> Piece | None:
        """The next piece, if there is one."""
        for owner, queue in self._queues.items():
            piece = queue.popleft()
            del self._queues[owner]
            if queue:
                self._queues[owner] = queue  # behind the others
            return piece
        return None

    def prepend(self, others: "Line[Piece]") -> None:
        """Take over what `others` has: its owners are next, each with that in front of what it has here."""
        waiting, self._queues = self._queues, {}
        for owner, queue in others._queues.items():
            whole = self._queues[owner] = waiting.pop(owner, deque())
            whole.extendleft(reversed(queue))
        self._queues |= waiting
        others._queues.clear()

    def remove(self, owner: Hashable, piece: Piece) -> None:
        """Take a piece out of turn."""
        queue = self._queues[owner]
        queue.remove(piece)
        if not queue:
            del self._queues[owner]
