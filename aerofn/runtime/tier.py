"""Where sandboxes live: warm slots for guests with a language's runtime inside, and many cold ones.

A slot that keeps its pages (put back to their first state, not unmapped) saves the next guest's page faults, of which
JavaScript has 60 in a run: measured, a sandbox takes 0.25 ms instead of 0.45. But putting back costs by the
memory's size, not by what was touched: a small compiled guest with a megabyte of memory touches three pages, and
in a warm slot, with 16 at a time, takes 0.42 ms for a query's run instead of 0.26. And kept pages stay for good: 10,000
such slots held 17 GB after one crowded moment. So only `WARM_SLOTS` keep theirs; what is `HEAVY` takes those first,
and beyond them slots that give their memories back, like all others. What is `VAST` (CPython, SpiderMonkey) touches
more than such a slot keeps, 6 MB in an invocation of Python: it has `VAST_SLOTS` of its own, in which its
1,700 page faults are none, and a run takes half as long.
"""

from aerofn.runtime import ffi
from aerofn.runtime.engine import running_engine
from aerofn.runtime.ticker import Ticker

WARM_SLOTS = 64
HEAVY = 1 << 20  # machine code (bytes): a language's runtime is inside, as in JavaScript's 5 MB
KEPT_MEMORY = 2 << 20  # of each memory, if touched: all that a JavaScript guest of usual size touches
VAST_SLOTS = 8
VAST = 12 << 20
KEPT_VAST_MEMORY = 16 << 20
KEPT_TABLE = 64 << 10
A_PAGE = 4096  # of each table in a cold slot: a small guest's fits into it, and 10,000 slots keep 80 MB of two each


class Tier:
    """An engine with its pool of slots.

    Machine code is shared as a file, but each engine loads it for itself.
    """

    def __init__(self, name: str, slots: int, ticker: Ticker, *, kept_memory: int = 0) -> None:
        """`kept_memory`: bytes of each slot's memory that stay, if touched; its tables then stay too."""
        self.name = name
        self.warm = kept_memory > 0
        self.engine = running_engine(slots, kept_memory, KEPT_TABLE if self.warm else A_PAGE)
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
    """All tiers, and the clock of all."""

    def __init__(self, max_instances: int, slice_ms: float) -> None:
        self.ticker = Ticker(slice_ms)
        self.vast = self._tier("vast", min(VAST_SLOTS, max_instances), KEPT_VAST_MEMORY)
        self.warm = self._tier("warm", min(WARM_SLOTS, max_instances), KEPT_MEMORY)
        self.cold = self._tier("cold", max_instances)

    def _tier(self, name: str, slots: int, kept_memory: int = 0) -> Tier:
        return Tier(name, slots, self.ticker, kept_memory=kept_memory)

    def first(self, code_size: int) -> Tier:
        """The tier that components of so many bytes of machine code are loaded for."""
        if code_size > VAST:
            return self.vast
        return self.warm if code_size > HEAVY else self.cold

    def take(self, first: Tier) -> Tier | None:
        """The tier to run in, a slot of it taken, `first` if it has one; None if all are in use."""
        if first.take():
            return first
        return self.cold if first is not self.cold and self.cold.take() else None
