"""One invocation's database transaction, as its caller, from the first query to commit or rollback.

Three messages in the steady state: BEGIN with the signed claims · the statement in the role's sealed
executor · the deferred constraints, the event's completion, COMMIT and the reset. A connection on which
anything went wrong beyond a guest's SQL error is closed, not given back.
"""

import asyncio
from typing import Any

import asyncpg
import msgspec

from aerofn import sql
from aerofn.bridge import codec
from aerofn.bridge.codec import Parameter
from aerofn.bridge.guard import Guard
from aerofn.bridge.verdict import Verdict
from aerofn.db.events import Lease
from aerofn.db.pool import Pool, unavailable
from aerofn.errors import AeroFnError, DatabaseUnavailable, HostError, LeaseLost, QueryError
from aerofn.model import Caller

_Q = sql.queries("session")
_LEASE_LOST, _NOT_TIDY = "AF001", "AF002"
_types = msgspec.json.Decoder(list[Parameter]).decode
_json = msgspec.json.Encoder()
_REMEMBERED_TYPES = 8192
# A statement that was fine may not be so any more: its tables were changed.
_STALE = ("22", "42")
Reply = tuple[bool, bytes]


class Caps(msgspec.Struct, frozen=True):
    """What one invocation may ask of the database. `wait_s`: for a connection."""

    statements: int = 1000
    rows: int = 100_000
    bytes: int = 16 << 20
    wait_s: float = 5.0


class Statements:
    """What is known of one role's statements: the executor's text and each statement's parameter types."""

    def __init__(self, role: str) -> None:
        self.execute = _Q.execute.format(role=quoted(role))
        self.finish = _Q.finish.format(finish=quoted(f"{role}_finish"))
        self.types: dict[str, list[Parameter]] = {}

    def learn(self, text: str, types: list[Parameter]) -> None:
        """Remember a statement's types; when there are too many texts, begin anew."""
        if len(self.types) >= _REMEMBERED_TYPES:
            self.types.clear()
        self.types[text] = types


class Door:
    """A role's way into the database: its pool, its statements, the guard and the caps."""

    def __init__(self, role: str, pool: Pool, guard: Guard, caps: Caps) -> None:
        self.pool = pool
        self.guard = guard
        self.caps = caps
        self.statements = Statements(role)


