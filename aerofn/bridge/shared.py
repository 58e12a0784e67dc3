"""One transaction that events of the same function and caller share: its members run one after another.

A savepoint stands before each member's first statement, sent in the same message, so that a member that fails
undoes its own effects only. Whatever a member would not have met alone (a lock that is not free at once, a
statement cut short for the neighbours' sake) never reaches the guest: its run is broken off by `SteppedAside`
and repeated in a transaction of its own.
"""

import functools
import time
from collections.abc import Sequence

import asyncpg
import msgspec
import structlog

from aerofn import sql
from aerofn.bridge.door import Door
from aerofn.bridge.session import Deferred, Reply, Session
from aerofn.bridge.traced import tracing
from aerofn.bridge.verdict import Verdict
from aerofn.db.events import Lease
from aerofn.db.results import Kept
from aerofn.errors import AeroFnError, SteppedAside
from aerofn.model import Caller, Parent

log = structlog.get_logger(__name__)
_Q = sql.queries("session")
_LOCK_MS, _STATEMENT_MS = 25, 100
_IMPATIENCE = _Q.impatience.format(lock=_LOCK_MS, statement=_STATEMENT_MS)
# lock_not_available, deadlock_detected, out_of_memory for locks: alone it might have got them.
_NOT_ALONE = frozenset({"55P03", "40P01", "53200"})
# query_canceled: by the statement timeout; admin_shutdown
_CUT_SHORT = frozenset({"57014", "57P01"})
# Each member's savepoint and each statement is a subtransaction: PostgreSQL keeps 64 of them where others look.
_SUBTRANSACTIONS = 60


# Each savepoint has a name of its own: if a member's was never made, undoing it fails, and with it the commit.
# Under one name it would undo the member before, whose event would be done without its effects.


@functools.cache
def _savepoint(number: int) -> str:
    return f"{_Q.savepoint.format(number=number)}; "


@functools.cache
def _release(number: int) -> str:
    return f"{_Q.release.format(number=number)}; "


@functools.cache
def _undo(number: int) -> str:
    return f"{_Q.undo.format(number=number)}; "


class _Report(msgspec.Struct):
    code: str = ""


_code = msgspec.json.Decoder(_Report).decode


class SharedSession(Session):
    """A session for many members. Between `turn` and `keep` or `undo` it is the current member's.

    Attributes:
        broken: the transaction is lost; nothing of it will last.
        full: no further member may join.
        waited: seconds that the current member has waited for the database while the loop had nothing to do: more
            transactions side by side would help then.
        alone: why this function had better not share transactions, once that is known.
    """

    def __init__(self, door: Door, caller: Caller, function: str, depth: int = 0) -> None:
        super().__init__(door, caller, function, depth)
        self._savepoints = 1
        self._next = _savepoint(self._savepoints)
        self._subtransactions = 0
        self._opened = False
        self.waited = 0.0
        self.full = False
        self.alone: str | None = None

    @property
    def broken(self) -> bool:
        """Whether the transaction is lost, or something still runs in it."""
        return self._busy or (self._opened and self._connection is None)

    async def begin(self) -> None:
        """Take the connection now, so that no member's time goes by with waiting for one.

        Raises:
            DatabaseUnavailable: there is none.
        """
        await self._connect()

    def turn(self, parent: Parent | None = None) -> None:
        """The next member begins, in a trace of its own."""
        self.queries, self.waited = 0, 0.0
        self._lead = self._next + ("" if parent is None else f"{tracing(parent)}; ")

    def keep(self) -> None:
        """The current member has succeeded."""
        if not self._lead:  # the savepoint has been sent
            self._next = _release(self._savepoints) + _savepoint(self._savepoints + 1)
            self._savepoints += 1

    def undo(self) -> None:
        """The current member's effects must not last; they go with the next message."""
        if not self._lead:
            self._next = _undo(self._savepoints)

    async def query(self, text: str, params: str) -> Reply:
        """Run one statement of the current member.

        Raises:
            SteppedAside: the member must run again, by itself.
            DatabaseUnavailable: the connection broke.
        """
        if self.broken:
            raise SteppedAside("the shared transaction is lost")
        self._subtransactions += 1 + bool(self._lead)
        began, computed = time.perf_counter(), time.thread_time()
        ok, doc = await super().query(text, params)
        self.waited += time.perf_counter() - began - (time.thread_time() - computed)
        self.full = self.full or self._subtransactions >= _SUBTRANSACTIONS
        if not ok and _code(doc).code in _NOT_ALONE:
            self.full = True  # others wait for what this transaction holds
            raise SteppedAside("a lock was not free")
        return ok, doc

    def before_wait(self) -> None:
        """A shared transaction is no place to wait: it holds its neighbours' locks."""
        self.alone = "it waits for other things than the database"
        raise SteppedAside(self.alone)

    async def commit(
        self, leases: Sequence[Lease] = (), kept: Kept | None = None, deferred: Deferred | None = None
    ) -> None:
        """As `Session.commit`; if it raises, nothing of any member was done."""
        undo = _undo(self._savepoints)
        self._lead = f"{undo if self._next == undo else ''}{_Q.patience}; "
        await super().commit(leases, kept, deferred)

    def _check(self, verdict: Verdict) -> None:
        super()._check(verdict)
        if not verdict.plain:
            self.full = True
            self.alone = "its statements call functions that may leave something behind"

    def _beginning(self) -> str:
        self._opened = True
        return f"{super()._beginning()}; {_IMPATIENCE}"

    def _broken_off(self, error: asyncpg.PostgresError) -> AeroFnError:
        self.full = True
        if error.sqlstate not in _CUT_SHORT:
            log.warning("a shared transaction is broken off", error=str(error), code=error.sqlstate)
        return SteppedAside("a statement could not go on in a shared transaction", detail=str(error))
