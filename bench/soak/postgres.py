"""The soak's own PostgreSQL, which can be crashed, and connections to it that expect that."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import psutil

from aerofn import sql
from aerofn.db.embedded import EmbeddedPostgres

T = TypeVar("T")
AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
HERE = Path(__file__).parent
Q = sql.Queries("soak", sql.parse_queries("soak", (HERE / "queries.sql").read_text(encoding="utf-8")))
_PATIENCE_S = 60.0


def crash(server: EmbeddedPostgres) -> None:
    """Stop it as a power cut would (no checkpoint, every connection dies) and start it again. Blocks."""
    pid = int((server._place.data / "postmaster.pid").read_text().splitlines()[0])
    with contextlib.suppress(psutil.NoSuchProcess):
        postmaster = psutil.Process(pid)
        postmaster.send_signal(psutil.signal.SIGQUIT)
        postmaster.wait(30)
    server._let_go()
    server.start()


class Postgres:
    """The server, and a pool of a superuser's connections."""

    def __init__(self, place: Path, connections: int) -> None:
        self.server = EmbeddedPostgres(place, settings={"max_connections": str(connections)})
        self._pool: Any = None

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)
        self._pool = await asyncpg.create_pool(
            self.url, min_size=0, max_size=4, timeout=10, command_timeout=30,
            server_settings={"application_name": "soak"},
        )  # fmt: skip

    @property
    def url(self) -> str:
        return self.server.url

    async def crash(self) -> None:
        await asyncio.to_thread(crash, self.server)

    async def fetch(self, statement: str, *arguments: Any) -> list[Any]:
        """One statement, which may fail, and may have happened nevertheless."""
        return list(await self._pool.fetch(statement, *arguments))

    async def script(self, text: str) -> None:
        await self._pool.execute(text)

    async def surely(self, statement: str, *arguments: Any) -> list[Any]:
        """One statement that may be repeated, until it has succeeded."""
        return await patiently(lambda: self.fetch(statement, *arguments))

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()
        await asyncio.to_thread(self.server.erase)


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat `attempt` while the database is away, for a minute at the most."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            with contextlib.suppress(*AWAY):
                return await attempt()
            await asyncio.sleep(0.2)
