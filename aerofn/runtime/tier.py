"""Where sandboxes live: a few warm slots for guests with a language's runtime inside, and many cold ones.

A slot that keeps its pages (put back to their first state, not unmapped) saves the next guest's page faults, of which
JavaScript has 60 in a run: measured, a sandbox takes 0.25 ms instead of 0.45. But putting back costs by the
memory's size, not by what was touched: a small compiled guest with a megabyte of memory touches three pages, and
in a warm slot, with 16 at a time, takes 0.42 ms for a query's run instead of 0.26. And kept pages stay for good: 10,000
such slots held 17 GB after one crowded moment. So only `WARM_SLOTS` keep theirs; what is `HEAVY` takes those first,
and beyond them slots that give their memories back, like all others.
"""

from aerofn.runtime import ffi
from aerofn.runtime.engine import running_engine
from aerofn.runtime.ticker import Ticker

WARM_SLOTS = 64
HEAVY = 1 << 20  # machine code (bytes): a language's runtime is inside, as in JavaScript's 5 MB
KEPT_MEMORY = 2 << 20  # of each memory, if touched: all that a JavaScript guest of usual size touches
KEPT_TABLE = 64 << 10
A_PAGE = 4096  # of each table in a cold slot: a small guest's fits into it, and 10,000 slots keep 80 MB of two each


class Tier:
    """An engine with its pool of slots.

    Machine code is shared as a file, but each engine loads it for itself.
    """

    def __init__(self, slots: int, ticker: Ticker, *, warm: bool) -> None:
        self.warm = warm
        self.name = "warm" if warm else "cold"
        self.engine = running_engine(slots, KEPT_MEMORY if warm else 0, KEPT_TABLE if warm else A_PAGE)
        self.engine_at = ffi.address_of(self.engine.ptr())
        self.ticker = ticker  # ends its guests' slices
        ticker.add(self.engine_at)
        self._free = slots

    def take(self) -> bool:
        """Take a slot, if there is one."""
        if not self._free:
            return False
        self._free -= 1
        return True

    def give_back(self) -> None:
        """A run's memory is freed."""
        self._free += 1


class Tiers:
    """The warm tier and the cold one, and the clock of both."""

    def __init__(self, max_instances: int, slice_ms: float) -> None:
        self.ticker = Ticker(slice_ms)
        warm = min(WARM_SLOTS, max_instances)
        self.warm = Tier(warm, self.ticker, warm=True)
        self.cold = Tier(max_instances, self.ticker, warm=False)

    def first(self, code_size: int) -> Tier:
        """The tier that components of so many bytes of machine code are loaded for."""
        return self.warm if code_size > HEAVY else self.cold

    def take(self, first: Tier) -> Tier | None:
        """The tier to run in, a slot of it taken, `first` if it has one; None if all are in use."""
        if first.take():
            return first
        return self.cold if first is self.warm and self.cold.take() else None
