"""Leasing beside a million events that wait, and beside an old transaction: `make bench-backlog`.

The rate at which events are leased and completed, in batches of 100, as a node does it, without running anything.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from aerofn.db import pool
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
    """A queue in a database of its own, and a node's way to it."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def open(self) -> None:
        """Install AeroFn and connect."""
        settings = from_env({}, database_url=self.url)
        self.connection = await asyncpg.connect(self.url)
        await migrate(self.connection, settings)
        await self.connection.execute("SELECT aerofn.register_function('none', $1)", _COMPONENT)
        self._service = await pool.open_service_pool(settings, await pool.known_logins(settings))
        self._events = Events(Database(self._service))

    async def close(self) -> None:
        """Close its connections."""
        await pool.close(self._service)
        await self.connection.close()

    async def fill(self, pending: int) -> None:
        """Leave exactly `pending` events, as after a VACUUM."""
        await self.connection.execute("TRUNCATE aerofn_internal.events")
        await self.connection.execute(_FILL, pending)
        await self.connection.execute("VACUUM ANALYZE aerofn_internal.events")

    async def rate(self, batches: int) -> float:
        """Events leased and completed a second; as many are put behind the others, beside the clock."""
        spent = 0.0
        for _ in range(batches):
            started = time.perf_counter()
            events = await self._events.lease(1, _BATCH, 60.0)
            done = await self._events.complete([Lease(event.id, event.token) for event in events])
            spent += time.perf_counter() - started
            assert len(done) == _BATCH
            await self.connection.execute(_FILL, _BATCH)
        return batches * _BATCH / spent


async def measure(few: Backlog, many: Backlog, runs: int) -> None:
    """Tell `backlog_ratio` and `old_transaction_ratio`; what is compared takes turns."""
    await few.fill(_FEW)
    await many.fill(_MANY)
    await few.connection.execute("CHECKPOINT")
    rates: dict[Backlog, list[float]] = {few: [], many: []}
    for _ in range(runs + 1):
        for backlog, found in rates.items():
            found.append(await backlog.rate(30))
    short, long = rates[few][1:], rates[many][1:]  # the first runs fill caches
    tell("backlog_ratio", long, "events/s", peer=f"{_FEW:,} pending", peer_runs=short, goal=0.9)
    other = await asyncpg.connect(many.url)
    async with other.transaction(isolation="repeatable_read"):
        await other.execute("SELECT FROM aerofn_internal.events LIMIT 1")
        await many.rate(300)  # 30,000 events that nobody can clean away
        beside = [await many.rate(30) for _ in range(runs)]
    await other.close()
    tell("old_transaction_ratio", beside, "events/s", peer="no old transaction", peer_runs=long)


async def main(runs: int) -> None:
    """Measure on a server of its own, with its default settings."""
    with tempfile.TemporaryDirectory() as directory, EmbeddedPostgres(Path(directory) / "pg") as server:
        connection = await asyncpg.connect(server.url)
        await connection.execute("CREATE DATABASE few")
        await connection.execute("CREATE DATABASE many")
        await connection.close()
        few, many = (
            Backlog(urlunsplit(urlsplit(server.url)._replace(path=f"/{name}"))) for name in ("few", "many")
        )
        await few.open()
        await many.open()
        await measure(few, many, runs)
        await few.close()
        await many.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    asyncio.run(main(parser.parse_args().runs))
