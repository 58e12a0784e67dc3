"""Answers that are shared by all who ask the same at about the same time.

However many people look at a page, the database is asked once a second, and seldomer where the answer is dear: it
never spends more than a tenth of its time on one question.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar, cast

T = TypeVar("T")
_LEAST_S = 1.0
_SHARE = 9.0
_MOST = 512


class _Glance:
    """One question: its answer, or the asking of it; good until `until` on the loop's clock once there is one."""

    def __init__(self, ask: Callable[[], Awaitable[Any]]) -> None:
        self.until = float("inf")
        self.task = asyncio.ensure_future(self._timed(ask))
        self.task.add_done_callback(
            lambda task: task.cancelled() or task.exception()
        )  # told to who waits, if anybody

    async def _timed(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            return await ask()
        except BaseException:
            self.until = 0.0  # who waits is told; who comes next asks again
            raise
        finally:
            if self.until:
                self.until = clock() + max(_LEAST_S, _SHARE * (clock() - began))


class Glances:
    """Keeps answers for a moment."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, _Glance] = {}

    async def at(self, question: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer to `question`, by `ask` unless somebody has just asked or is asking now.

        Raises:
            Exception: what asking raised, to all who wait for it.
        """
        kept = self._kept.get(question)
        if kept is None or kept.until <= asyncio.get_running_loop().time():
            self._kept.pop(question, None)
            self._make_room()
            kept = self._kept[question] = _Glance(ask)
        # Shielded: it is not only this one's answer.
        return cast(T, await asyncio.shield(kept.task))

    def forget(self) -> None:
        """Something was changed: ask again."""
        self._kept.clear()

    async def close(self) -> None:
        """Ask nothing more."""
        tasks = [kept.task for kept in self._kept.values()]
        self._kept.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _make_room(self) -> None:
        while len(self._kept) >= _MOST:
            del self._kept[next(iter(self._kept))]
