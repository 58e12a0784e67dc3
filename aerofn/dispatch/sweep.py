"""Frees the events of nodes that are gone, or that held them too long.

That a node is gone is noticed within half a second, whatever `AEROFN_POLL_S` says and however much a whole sweep costs:
while an old transaction elsewhere keeps what was leased in the index, a sweep walks over all of it, and so it is
made less often; but whether a node has gone is asked of a few rows.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from aerofn.dispatch.contract import Queue
from aerofn.errors import DatabaseUnavailable

_LOOK_S = 0.5
_REST_S = 1.0  # between two whole sweeps, unless a node goes
_LONGEST_S = 5.0  # the same while they are slow
_PAUSES = 10  # a sweep's own times, so that it takes no more than a tenth of a core
log = structlog.get_logger(__name__)


class Sweep:
    """One node's look at the others.

    Args:
        wake: called when events have become free.
        longest_s: between two whole sweeps, when they are slow.
        pauses: how many times its own time a sweep is followed by rest.
    """

    def __init__(
        self,
        queue: Queue,
        wake: Callable[[], None],
        *,
        longest_s: float = _LONGEST_S,
        pauses: float = _PAUSES,
    ) -> None:
        self._queue = queue
        self._wake = wake
        self._longest_s = longest_s
        self._pauses = pauses
        self._gone: frozenset[int] = frozenset()
        self._rested_at = 0.0

    async def run(self) -> None:
        """Look twice a second, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                if await self._somebody_left() or time.monotonic() >= self._rested_at:
                    await self._free()
            except DatabaseUnavailable as error:
                log.warning("events of lost nodes cannot be freed", error=error.detail)
                self._rested_at = 0.0  # who left is known by now, and still holds events

    async def _somebody_left(self) -> bool:
        before, self._gone = self._gone, await self._queue.gone()
        return not self._gone <= before

    async def _free(self) -> None:
        started = time.monotonic()
        freed = await self._queue.reclaim()
        ended = time.monotonic()
        rest = min(self._longest_s, max(_REST_S, self._pauses * (ended - started)))
        # what was freed may not be all: it is done again at the next look
        self._rested_at = ended if freed else ended + rest
        if freed:
            self._wake()
