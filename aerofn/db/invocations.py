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
# After so many in one go: records in large batches cost PostgreSQL half as much.
_MANY, _LONG_PAUSE_S = 10, 0.2
_PARTITIONS_S = 3600.0
log = structlog.get_logger(__name__)


def _unfit(error: BaseException) -> bool:
    """Whether it is a value that was refused, and will be again."""
    return str(getattr(error.__cause__, "sqlstate", None)).startswith("22")


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
        self._in_doubt = 0  # so many in front may be written already: the answer to that was lost
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Records that are not written yet."""
        return len(self._waiting)

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
            number = min(_BATCH, left)
            if not await self._write_next(number):
                for _ in range(number):
                    await self._write_next(1)

    async def _write_next(self, number: int) -> bool:
        """Write so many of the oldest; false if one of them has a value that PostgreSQL refuses.

        If it is a single one, it is dropped, and is in nobody's way.
        """
        batch = [self._waiting.popleft() for _ in range(min(number, len(self._waiting)))]
        try:
            await self._database.execute(_Q.insert, jsonb(batch), self._in_doubt > 0)
        except BaseException as error:
            if len(batch) == 1 and _unfit(error):
                self._in_doubt = max(0, self._in_doubt - 1)
                self.dropped += 1
                log.error("an invocation record cannot be stored", id=batch[0].id, error=str(error.__cause__))
                return True
            self._put_back(batch)
            if _unfit(error):
                return False
            self._in_doubt = max(self._in_doubt, len(batch))
            raise
        self._in_doubt = max(0, self._in_doubt - len(batch))
        return True

    def _put_back(self, batch: list[Record]) -> None:
        too_many = max(0, len(self._waiting) + len(batch) - _MOST_WAITING)
        self.dropped += too_many
        self._waiting.extendleft(reversed(batch[too_many:]))

    async def _write(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            many = len(self._waiting) >= _MANY
            try:
                await self.flush()
            except DatabaseUnavailable as error:
                log.warning(
                    "invocation records wait for the database", waiting=len(self._waiting), error=error.detail
                )
                self._some.set()
                await asyncio.sleep(1)
            await asyncio.sleep(_LONG_PAUSE_S if many else _PAUSE_S)

    async def _keep_partitions(self) -> None:
        while True:
            try:
                await self._database.execute(_Q.keep_partitions, self._retention_hours)
            except DatabaseUnavailable as error:
                log.warning("partitions of the records could not be kept", error=error.detail)
            await asyncio.sleep(_PARTITIONS_S)
