"""The clock that ends slices."""

import threading

from aerofn.runtime.ticker import IDLE_TICKS, Ticker


def test_closed_in_the_moment_it_parks():
    ticker = Ticker(lambda: None, slice_ms=1, busy=lambda: False)

    class Late(threading.Event):
        """Closing comes between the thread's last look and its clearing the event."""

        def clear(self) -> None:
            ticker._closed = True
            self.set()
            super().clear()

    ticker._wake = Late()
    ticker._thread.join(10)
    assert not ticker._thread.is_alive()


def test_it_goes_on_as_long_as_a_thread_is_busy():
    """Whose guest nobody else would stop: who gave it to the thread may have touched the ticker long before."""
    busy, ticks = True, threading.Semaphore(0)
    ticker = Ticker(ticks.release, slice_ms=1, busy=lambda: busy)
    try:
        assert all(ticks.acquire(timeout=10) for _ in range(3 * IDLE_TICKS))
        busy = False
        assert any(not ticks.acquire(timeout=0.5) for _ in range(1000))
    finally:
        ticker.close()


def test_a_touch_in_the_moment_it_looks_whether_it_may_park():
    """Lost, nobody would stop the guest that runs on the loop: the loop itself could not touch it again."""
    looks, ticks = 0, threading.Semaphore(0)

    def busy() -> bool:
        nonlocal looks
        looks += 1
        if looks > IDLE_TICKS:
            ticker.touch()
        return False

    ticker = Ticker(ticks.release, slice_ms=1, busy=busy)
    try:
        assert all(ticks.acquire(timeout=10) for _ in range(3 * IDLE_TICKS))
    finally:
        ticker.close()
