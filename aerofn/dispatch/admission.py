"""Who may start now: so many invocations at once, of one function and of all, and a bounded queue behind them.

Whoever floods the node with one function gets what the others leave, and no more (see `db.places`).
"""

from aerofn.db.places import Full, Places
from aerofn.errors import Busy

_RETRY_AFTER_S = 1


class Admission:
    """A node's places for invocations. Each `take` that says yes, or `enter` that returns, is followed by one `leave`.

    Args:
        places: invocations at the same time.
        of_one: the same, of one function.
        waiting: callers that may wait for a place; further ones are refused.
    """

    def __init__(self, places: int, of_one: int, waiting: int) -> None:
        self._places = Places(places, of_one, waiting)

    def take(self, function: str) -> bool:
        """Take a place for an invocation of `function`, if there is one at once; who gets none calls `enter`."""
        return self._places.take(function)

    async def enter(self, function: str) -> None:
        """Take a place for an invocation of `function`, or wait for one.

        Raises:
            Busy: the queue is full.
        """
        try:
            await self._places.enter(function)
        except Full:
            raise Busy(
                "this node has as many invocations waiting as it may",
                retry_after=_RETRY_AFTER_S,
                hint="try again shortly",
            ) from None

    def leave(self, function: str) -> None:
        """Give back the place of an invocation of `function`."""
        self._places.leave(function)