class Session:
    """Lazy: there is no connection and no transaction before the first query.

    Args:
        depth: how many functions stand behind this one, for the guard against loops.
    """

    def __init__(self, door: Door, caller: Caller, depth: int = 0) -> None:
        self._door = door
        self._caller = caller
        self._depth = depth
        self._connection: Any = None
        self._turn = asyncio.Lock()
        self._ended = False
        self.queries = 0

    @property
    def open(self) -> bool:
        """Whether a transaction is open."""
        return self._connection is not None

    async def query(self, text: str, params: str) -> Reply:
        """Run one statement of the guest: (True, rows as JSON) or (False, the error as JSON).

        Raises:
            DatabaseUnavailable: the connection broke, or none became free in time.
        """
        async with self._turn:  # a guest may ask for several at once; a connection does one
            self.queries += 1
            try:
                return await self._run(text, params)
            except QueryError as error:
                return False, _json.encode(error.fields)

    async def commit(self, lease: Lease | None = None) -> None:
        """Make the effects last, together with the event's completion if there is a lease.

        Raises:
            QueryError: a deferred constraint refused; nothing was done.
            LeaseLost: the event runs elsewhere now; nothing was done.
            DatabaseUnavailable: the connection broke; whether it was done is the database's to know.
        """
        self._ended = True
        if self._connection is None:
            return
        complete = [_Q.complete.format(event=lease.event, token=lease.token)] if lease else []
        try:
            await self._send("; ".join([self._door.statements.finish, *complete, _Q.commit, _Q.reset]))
        except asyncpg.PostgresError as error:
            self._discard()
            if error.sqlstate != _NOT_TIDY:  # raised after COMMIT: the effects are there
                raise _refused(error) from error
        else:
            await self._give_back()

    async def rollback(self) -> None:
        """Undo the effects. Never raises for a broken connection: PostgreSQL undoes them then."""
        self._ended = True
        if self._connection is None:
            return
        try:
            await self._send(f"{_Q.rollback}; {_Q.reset}")
        except (asyncpg.PostgresError, DatabaseUnavailable):
            self._discard()
        else:
            await self._give_back()

    def abandon(self) -> None:
        """Undo the effects by closing the connection, whatever runs on it; at once."""
        self._ended = True
        self._discard()

    async def _run(self, text: str, params: str) -> Reply:
        verdict = self._door.guard.remembered(text) or await self._door.guard.verdict(text)
        self._check(verdict)
        if self._connection is None:
            await self._begin()
        types = self._door.statements.types.get(text)
        if types is None:
            types = await self._learn(text, verdict)
        ok, doc = await self._execute(
            verdict.kind,
            verdict.with_parameters([kind.expression(n) for n, kind in enumerate(types, 1)]),
            codec.texts(params, types),
        )
        if not ok:
            self._forget_if_stale(text, doc)
        return ok, doc.encode()

    def _check(self, verdict: Verdict) -> None:
        if verdict.refusal is not None:
            raise QueryError({"code": verdict.code, "message": verdict.refusal})
        if self._ended:
            raise QueryError({"code": "25000", "message": "this invocation's transaction has ended"})
        if self.queries > self._door.caps.statements:
            raise QueryError(
                {
                    "code": "54000",
                    "message": f"an invocation may run {self._door.caps.statements} statements",
                    "hint": "Do more in one statement, for example INSERT … SELECT FROM unnest($1::int[]).",
                }
            )

    async def _begin(self) -> None:
        try:
            self._connection = await self._door.pool.acquire(timeout=self._door.caps.wait_s)
        except TimeoutError as error:
            raise DatabaseUnavailable(
                f"no database connection became free within {self._door.caps.wait_s:g} s",
                hint="Raise AEROFN_POOL_SIZE, or make the functions' transactions shorter.",
                code="database_busy",
            ) from error
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise unavailable(error) from error
        document = {"role": self._caller.role, "claims": self._caller.claims, "depth": self._depth}
        try:
            await self._send(_Q.begin.format(doc=literal(_json.encode(document).decode())))
        except asyncpg.PostgresError as error:
            self._discard()
            raise HostError("the invocation's transaction could not begin", detail=str(error)) from error

    async def _learn(self, text: str, verdict: Verdict) -> list[Parameter]:
        """The types of the statement's parameters, asked for once per text and role."""
        types: list[Parameter] = []
        if verdict.numbers:
            ok, doc = await self._execute("types", verdict.text, [])
            if not ok:
                raise QueryError(msgspec.json.decode(doc))
            types = _types(doc)
        self._door.statements.learn(text, types)
        return types

    async def _execute(self, kind: str, statement: str, params: list[str | None]) -> tuple[bool, str]:
        caps = self._door.caps
        try:
            row = await self._connection.fetchrow(
                self._door.statements.execute, kind, statement, params, caps.rows, caps.bytes
            )
        except asyncpg.PostgresError as error:
            # The executor reports a guest's errors as values: this is one that ends the transaction.
            raise QueryError(_fields(error)) from error
        except (OSError, asyncpg.InterfaceError) as error:
            self._discard()
            raise unavailable(error) from error
        return row[0], row[1]

    def _forget_if_stale(self, text: str, doc: str) -> None:
        if msgspec.json.decode(doc).get("code", "").startswith(_STALE):
            self._door.statements.types.pop(text, None)

    async def _send(self, commands: str) -> None:
        try:
            await self._connection.execute(commands)
        except (OSError, asyncpg.InterfaceError) as error:
            self._discard()
            raise unavailable(error) from error
        except asyncio.CancelledError:
            self._discard()
            raise

    async def _give_back(self) -> None:
        connection, self._connection = self._connection, None
        await self._door.pool.release(connection)

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string that reads the same whatever standard_conforming_strings is."""
    return " E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _refused(error: asyncpg.PostgresError) -> AeroFnError:
    if error.sqlstate == _LEASE_LOST:
        return LeaseLost("the event is leased by another node now")
    return QueryError(_fields(error))


def _fields(error: asyncpg.PostgresError) -> dict[str, Any]:
    names = {"sqlstate": "code", "message": "message", "detail": "detail", "hint": "hint", "schema_name": "schema",
             "table_name": "table", "column_name": "column", "constraint_name": "constraint"}  # fmt: skip
    return {names[key]: value for key, value in error.as_dict().items() if key in names and value}
