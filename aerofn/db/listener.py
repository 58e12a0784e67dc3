"""The node's one standing connection: it hears wakeups and holds the lock by which others see the node live.

The connection never holds a transaction. When it breaks, the node is nobody until it has a new one: its lock
was free meanwhile, so its events may already run elsewhere and it comes back under a new id.
"""

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable

import asyncpg
import structlog

from aerofn import sql
from aerofn.db.logins import Login
from aerofn.db.pool import Connection, connect_direct
from aerofn.settings import Settings

_Q = sql.queries("events")
_LONGEST_BACKOFF_S = 10.0
_CHECK_S = 5.0
_SCHEMA = sql.migrations()[-1].version
log = structlog.get_logger(__name__)


class Listener:
    """Keeps the node's connection; `node` is its id while it is connected, else None.

    Args:
        on_wakeup: called when events may be due; also after every reconnect, since wakeups may be lost.
        on_registry: called when functions or triggers may have changed; also after every reconnect.
    """

    def __init__(
        self, settings: Settings, login: Login, on_wakeup: Callable[[], None], on_registry: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._login = login
        self._on_wakeup = on_wakeup
        self._on_registry = on_registry
        self.node: int | None = None

    async def run(self, ready: asyncio.Event) -> None:
        """Connect, listen, and connect again when the connection breaks; until cancelled.

        Args:
            ready: set once connected for the first time.
        """
        failures = 0
        while True:
            try:
                connection = await connect_direct(self._settings, self._login)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                failures += 1
                pause = min(_LONGEST_BACKOFF_S, 0.1 * 2**failures) * random.uniform(0.5, 1)  # noqa: S311
                log.warning("no connection for wakeups", error=str(error), retry_in_s=round(pause, 1))
                await asyncio.sleep(pause)
                continue
            failures = 0
            try:
                await self._listen(connection, ready)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("the connection for wakeups broke", error=str(error))
            finally:
                self.node = None
                connection.terminate()

    async def _listen(self, connection: Connection, ready: asyncio.Event) -> None:
        await connection.add_listener("aerofn", lambda *_: self._on_wakeup())
        await connection.add_listener("aerofn_registry", lambda *_: self._on_registry())
        node: int = await connection.fetchval(_Q.add_node, socket.gethostname(), _SCHEMA)
        await connection.execute(_Q.lock_node, node)
        self.node = node
        log.info("node is live", node=node)
        ready.set()
        self._on_registry()
        self._on_wakeup()
        await self._watch(connection)

    async def _watch(self, connection: Connection) -> None:
        """Return when the connection is gone; a silent one is found out by asking now and then."""
        closed = asyncio.Event()
        connection.add_termination_listener(lambda _: closed.set())
        while not closed.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closed.wait(), _CHECK_S)
                return
            await connection.execute(_Q.still_there, timeout=_CHECK_S)
