"""How much the threads are given of short runs: as much as is over in a moment. Who comes then waits, owners in turn.

The threads take these runs in the order in which they get them: had they all of one's hundred, another's first would be
behind these. A run that waits here has no sandbox yet.
"""

import asyncio
from collections.abc import Hashable

from aerofn.runtime.components import Component
from aerofn.runtime.line import Line

# Shares. Should each of them take a whole slice, against expectation, two threads have done them in 50 ms: that much
# later than at its limit a run may end.
MOST = 20
LEAST = 4  # of those that take long: with fewer a thread would be idle
MOST_NS = 2_000_000  # of a processor's time: more of JavaScript's memories at once do not fit into its caches


class Share:
    """What a run of `component` is likely to take of a processor's time in its first slice."""

    __slots__ = ("_component", "ns", "taken", "turn")

    def __init__(self, component: Component) -> None:
        self._component = component
        self.ns = 0
        self.taken = False
        self.turn: asyncio.Future[None] | None = None

    def take(self) -> None:
        """By what is known now: others of the component may have run while this one waited."""
        self.taken = True
        self.ns = min(self._component.takes_ns, MOST_NS // LEAST)


class Backlog:
    """Whoever is to run in the threads takes a share, and gives it back when its first slice is over."""

    def __init__(self, loop: asyncio.AbstractEventLoop, places: int) -> None:
        """`places`: how many sandboxes there may be, of which not all are for these runs."""
        self._loop = loop
        self._left = max(1, min(MOST, places // 4))
        self._ns = 0  # that shares are taken for
        self._line: Line[Share] = Line()

    def take(self, share: Share) -> bool:
        """Take it, if there is room; who gets none calls `wait`."""
        if self._ns >= MOST_NS or self._left <= 0 or self._line:
            return False
        self._begin(share)
        return True

    async def wait(self, owner: Hashable, share: Share) -> None:
        """Take it when it is the owner's turn."""
        share.turn = self._loop.create_future()
        self._line.put(owner, share)
        try:
            await share.turn
        except asyncio.CancelledError:
            self.leave(share)
            raise

    def leave(self, share: Share) -> None:
        """Give it back, if it was taken and that has not been done."""
        if not share.taken:
            return
        share.taken = False
        self._ns -= share.ns
        self._left += 1
        if self._line:
            self._call()

    def _call(self) -> None:
        while self._ns < MOST_NS and self._left > 0 and (next_one := self._line.take()) is not None:
            turn = next_one.turn
            if turn is not None and not turn.done():  # else its run was cancelled
                self._begin(next_one)
                turn.set_result(None)

    def _begin(self, share: Share) -> None:
        share.take()
        self._ns += share.ns
        self._left -= 1
