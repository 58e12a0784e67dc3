"""The clock that ends slices."""

import threading

from aerofn.runtime.ticker import Ticker


def test_closed_in_the_moment_it_parks():
    ticker = Ticker(lambda: None, slice_ms=1)

    class Late(threading.Event):
        """Closing comes between the thread's last look and its clearing the event."""

        def clear(self) -> None:
            ticker._closed = True
            self.set()
            super().clear()

    ticker._wake = Late()
    ticker._thread.join(10)
    assert not ticker._thread.is_alive()
