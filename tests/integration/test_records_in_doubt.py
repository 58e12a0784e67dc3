"""Records are written once, also where the answer to writing them is lost."""

from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest

from aerofn.db.database import Database
from aerofn.db.invocations import Invocations
from aerofn.errors import DatabaseUnavailable
from aerofn.model import Outcome, Record


class Losing(Database):
    """Loses the answers to the first statements, which have committed."""

    lost = 2

    async def execute(self, statement, *arguments):
        await super().execute(statement, *arguments)
        if self.lost:
            self.lost -= 1
            raise DatabaseUnavailable("the connection broke")


def a_record() -> Record:
    return Record(
        id=str(uuid4()), function="f", version=1, trigger="http", event_id=None, attempt=1, status=Outcome.SUCCESS,
        duration_ms=1, cpu_ms=1, memory_peak_mb=None, queries=0, host_calls=0, bytes_in=0, bytes_out=0, user_id=None,
        role="anon", error=None, logs=[], timestamp=datetime.now(UTC),
    )  # fmt: skip


async def test_a_record_whose_commit_was_not_heard_of_is_not_written_twice(database):
    conn = await database.connect()
    async with asyncpg.create_pool(database.url, min_size=1, max_size=1) as pool:
        invocations = Invocations(Losing(pool), 1)
        for _ in range(2):
            invocations.add(a_record())
            with pytest.raises(DatabaseUnavailable):
                await invocations.flush()
        invocations.add(a_record())
        await invocations.flush()
    found = await conn.fetchrow("SELECT count(*), count(DISTINCT id) AS different FROM aerofn.invocations")
    assert tuple(found) == (3, 3)
    assert await conn.fetchval("SELECT invocations FROM aerofn.metrics") == 3
