"""What is known of functions in shared transactions: how long they wait there, and which had better not be there."""

import time

import structlog

log = structlog.get_logger(__name__)
_LANE_MS = 3.0  # for each so many that a member waits, one more transaction goes on beside the first
_MOST_LANES = 4
_NEW = 0.3  # weight of the latest measurement
_STRIKES = 3
_ALONE_S = 30.0


class Habits:
    """Remembers it by function, and the bad only for a while: the next version, or hour, may be different."""

    def __init__(self) -> None:
        self._ms_each: dict[str, float] = {}
        self._alone_until: dict[str, float] = {}
        self._strikes: dict[str, int] = {}
        self._query: set[str] = set()

    def may_share(self, function: str) -> bool:
        """Whether nothing speaks against it."""
        until = self._alone_until.get(function)
        return until is None or time.monotonic() > until

    def lanes(self, function: str) -> int:
        """How many transactions of its events may go on side by side: members that wait, wait together."""
        return min(_MOST_LANES, 1 + int(self._ms_each.get(function, 0.0) / _LANE_MS))

    def queries(self, function: str) -> bool:
        """Whether its events are known to use the database."""
        return function in self._query

    def queried(self, function: str) -> None:
        """One of its events has."""
        self._query.add(function)

    def ran(self, function: str, ms_each: float) -> None:
        """Each of a shared transaction's members waited so long for the database, at the least."""
        known = self._ms_each.get(function, ms_each)
        self._ms_each[function] = known + _NEW * (ms_each - known)
        self._strikes.pop(function, None)

    def strike(self, function: str) -> None:
        """A member took too long for a shared transaction; several times in a row is a habit."""
        self._strikes[function] = self._strikes.get(function, 0) + 1
        if self._strikes[function] >= _STRIKES:
            self.avoid(function, "its events take long")

    def avoid(self, function: str, why: str) -> None:
        """Let it run alone for a while."""
        log.info("a function runs alone for a while", function=function, why=why, seconds=_ALONE_S)
        self._alone_until[function] = time.monotonic() + _ALONE_S
        self._strikes.pop(function, None)
