"""One shared transaction and the events that have run in it."""

import time
from collections import deque
from typing import Any

from aerofn.db.events import Lease
from aerofn.dispatch.calls import Waiting, call_for
from aerofn.dispatch.contract import Registry
from aerofn.dispatch.invoker import Call, Invoker, Trial
from aerofn.errors import AeroFnError
from aerofn.model import Outcome, Version

_LONGEST_S = 0.05  # from the first member's success to the commit, but for the last member
_MEMBER_MS = 500  # a member that takes longer runs again alone


class Group:
    """The members of one transaction, run one after another.

    Args:
        function: whose events they are.
        eager: open the transaction before the first member asks for it.

    Attributes:
        kept: those that succeeded; they are done once the transaction has committed.
        failed: those whose function failed; their effects are undone.
        aside: those that must run again, by themselves.
        late: one took too long for it.
        ran: how many there were.
        waited_ms: the shortest time that one waited for the database, the first aside, who pays for the connection.
            What others waited longer may be the machine's doing, or that of other transactions.
    """

    def __init__(
        self, function: str, invoker: Invoker, registry: Registry, most: int, *, eager: bool
    ) -> None:
        self.function = function
        self._invoker = invoker
        self._registry = registry
        self._most = most
        self._eager = eager
        self._version: Version | None = None
        self._current: Waiting | None = None
        self.shared: Any = None
        self.kept: list[tuple[Waiting, Trial]] = []
        self.failed: list[tuple[Waiting, Trial]] = []
        self.aside: list[Waiting] = []
        self.late = False
        self.ran = 0
        self.waited_ms: float | None = None
        self._until = float("inf")

    @property
    def leases(self) -> list[Lease]:
        """Of everybody who is or was in it."""
        now = [] if self._current is None else [self._current]
        return [one.lease for one in (*self.aside, *now)] + [
            one.lease for one, _ in (*self.kept, *self.failed)
        ]

    def abandon(self) -> None:
        """Undo the effects at once, unless they have been committed."""
        if self.shared is not None:
            self.shared.abandon()

    async def run(self, lane: deque[Waiting]) -> None:
        """Take events from `lane` as far as they go together."""
        while lane and self.ran < self._most and await self._next(lane):
            if time.monotonic() > self._until:
                break

    async def _next(self, lane: deque[Waiting]) -> bool:
        """Run the next member; false if it is the last."""
        one = self._current = lane.popleft()
        if not one.certain:
            self._current = None
            return True
        try:
            call = call_for([one], await self._registry.active(one.event.function))
            if self._version not in (None, call.version):
                lane.appendleft(one)
                self._current = None
                return False
            if self.shared is None:
                await self._open(call)
            trial = await self._invoker.join(call, self.shared, _MEMBER_MS, more=bool(lane))
        except AeroFnError:
            self.aside.append(one)  # alone it meets the same, and is settled by it
            self._current = None
            return False
        self._current = None
        self.ran += 1
        if self.ran > 1:
            waited_ms = self.shared.waited * 1000
            self.waited_ms = waited_ms if self.waited_ms is None else min(self.waited_ms, waited_ms)
        return self._sort(one, trial)

    async def _open(self, call: Call) -> None:
        self._version, self.shared = call.version, self._invoker.shared(call)
        if self._eager:
            await self.shared.begin()

    def _sort(self, one: Waiting, trial: Trial) -> bool:
        if trial.run.outcome is Outcome.SUCCESS:
            self.shared.keep()
            self.kept.append((one, trial))
            self._until = min(self._until, time.monotonic() + _LONGEST_S)
            return not self.shared.full
        self.shared.undo()
        self.late = self.late or trial.run.outcome is Outcome.TIMEOUT
        if trial.aside:
            self._invoker.forget(trial)
            self.aside.append(one)
            return False
        self.failed.append((one, trial))
        return not self.shared.full
