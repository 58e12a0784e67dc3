"""The bridge's session inside a transaction that is the test's: a savepoint for each invocation, nothing committed."""

from collections.abc import Sequence

import asyncpg

from aerofn import sql
from aerofn.bridge.quoting import literal, quoted
from aerofn.bridge.session import Deferred, Session, document, refused
from aerofn.db.events import Lease
from aerofn.db.pool import Connection
from aerofn.db.results import Kept

_Q = sql.queries("testing")


class OneConnection:
    """In the place of a role's pool: the test's own connection, whoever asks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def acquire(self, _owner: str, _wait_s: float) -> tuple[Connection, str]:
        """The connection, as it is."""
        return self._connection, ""

    def release(self, connection: Connection, owner: str, ending: str = "") -> None:
        """Keep it open."""

    def discard(self, connection: Connection, owner: str, *, busy: bool) -> None:
        """A statement was cut off: the test's transaction is lost with the connection."""
        connection.terminate()


class TrialSession(Session):
    """Ends with its effects in place when the function succeeded, and undone when it failed."""

    def _beginning(self) -> str:
        return _Q.begin.format(doc=literal(document(self._caller, 0)))

    async def commit(
        self, leases: Sequence[Lease] = (), kept: Kept | None = None, deferred: Deferred | None = None
    ) -> None:
        """Check what a commit would check, and keep the effects for the test.

        Raises:
            QueryError: a deferred constraint refused; the effects are undone.
        """
        self._ended = True
        if self._connection is None:
            return
        try:
            await self._send(self._connection, _Q.keep.format(finish=quoted(f"{self._caller.role}_finish")))
        except asyncpg.PostgresError as error:
            await self.rollback()
            raise refused(error) from error
        self._give_back()

    async def rollback(self) -> None:
        """Undo the effects, and only these."""
        self._ended = True
        if self._connection is not None:
            await self._send(self._connection, _Q.undo)
            self._give_back()
