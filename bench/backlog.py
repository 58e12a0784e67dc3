"""Leasing beside a million events that wait, and beside an old transaction: `make bench-backlog`.

The rate at which events are leased and completed, in batches of 100, as a node does it, without running anything.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import asyncpg

from aerofn.db import logins, pool
from aerofn.db.database import Database
from aerofn.db.embedded import EmbeddedPostgres
from aerofn.db.events import Events, Lease
from aerofn.db.migrate import migrate
from aerofn.settings import from_env
from bench.figures import tell

_FEW, _MANY, _BATCH = 1_000, 1_000_000, 100
_COMPONENT = bytes.fromhex("0061736d0d000100")
_FILL = """
    INSERT INTO aerofn_internal.events (function_id, source, role, payload)
    SELECT f.id, 'invoke', 'anon', '{}' FROM aerofn_internal.functions f, generate_series(1, $1::int)"""


class Backlog:
    """A queue with so many events in it, and a node that leases from it."""

    def __init__(self, connection: asyncpg.Connection, events: Events) -> None:
        self._connection = connection
        self._events = events

    async def fill(self, pending: int) -> None:
        """Leave exactly `pending` events, as after a VACUUM."""
        await self._connection.execute("TRUNCATE aerofn_internal.events")
        await self._connection.execute(_FILL, pending)
        await self._connection.execute("VACUUM ANALYZE aerofn_internal.events")
        await self._connection.execute("CHECKPOINT")

    async def rate(self, batches: int) -> float:
        """Events leased and completed a second."""
        started = time.perf_counter()
        for _ in range(batches):
            events = await self._events.lease(1, _BATCH, 60.0)
            done = await self._events.complete([Lease(event.id, event.token) for event in events])
            assert len(done) == _BATCH
        return batches * _BATCH / (time.perf_counter() - started)


async def measure(backlog: Backlog, connection: asyncpg.Connection, runs: int) -> None:
    """Tell `backlog_ratio` and `old_transaction_ratio`."""
    few = []
    for _ in range(runs):
        await backlog.fill(_FEW)
        await backlog.rate(2)
        few.append(await backlog.rate(7))
    await backlog.fill(_MANY)
    await backlog.rate(2)
    many = [await backlog.rate(7) for _ in range(runs)]
    tell("backlog_ratio", many, "events/s", peer=f"{_FEW:,} pending", peer_runs=few, goal=0.9)
    async with connection.transaction(isolation="repeatable_read"):
        await connection.execute("SELECT FROM aerofn_internal.events LIMIT 1")
        await backlog.rate(300)  # 30,000 events that nobody can clean away
        beside = [await backlog.rate(20) for _ in range(runs)]
    tell("old_transaction_ratio", beside, "events/s", peer="no old transaction", peer_runs=many)


async def main(runs: int) -> None:
    """Measure on a server of its own, with its default settings."""
    with tempfile.TemporaryDirectory() as directory, EmbeddedPostgres(Path(directory) / "pg") as server:
        settings = from_env({}, database_url=server.url)
        connection, other = await asyncpg.connect(server.url), await asyncpg.connect(server.url)
        await migrate(connection, settings)
        await connection.execute("SELECT aerofn.register_function('none', $1)", _COMPONENT)
        login = (await logins.read(connection))[logins.SERVICE]
        service = await pool.open_service_pool(settings, login)
        await measure(Backlog(connection, Events(Database(service))), other, runs)
        await pool.close(service)
        await asyncio.gather(connection.close(), other.close())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    asyncio.run(main(parser.parse_args().runs))
