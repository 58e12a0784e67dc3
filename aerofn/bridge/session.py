"""One invocation's database transaction, as its caller, from the first query to commit or rollback.

Two messages for an invocation with one query: BEGIN with the caller and the statement in the role's sealed
executor · the deferred constraints, the event's completion, COMMIT and the reset. Where nothing was written, the second
goes out with the first of the connection's next invocation, or by itself soon. A connection on which anything went
wrong beyond a guest's SQL error is closed, not given back.

The executor is called by COPY … TO STDOUT: one message whose answer is bytes, taken as they are, and nothing
is prepared on the connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import asyncpg
import msgspec

from aerofn import sql
from aerofn.bridge import codec
from aerofn.bridge.door import Door, Known, Types, types_of
from aerofn.bridge.quoting import literal
from aerofn.bridge.verdict import Verdict
from aerofn.db.events import Lease
from aerofn.db.jsonb import jsonb
from aerofn.db.pool import BROKEN, unavailable
from aerofn.db.results import Kept
from aerofn.db.role_pool import Connection
from aerofn.errors import AeroFnError, DatabaseUnavailable, HostError, LeaseLost, QueryError
from aerofn.model import Caller, random_id

_Q = sql.queries("session")
_LEASE_LOST = "AF001"
_ROWS = b'{"rows"'
# COPY's binary format around the first field of the only row: signature, flags, extension, number of fields, length;
# after it the length and the byte of the second, a boolean, and the end.
_BEFORE, _AFTER = 11 + 4 + 4 + 2 + 4, 4 + 1 + 2
_WROTE = -3
_json = msgspec.json.Encoder()
_BEGIN_TRIES = 12  # more than the connections that lie idle by default
# A statement that was fine may not be so any more: its tables were changed.
_STALE = ("22", "42")
# No caller, or a function of AeroFn's own that its login may not call or that is not there.
_OURS = ("28", "42", "3F")
_ENDED = {"code": "25000", "message": "this invocation's transaction has ended"}
Reply = tuple[bool, bytes]
T = TypeVar("T")


class Deferred(NamedTuple):
    """Requests to be sent after the commit: of which function, and their JSON array."""

    function: int
    requests: bytes


class Session:
    """Lazy: there is no connection and no transaction before the first query.

    Args:
        function: whose share of the connections it takes from.
        depth: how many functions stand behind this one, for the guard against loops.
    """

    # What a function that never queries does not pay for.
    queries = 0
    _connection: Connection | None = None
    _busy = False
    _ended = False
    _wrote = False  # as PostgreSQL said after the last statement
    _plain = True  # so far; see Verdict
    _owed = ""  # what the connection's transaction before still needs, until it has been sent
    _opening = ""  # that and what begins the transaction: goes out in front of the first statement
    _lead = ""  # commands that go out in front of the next statement or the commit

    def __init__(self, door: Door, caller: Caller, function: str, depth: int = 0) -> None:
        self._door = door
        self._caller = caller
        self._function = function
        self._depth = depth
        self._turn = asyncio.Lock()

    @property
    def open(self) -> bool:
        """Whether it has a connection, for a transaction."""
        return self._connection is not None

    async def query(self, text: str, params: str) -> Reply:
        """Run one statement of the guest: (True, rows as JSON) or (False, the error as JSON).

        Raises:
            DatabaseUnavailable: the connection broke, or none became free in time.
        """
        await self._turn.acquire()  # a guest may ask for several at once; a connection does one
        try:
            self.queries += 1
            return await self._run(text, params)
        except QueryError as error:
            return False, _json.encode(error.fields)
        finally:
            self._turn.release()

    def before_wait(self) -> None:
        """The function is about to wait for something that is not the database."""

    async def commit(
        self, leases: Sequence[Lease] = (), kept: Kept | None = None, deferred: Deferred | None = None
    ) -> None:
        """Make the effects last, together with the completion of the leased events, a kept result, and
        requests to be sent afterwards.

        Raises:
            QueryError: a deferred constraint refused; nothing was done.
            LeaseLost: one of the events, or the request, runs elsewhere now; nothing was done.
            DatabaseUnavailable: the connection broke; whether it was done is the database's to know.
        """
        if self._opening or (deferred is not None and self._connection is None):
            await self._begin()
        self._ended = True
        if self._connection is None:
            return
        storing, connection = self._storing(deferred), self._connection
        if not (leases or kept or storing) and self.leave():
            return
        commands = self._door.statements.commit(leases, kept, storing, wrote=self._wrote)
        try:
            await self._send(connection, f"{self._lead}{commands}")
        except asyncpg.PostgresError as error:
            committed = not connection.is_in_transaction()  # then it was the reset that failed
            self._discard()
            if not committed:
                raise refused(error) from error
        else:
            self._give_back()

    def leave(self) -> bool:
        """Leave a transaction that only read, at once: the connection's next one ends it. False: it needs `commit`."""
        if self._wrote or self._opening or self._lead or not self._plain:
            return False
        self._ended = True
        self._give_back(self._door.statements.ending)
        return True

    def _storing(self, deferred: Deferred | None) -> str:
        if deferred is None:
            return ""
        caller = self._caller
        claims = literal(jsonb(caller.claims))
        stored = _Q.store.format(
            function=deferred.function, role=literal(caller.role), claims=claims, depth=self._depth,
            requests=literal(deferred.requests.decode()),
        )  # fmt: skip
        return f"{stored}; "

    async def rollback(self) -> None:
        """Undo the effects. Never raises for a broken connection: PostgreSQL undoes them then."""
        self._ended = True
        if self._connection is None:
            return
        if self._opening and not self._owed:
            self._give_back()
            return
        try:
            ending = self._owed or f"{_Q.rollback}; {_Q.reset}; "
            await self._send(self._connection, f"{ending}{_Q.unlock}")
        except (asyncpg.PostgresError, DatabaseUnavailable):
            self._discard()
        else:
            self._give_back()

    def abandon(self) -> None:
        """Undo the effects by closing the connection, whatever runs on it; at once."""
        self._ended = True
        if self._connection is not None:
            self._discard()

    async def _run(self, text: str, params: str) -> Reply:
        known = self._door.statements.known.get(text)
        if known is None:
            known = await self._learn(text)
        else:
            self._check(known.verdict)
        ok, doc = await self._execute(known.call(codec.texts(params, known.types)))
        if not ok:
            self._forget_if_stale(text, doc)
        return ok, doc

    def _check(self, verdict: Verdict) -> None:
        if verdict.refusal is not None:
            raise QueryError({"code": verdict.code, "message": verdict.refusal})
        if self._ended:
            raise QueryError(_ENDED)
        self._plain = self._plain and verdict.plain
        if self.queries > self._door.caps.statements:
            raise QueryError(
                {
                    "code": "54000",
                    "message": f"an invocation may run {self._door.caps.statements} statements",
                    "hint": "Do more in one statement, for example INSERT … SELECT FROM unnest($1::int[]).",
                }
            )

    async def _begin(self) -> None:
        """Open the transaction by a message of its own: what follows must not be sent twice."""

        async def opening(connection: Connection, opening: str) -> None:
            await self._send(connection, opening)

        try:
            await self._first(opening)
        except asyncpg.PostgresError as error:
            self._discard()
            raise HostError("the invocation's transaction could not begin", detail=str(error)) from error

    async def _first(self, send: Callable[[Connection, str], Awaitable[T]]) -> T:
        """Send the transaction's first message, on another connection if this one's backend was ended meanwhile.

        Nothing is lost by sending it again: nothing was committed.
        """
        for tries_left in reversed(range(_BEGIN_TRIES)):
            connection = self._connection or await self._connect()
            (owed, self._owed), (opening, self._opening) = (self._owed, ""), (self._opening, "")
            try:
                return await send(connection, opening)
            except (asyncpg.PostgresError, DatabaseUnavailable) as error:
                unended = bool(owed) and not connection.is_in_transaction()
                if not (opening and tries_left and (unended or _broke(error))):
                    raise
                self._discard()
        raise AssertionError("unreachable")

    async def _connect(self) -> Connection:
        try:
            connection, owed = await self._door.pool.acquire(self._function, self._door.caps.wait_s)
        except TimeoutError as error:
            raise DatabaseUnavailable(
                f"no database connection became free within {self._door.caps.wait_s:g} s",
                hint="Raise AEROFN_POOL_SIZE and AEROFN_FUNCTION_POOL_SIZE, or make transactions shorter.",
                code="database_busy",
            ) from error
        except (*BROKEN, asyncpg.PostgresError) as error:
            raise unavailable(error) from error
        self._connection, self._owed, self._opening = connection, owed, f"{owed}{self._beginning()}; "
        if self._ended:  # abandoned while it waited
            self._discard()
            raise QueryError(_ENDED)
        return connection

    def _beginning(self) -> str:
        caller, depth = self._caller, self._depth
        raw = literal(_json.encode(caller.claims).decode()) if self._door.postgrest_claims else "NULL"
        return _Q.begin.format(doc=literal(document(caller, depth)), depth=depth, postgrest_claims=raw)

    async def _learn(self, text: str) -> Known:
        """Have a statement judged, and ask for the types of its parameters: once per text and role."""
        verdict = self._door.guard.remembered(text) or await self._door.guard.verdict(text)
        self._check(verdict)
        statements, types = self._door.statements, Types([])
        if verdict.numbers:
            _, doc = await self._execute(statements.asking(verdict))
            if b'"code"' in doc[:16]:
                raise QueryError(msgspec.json.decode(doc))
            types = types_of(doc)
        known = statements.with_types(verdict, types.parameters)
        if types.lasting:
            statements.learn(text, known)
        return known

    async def _execute(self, call: str) -> Reply:
        call, self._lead = f"{self._lead}{call}", ""

        async def copy(connection: Connection, opening: str) -> bytes:
            return await self._copy(connection, f"{opening}{call}")

        try:
            if self._connection is None or self._opening:
                doc = await self._first(copy)
            else:
                doc = await self._copy(self._connection, call)
        except asyncpg.PostgresError as error:
            self._busy = self._plain = False  # nobody else may go on in an aborted transaction
            raise self._broken_off(error) from error
        return doc.startswith(_ROWS), doc

    async def _copy(self, connection: Connection, commands: str) -> bytes:
        """The only field of the only row that the last of the commands, a COPY, gives."""
        parts: list[bytes] = []
        size, most = 0, self._door.caps.bytes + 65_536

        async def take(part: bytes) -> None:
            nonlocal size
            size += len(part)
            if size > most:
                raise ValueError("more bytes than the executor lets through")
            parts.append(bytes(part))

        self._busy = True
        try:
            # Not copy_from_query: that takes no commands in front, which would be a round trip of their own.
            copy_out = connection._copy_out  # type: ignore[attr-defined]
            await copy_out(commands, take, None)
        except (*BROKEN, ValueError) as error:
            self._discard()
            raise unavailable(error) from error
        self._busy = False
        answer = parts[0] if len(parts) == 1 else b"".join(parts)
        self._wrote = answer[_WROTE] != 0
        return answer[_BEFORE:-_AFTER]

    def _broken_off(self, error: asyncpg.PostgresError) -> AeroFnError:
        """What an error means that ends the transaction: the executor reports a guest's errors as values."""
        if error.sqlstate.startswith(_OURS):
            return HostError("the invocation's transaction could not begin", detail=str(error))
        return QueryError(_fields(error))

    def _forget_if_stale(self, text: str, doc: bytes) -> None:
        if msgspec.json.decode(doc).get("code", "").startswith(_STALE):
            self._door.statements.known.pop(text, None)

    async def _send(self, connection: Connection, commands: str) -> None:
        self._busy = True
        try:
            await connection.execute(commands)
        except BROKEN as error:
            self._discard()
            raise unavailable(error) from error
        except asyncio.CancelledError:
            self._discard()
            raise
        except asyncpg.PostgresError:
            self._busy = False
            raise
        self._busy = False

    def _give_back(self, ending: str = "") -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._door.pool.release(connection, self._function, ending)

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._door.pool.discard(connection, self._function, busy=self._busy)


def document(caller: Caller, depth: int) -> str:
    """What PostgreSQL is told of the caller when an invocation begins, and no guest can have foreseen."""
    said = {"role": caller.role, "claims": caller.claims, "depth": depth, "nonce": random_id()}
    return _json.encode(said).decode()


def _broke(error: Exception) -> bool:
    """Whether the connection was lost, through nobody's statement."""
    return isinstance(error, asyncpg.AdminShutdownError) or isinstance(error.__cause__, BROKEN)


def refused(error: asyncpg.PostgresError) -> AeroFnError:
    """What a refused commit is for whoever asked for it."""
    if error.sqlstate == _LEASE_LOST:
        return LeaseLost("the event or request is run by another node now")
    return QueryError(_fields(error))


def _fields(error: asyncpg.PostgresError) -> dict[str, Any]:
    names = {"sqlstate": "code", "message": "message", "detail": "detail", "hint": "hint", "schema_name": "schema",
             "table_name": "table", "column_name": "column", "constraint_name": "constraint"}  # fmt: skip
    return {names[key]: value for key, value in error.as_dict().items() if key in names and value}
