"""Where functions are tested: a database, a runtime, the project's functions, and one transaction a test."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import asyncpg
import msgspec

from aerofn import project, sql
from aerofn.bridge.door import Caps, Door
from aerofn.bridge.guard import Guard
from aerofn.build import build
from aerofn.db.pool import Connection, connect
from aerofn.db.role_pool import RolePool
from aerofn.errors import AeroFnError, NotFound, QueryError
from aerofn.model import Caller, GuestError, Limits, Outcome, Run
from aerofn.runtime import Component, Runtime, RuntimeConfig
from aerofn.settings import Settings
from aerofn.testing.database import database
from aerofn.testing.host import Fetches, TestHost
from aerofn.testing.result import Result
from aerofn.testing.session import OneConnection, TrialSession

_Q = sql.queries("testing")
Isolation = Literal["read_committed", "repeatable_read"]
_COMPILE_S = 600


class Function(msgspec.Struct, frozen=True):
    """A function that is ready to run: what aerofn.toml declares of it, and its compiled component."""

    name: str
    declared: project.Function
    component: Component


class Workbench:
    """Opened with `async with workbench(…)`; its trials may follow each other, not run side by side."""

    def __init__(self, folder: Path, settings: Settings, scratch: Path) -> None:
        self.folder = folder
        self.settings = settings
        self._scratch = scratch
        self._guard = Guard()
        # One's own code on a machine that may be busy: no reason to give up on compiling it.
        self._runtime = Runtime(
            RuntimeConfig(cache_dir=settings.cache_dir, max_instances=4, compile_timeout_s=_COMPILE_S)
        )
        self._functions: dict[str, Function] = {}

    async def open(self) -> None:
        """Start what takes a while, which is not to count as a function's time."""
        await self._guard.verdict("SELECT 1")

    async def close(self) -> None:
        """Stop what runs beside."""
        await self._runtime.close()
        await self._guard.close()

    async def function(self, name: str) -> Function:
        """A function of `aerofn.toml`, or of a source file; built and compiled when first asked for.

        Raises:
            NotFound: no such function is declared, and there is no such file.
            InvalidRequest, InvalidComponent: it does not build.
        """
        if name not in self._functions:
            declared = self._declared(name)
            source = self.folder / declared.source
            if source.suffix != ".wasm":
                source = build(source, self._scratch / f"{len(self._functions)}.wasm").output
            self._functions[name] = await self.compiled(name, declared, source.read_bytes())
        return self._functions[name]

    async def compiled(self, name: str, declared: project.Function, wasm: bytes) -> Function:
        """A function from its component's bytes.

        Raises:
            InvalidComponent, CompileFailed: they are no function.
        """
        digest = await self._runtime.prepare(wasm)
        return Function(name, declared, await self._runtime.load(digest, _nothing_to_fetch))

    def _declared(self, name: str) -> project.Function:
        if (self.folder / project.FILE).is_file():
            known = project.read(self.folder).functions
            if name in known:
                return known[name]
        if (self.folder / name).is_file():
            return project.Function(source=name)
        raise NotFound(
            f"there is no function {name!r} in {self.folder / project.FILE}, and no such file",
            hint="give a name that is declared there, or the path of a source file",
        )

    @contextlib.asynccontextmanager
    async def trial(self, isolation: Isolation = "read_committed") -> AsyncIterator["Trial"]:
        """One test: a transaction that is rolled back."""
        connection = await connect(self.settings)
        transaction = connection.transaction(isolation=isolation)
        await transaction.start()
        try:
            yield Trial(connection, self._guard, self._runtime)
        finally:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await transaction.rollback()
            await connection.close(timeout=5)


class Trial:
    """One test's transaction: what the test sets up and looks at, and the functions it runs."""

    def __init__(self, connection: Connection, guard: Guard, runtime: Runtime) -> None:
        self._connection = connection
        self._guard = guard
        self._runtime = runtime

    async def execute(self, statements: str, *values: Any) -> None:
        """Run SQL as the user of the database, who may do all."""
        with _told():
            await self._connection.execute(statements, *values)

    async def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """The rows of a query, or of a statement with RETURNING, as JSON has them (and functions see them)."""
        with _told():
            text = await self._connection.fetchval(_Q.rows.format(query=query.strip().rstrip(";")), *values)
        rows: list[dict[str, Any]] = msgspec.json.decode(text)
        return rows

    async def run(
        self,
        function: Function,
        event: Mapping[str, Any],
        *,
        caller: Caller,
        env: Mapping[str, str],
        fetches: Fetches,
    ) -> Result:
        """Run a function for `event` as `caller`. What it wrote is there afterwards, unless it failed."""
        pool = cast(RolePool, OneConnection(self._connection))
        session = TrialSession(Door(caller.role, pool, self._guard, Caps()), caller, function.name)
        host = TestHost(session, env, fetches)
        whole = {"attempt": 1, "caller": {"role": caller.role, "sub": caller.subject}, **event}
        declared = function.declared
        limits = Limits(declared.timeout_ms or Limits().timeout_ms, declared.memory_mb or Limits().memory_mb)
        run = await self._runtime.run(function.component, msgspec.json.encode(whole), host, limits)
        run = await _settled(run, session)
        return Result(run=run, log_lines=host.logs, queries=host.queries, fetches=host.fetches)


async def _settled(run: Run, session: TrialSession) -> Run:
    if run.outcome is not Outcome.SUCCESS:
        await session.rollback()
        return run
    try:
        await session.commit()
    except QueryError as error:
        return Run(Outcome.FUNCTION_ERROR, None, GuestError(error.message, "PgError"), run.usage)
    return run


@contextlib.contextmanager
def _told() -> Any:
    """PostgreSQL's error in its own words, with nothing of the driver around it."""
    try:
        yield
    except asyncpg.PostgresError as error:
        fields = error.as_dict()
        raise AeroFnError(
            fields["message"], detail=fields.get("detail"), hint=fields.get("hint"), code=fields["sqlstate"]
        ) from None


async def _nothing_to_fetch() -> bytes:
    raise AssertionError("the component was prepared just now")


@contextlib.asynccontextmanager
async def workbench(folder: Path, url: str | None = None) -> AsyncIterator[Workbench]:
    """A workbench for the project in `folder`, on `url`, `DATABASE_URL`, or an embedded PostgreSQL.

    Raises:
        AeroFnError: there is no database to test on; says why.
    """
    async with database(folder, url) as settings:
        with tempfile.TemporaryDirectory(prefix="aerofn-test-") as scratch:
            bench = Workbench(folder, settings, Path(scratch))
            try:
                await bench.open()
                yield bench
            finally:
                await bench.close()
