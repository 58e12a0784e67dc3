"""The clock that ends slices: a thread that advances the engine's epoch while guests run, else sleeps."""

import threading
import time
from collections.abc import Callable

IDLE_TICKS = 20  # how long it keeps ticking after the last poll: parking and waking are not free


class Ticker:
    """Calls `advance` (which ends slices) every `slice_ms` while `touch` is being called, or threads are `busy`."""

    def __init__(self, advance: Callable[[], None], slice_ms: int, busy: Callable[[], bool]) -> None:
        self._advance = advance
        self._busy = busy
        self._seconds = slice_ms / 1000
        self._touched = False
        self._parked = False
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="aerofn-ticker", daemon=True)
        self._thread.start()

    def touch(self) -> None:
        """A guest is about to run."""
        self._touched = True
        if self._parked:
            self._wake.set()

    def close(self) -> None:
        """Stop the thread; the engine may go afterwards."""
        self._closed = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        idle = 0
        while not self._closed:
            time.sleep(self._seconds)
            self._advance()
            if self._touched:  # forgotten only then: `_park` finds one that comes after this look
                self._touched, idle = False, 0
            else:
                # a thread may get to its guest long after the touch, on a machine with much to do
                idle = 0 if self._busy() else idle + 1
            if idle > IDLE_TICKS:
                self._park()
                idle = 0

    def _park(self) -> None:
        self._wake.clear()
        self._parked = True
        # a touch or the end between the last look and the clearing would otherwise be lost
        if not (self._touched or self._closed):
            self._wake.wait()
        self._parked = False
