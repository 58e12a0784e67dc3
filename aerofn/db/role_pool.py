"""Connections of one function login: handed out without a detour, and ended for certain when a query hangs.

Smaller than asyncpg's pool on purpose: it makes no task for a connection that is free, and it knows how to
stop a transaction that will not stop: cancel it, then terminate its backend.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from aerofn.db.places import Places

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]
else:
    Connection = asyncpg.Connection

log = structlog.get_logger(__name__)
_IDLE_S = 300.0
_UNENDED_S = 0.005  # while somebody may come whose first message takes the end along
_TRUSTED_S = 5.0
_CANCEL_S = 2.0
_GONE_S = 900.0
_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class RolePool:
    """Connections as there are places for them, made when needed.

    Args:
        connect: makes one.
        places: how many, and how many of them for each owner: a function.
        stop: SQL that ends the backend $1, sent by the same login on a connection of its own.
        unlock: SQL behind the end of a transaction, where no other begins in the same message.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], places: Places, *, stop: str, unlock: str
    ) -> None:
        self._connect = connect
        self._places = places
        self._stop = stop
        self._unlock = unlock
        self._idle: deque[tuple[Connection, float]] = deque()
        self._unended: deque[tuple[Connection, float, str]] = deque()
        self._looking = False
        self._ending: set[asyncio.Task[None]] = set()
        self._stopping: set[asyncio.Task[None]] = set()

    def get_size(self) -> int:
        """Connections that are open."""
        return self._places.taken + self.get_idle_size()

    def get_idle_size(self) -> int:
        """Those of them that nobody holds."""
        return len(self._idle) + len(self._unended) + len(self._ending)

    async def acquire(self, owner: str, wait_s: float) -> tuple[Connection, str]:
        """A connection for `owner`, to be given back by `release` or `discard`; and the commands that its last
        transaction still needs, to be sent in front of what begins the next.

        Raises:
            TimeoutError: none became free in time.
            OSError, asyncpg.PostgresError: a new one could not be made.
        """
        await self._places.enter(owner, wait_s)
        try:
            while self._unended:
                connection, _, ending = self._unended.popleft()
                if not connection.is_closed():
                    return connection, ending
            while self._ending and not self._idle:
                await asyncio.wait(self._ending, return_when=asyncio.FIRST_COMPLETED)
            while self._idle:
                connection, since = self._idle.pop()
                if await _answers(connection, since):
                    return connection, ""
            return await self._connect(), ""
        except BaseException:
            self._places.leave(owner)
            raise

    def release(self, connection: Connection, owner: str, ending: str = "") -> None:
        """Give back a connection that is as new, or will be after `ending`, which the next one sends, or soon we do."""
        now = time.monotonic()
        if ending:
            self._unended.append((connection, now, ending))
            self._look_later()
        elif not connection.is_closed():
            self._idle.append((connection, now))
        while self._idle and self._idle[0][1] < now - _IDLE_S:
            self._idle.popleft()[0].terminate()
        self._places.leave(owner)

    def discard(self, connection: Connection, owner: str, *, busy: bool) -> None:
        """Close a connection and with it its transaction; `busy`: a query may be running on it."""
        if not busy:
            connection.terminate()
            self._places.leave(owner)
            return
        task = asyncio.create_task(self._end(connection, owner), name="aerofn stop a query")
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def close(self) -> None:
        """Close what is idle, once what is being stopped has stopped."""
        await asyncio.gather(*self._stopping, *self._ending, return_exceptions=True)
        while self._unended:
            connection, _, ending = self._unended.popleft()
            await self._ended(connection, ending)
        while self._idle:
            connection, _ = self._idle.pop()
            with contextlib.suppress(*_AWAY):
                await connection.close(timeout=2)

    def terminate(self) -> None:
        """Close what is idle without ceremony."""
        while self._unended:
            self._unended.popleft()[0].terminate()
        while self._idle:
            self._idle.pop()[0].terminate()

    def _look_later(self) -> None:
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(_UNENDED_S, self._look)

    def _look(self) -> None:
        """End the transactions that nobody came to end with the beginning of another."""
        self._looking = False
        before = time.monotonic() - _UNENDED_S
        while self._unended and self._unended[0][1] <= before:
            connection, _, ending = self._unended.popleft()
            task = asyncio.create_task(self._ended(connection, ending), name="aerofn end a transaction")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        if self._unended:
            self._look_later()

    async def _ended(self, connection: Connection, ending: str) -> None:
        try:
            async with asyncio.timeout(_CANCEL_S):
                await connection.execute(f"{ending}{self._unlock}")
        except BaseException as error:
            connection.terminate()
            if not isinstance(error, _AWAY):
                raise
        else:
            self._idle.append((connection, time.monotonic()))

    async def _end(self, connection: Connection, owner: str) -> None:
        # asyncpg has sent a cancel request when its caller was cancelled; the next statement waits for its effect.
        try:
            async with asyncio.timeout(_CANCEL_S):
                await connection.execute("ROLLBACK")
        except TimeoutError:
            await self._kill(connection.get_server_pid())
            await _gone(connection)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            pass  # it is closed, or PostgreSQL has ended it
        finally:
            connection.terminate()
            self._places.leave(owner)

    async def _kill(self, backend: int) -> None:
        """End a backend that a cancel request does not stop: code there catches the cancellation."""
        log.warning("a query did not stop when cancelled; ending its backend", backend=backend)
        try:
            other = await self._connect()
            try:
                await other.execute(self._stop.format(backend=backend))
            finally:
                other.terminate()
        except _AWAY as error:
            log.error("a backend could not be ended", backend=backend, error=str(error))


async def _answers(connection: Connection, since: float) -> bool:
    """Whether a connection that is idle `since` still leads to PostgreSQL: what stands between may have dropped it."""
    if time.monotonic() - since > _TRUSTED_S and not connection.is_closed():
        try:
            async with asyncio.timeout(_CANCEL_S):
                await connection.execute("SELECT")
        except BaseException as error:
            connection.terminate()
            if not isinstance(error, _AWAY):
                raise
    return not connection.is_closed()


async def _gone(connection: Connection) -> None:
    """Wait until PostgreSQL has ended the backend: some of its functions look for no signal while they compute.

    Its place in the pool stays taken meanwhile: hostile SQL keeps `size` processors busy at the most.
    """
    ended = asyncio.Event()
    connection.add_termination_listener(lambda _: ended.set())
    if connection.is_closed():
        return
    try:
        async with asyncio.timeout(_GONE_S):
            await ended.wait()
    except TimeoutError:
        log.error("a backend computes on and on", backend=connection.get_server_pid())
