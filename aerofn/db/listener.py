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
from aerofn.db.logins import Logins
from aerofn.db.pool import BROKEN, Connection, connect_direct, connect_otherwise
from aerofn.errors import DatabaseUnavailable
from aerofn.settings import Settings

_Q = sql.queries("events")
_LONGEST_BACKOFF_S = 10.0
_CHECK_S = 5.0
_ECHO = "aerofn_echo"
_SCHEMA = sql.migrations()[-1].version
_AWAY = (*BROKEN, TimeoutError, asyncpg.PostgresError)
log = structlog.get_logger(__name__)


class Listener:
    """Keeps the node's connection; `node` is its id while it is connected, else None.

    `quiet`: this node has said that it need not be told of events.

    Args:
        on_wakeup: called when events may be due; also after every reconnect, since wakeups may be lost.
        on_registry: called when functions or triggers may have changed; also after every reconnect.
    """

    def __init__(
        self,
        settings: Settings,
        known: Logins,
        on_wakeup: Callable[[], None],
        on_registry: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._known = known
        self._on_wakeup = on_wakeup
        self._on_registry = on_registry
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self.node: int | None = None
        self.quiet = False

    async def run(self, ready: "asyncio.Future[None]") -> None:
        """Connect, listen, and connect again when the connection breaks; until cancelled.

        Args:
            ready: done once connected for the first time; fails if what is notified does not arrive.
        """
        failures = 0
        while True:
            try:
                connection = await connect_direct(self._settings, self._known)
                try:
                    await self._listen(connection)
                    failures = 0
                    if not ready.done():
                        ready.set_result(None)
                    await self._watch(connection)
                finally:
                    self.node, self._connection, self.quiet = None, None, False
                    connection.terminate()
            except DatabaseUnavailable as error:
                if not ready.done():
                    ready.set_exception(error)
                    return
                log.error(error.message, detail=error.detail, hint=error.hint)
            except _AWAY as error:
                log.warning("no connection for wakeups", error=str(error) or type(error).__name__)
            failures += 1
            pause = min(_LONGEST_BACKOFF_S, 0.1 * 2 ** min(failures, 10))
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311

    async def ask(self, *, quiet: bool) -> bool:
        """Say whether this node need not be told of events; answers whether it could be said."""
        connection = self._connection
        if connection is None:
            return False
        with contextlib.suppress(*_AWAY):  # a broken connection is noticed where it is watched
            async with self._turn:
                # The lock is not to be had in the moment in which a writer looks at it: then it is tried again later.
                said = await connection.fetchval(_Q.be_quiet if quiet else _Q.be_told, timeout=_CHECK_S)
                self.quiet = quiet if said else True
                return bool(said)
        return False

    async def crowded(self) -> bool:
        """Whether writers wait for each other because nodes are told of events."""
        connection = self._connection
        if connection is None:
            return False
        with contextlib.suppress(*_AWAY):
            async with self._turn:
                return bool(await connection.fetchval(_Q.crowded, timeout=_CHECK_S))
        return False

    async def _listen(self, connection: Connection) -> None:
        await self._check_echo(connection)
        await connection.add_listener("aerofn", lambda *_: self._on_wakeup())
        await connection.add_listener("aerofn_registry", lambda *_: self._on_registry())
        node: int = await connection.fetchval(_Q.add_node, socket.gethostname(), _SCHEMA)
        await connection.execute(_Q.lock_node, node)
        self._connection, self.node = connection, node
        await self.ask(quiet=False)
        log.info("node is live", node=node)
        self._on_registry()
        self._on_wakeup()

    async def _check_echo(self, connection: Connection) -> None:
        """Find out whether a notification sent on another connection arrives on this one.

        Raises:
            DatabaseUnavailable: it does not.
        """
        heard = asyncio.Event()

        def hear(*_: object) -> None:
            heard.set()

        await connection.add_listener(_ECHO, hear)
        other = await connect_otherwise(self._settings, self._known)
        try:
            await other.execute(_Q.echo)
            async with asyncio.timeout(_CHECK_S):
                await heard.wait()
        except TimeoutError:
            raise DatabaseUnavailable(
                "notifications do not arrive: this node would not hear of events",
                detail=f"NOTIFY by one connection was not heard within {_CHECK_S:g} s by LISTEN on the other",
                hint="set AEROFN_DIRECT_DATABASE_URL to the same database past any pooler",
                code="wakeups_unheard",
            ) from None
        finally:
            other.terminate()
        await connection.remove_listener(_ECHO, hear)

    async def _watch(self, connection: Connection) -> None:
        """Return when the connection is gone; a silent one is found out by asking now and then."""
        closed = asyncio.Event()
        connection.add_termination_listener(lambda _: closed.set())
        while not closed.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closed.wait(), _CHECK_S)
                return
            async with self._turn:
                await connection.execute(_Q.still_there, timeout=_CHECK_S)
