"""The clock that ends slices: a thread in C (`native/ticker.c`), for no Python has to run when it ticks."""

from aerofn.errors import HostError
from aerofn.runtime import sandbox


class Ticker:
    """Ticks every `slice_ms` while guests of its engines are advanced, and a little longer; else it sleeps.

    Nobody calls it for that: whoever advances a guest tells it in C.
    """

    def __init__(self, slice_ms: float) -> None:
        self._running = False
        self.at: int | None = sandbox.ticker_new(int(slice_ms * 1_000_000))
        if not self.at:
            raise MemoryError

    def add(self, engine: int) -> None:
        """Tick for an engine (its address) too, which it keeps alive; before `start`."""
        if not sandbox.ticker_add(self.at, engine):
            raise ValueError("a ticker has three engines at the most")

    def start(self) -> None:
        """Start the thread.

        Raises:
            HostError: there is none; it may be tried again.
        """
        if not sandbox.ticker_start(self.at):
            raise HostError(
                "The system gives AeroFn no thread.", hint="raise its limit of threads (ulimit -u)"
            )
        self._running = True

    def stop(self) -> None:
        """End the thread, which takes a slice; no guest may be advanced any more."""
        sandbox.ticker_stop(self.at)
        self._running = False

    @property
    def ticks(self) -> int:
        """How often it has ticked."""
        return int(sandbox.ticker_ticks(self.at))

    def __del__(self) -> None:
        # one that was never stopped stays, engines included: its thread knows nothing of Python's end
        if self.at and not self._running:
            sandbox.ticker_free(self.at)
