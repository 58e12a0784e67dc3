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
        eager: open the transaction before the first member asks for it.

    Attributes:
        kept: those that succeeded; they are done once the transaction has committed.
        failed: those whose function failed; their effects are undone.
        aside: those that must run again, by themselves.
        late: one took too long for it.
        ran: how many there were; the time they took, but for the first, who pays for the connection.
    """

    def __init__(self, invoker: Invoker, registry: Registry, most: int, *, eager: bool) -> None:
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
        self.wall_ms = 0.0
        self._until = float("inf")

    @property
    def leases(self) -> list[Lease]:
        """Of everybody who is or was in it."""
        now = [] if self._current is None else [self._current]
        return [one.lease for one in (*self.aside, *now)] + [
            one.lease for one, _ in (*self.kept, *self.failed)
        ]

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
            trial = await self._invoker.join(call, self.shared, _MEMBER_MS)
        except AeroFnError:
            self.aside.append(one)  # alone it meets the same, and is settled by it
            self._current = None
            return False
        self._current = None
        self.ran += 1
        if self.ran > 1:
            self.wall_ms += trial.duration_ms
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
