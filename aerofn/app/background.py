"""A node's standing work: asyncio tasks that end with the node, and end it when one of them fails."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Background:
    """Standing tasks.

    Args:
        on_failure: called when one of them fails: the node cannot go on.
    """

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` until `stop`."""
        task = asyncio.create_task(work, name=f"aerofn {name}")
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    async def stop(self) -> None:
        """Cancel all and wait for their end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the node cannot go on", task=task.get_name(), exc_info=error)
            self._on_failure()


async def hinted(hint: asyncio.Event, seconds: float) -> None:
    """Wait for the hint, or for `seconds`; clears it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await hint.wait()
    hint.clear()
