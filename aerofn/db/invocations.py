"""Invocation records on their way into `aerofn.invocations`: in batches, never in an invocation's way."""

import asyncio
from collections import deque

import structlog

from aerofn import sql
from aerofn.db.database import Database
from aerofn.db.jsonb import jsonb
from aerofn.errors import DatabaseUnavailable
from aerofn.model import Record

_Q = sql.queries("invocations")
_MOST_WAITING = 20_000
_BATCH = 500
_PAUSE_S = 0.05
_PARTITIONS_S = 3600.0
log = structlog.get_logger(__name__)


class Invocations:
    """Takes records at once and writes them soon; when the database is away too long the oldest are dropped.

    Args:
        retention_hours: how long the table keeps them.
    """

    def __init__(self, database: Database, retention_hours: int) -> None:
        self._database = database
        self._retention_hours = retention_hours
        self._waiting: deque[Record] = deque(maxlen=_MOST_WAITING)
        self._some = asyncio.Event()
        self.dropped = 0

    def add(self, record: Record) -> None:
        """Take one record; returns at once."""
        if len(self._waiting) == _MOST_WAITING:
            self.dropped += 1
        self._waiting.append(record)
        self._some.set()

    async def run(self) -> None:
        """Write what comes in, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write())
            tasks.create_task(self._keep_partitions())

    async def flush(self) -> None:
        """Write all that waits now, for an orderly end.

        Raises:
            DatabaseUnavailable: the database does not take it; the records keep waiting.
        """
        # not what comes in meanwhile: a busy node would write without a pause, a record or two at a time
        for left in range(len(self._waiting), 0, -_BATCH):
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, left, len(self._waiting)))]
            try:
                await self._database.execute(_Q.insert, jsonb(batch))
            except BaseException:
                self._waiting.extendleft(reversed(batch))
                raise

    async def _write(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            try:
                await self.flush()
            except DatabaseUnavailable as error:
                log.warning(
                    "invocation records wait for the database", waiting=len(self._waiting), error=error.detail
                )
                self._some.set()
                await asyncio.sleep(1)
            await asyncio.sleep(_PAUSE_S)  # so that a busy node writes batches

    async def _keep_partitions(self) -> None:
        while True:
            try:
                await self._database.execute(_Q.keep_partitions, self._retention_hours)
            except DatabaseUnavailable as error:
                log.warning("partitions of the records could not be kept", error=error.detail)
            await asyncio.sleep(_PARTITIONS_S)
