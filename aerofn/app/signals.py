"""SIGTERM and SIGINT, for whoever runs a node or several."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def signals(told: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Meanwhile SIGTERM and SIGINT are for `told`."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, number)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
