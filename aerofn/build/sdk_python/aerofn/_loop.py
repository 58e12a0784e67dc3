"""An event loop for a sandbox in which nothing happens beside the handler: tasks, sleeps, no input or output."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any


class _Clock:
    """In the place of a selector: waits for the next timer, which is all there is to wait for."""

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("the handler waits for something that nothing will ever settle")
        if timeout > 0:
            time.sleep(timeout)
        return []


class _Loop(asyncio.BaseEventLoop):
    """BaseEventLoop asks its subclasses for these three names."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Clock()

    def _process_events(self, _events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The coroutine's result, with all tasks it starts running meanwhile."""
    loop = _Loop()
    asyncio.set_event_loop(loop)
    return loop.run_until_complete(coroutine)
