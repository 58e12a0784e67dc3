"""Who may start now: so many invocations at once, of one function and of all, and a bounded queue behind them.

Whoever floods the node with one function gets what the others leave, and no more (see `db.places`).
"""

from aerofn.db.places import Full, Places
from aerofn.errors import Busy

_RETRY_AFTER_S = 1


class Admission(Places):
    """A node's places for invocations, whose owners are functions; `waiting` callers may wait for one.

    Each `take` that says yes, or `enter` that returns, is followed by one `leave`.
    """

    async def enter(self, owner: str, wait_s: float | None = None) -> None:
        """Take a place for an invocation of `owner`, or wait for one.

        Raises:
            Busy: the queue is full.
        """
        try:
            await super().enter(owner, wait_s)
        except Full:
            raise Busy(
                "this node has as many invocations waiting as it may",
                retry_after=_RETRY_AFTER_S,
                hint="try again shortly",
            ) from None
