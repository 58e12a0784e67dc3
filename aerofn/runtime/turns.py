"""How much of the loop guests may take before other callbacks get a turn."""

import asyncio


class Turns:
    """A budget of guest time for each pass of the loop: beyond it, guests wait for the next pass."""

    def __init__(self, loop: asyncio.AbstractEventLoop, budget_ms: int) -> None:
        self._loop = loop
        self._budget = budget_ms * 1_000_000
        self._left = self._budget
        self._open = False

    def free(self) -> bool:
        """Whether a guest may run on the loop in this pass."""
        if not self._open:
            self._open = True
            self._left = self._budget
            self._loop.call_soon(self._next_pass)
        return self._left > 0

    def spend(self, nanoseconds: int) -> None:
        """Take a guest's time off this pass's budget."""
        self._left -= nanoseconds

    def _next_pass(self) -> None:
        self._open = False
