"""The registry of functions as a node sees it: which version runs, and the bytes of its component.

What was looked up is kept until the registry's revision changes, so an invocation asks the database nothing
and a service with thousands of functions starts as quickly as one with none.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import msgspec

from aerofn import sql
from aerofn.db.database import Database
from aerofn.errors import AeroFnError, DeployError, NotFound
from aerofn.model import Limits, Version

T = TypeVar("T")
_Q = sql.queries("functions")
_MOST_UNKNOWN = 10_000


class Compile(NamedTuple):
    """A version this node has taken on to compile."""

    version: int
    digest: bytes


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a version, as `aerofn.register_function()` takes it."""

    name: str
    wasm: bytes
    timeout_ms: int | None = None
    memory_mb: int | None = None
    env: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    roles: tuple[str, ...] | None = None
    run_as: str | None = None
    rate_limit: str | None = None
    activate: bool = True
    max_concurrency: int | None = None


class ListedFunction(msgspec.Struct, frozen=True):
    """A function as the view `aerofn.functions` has it; `status` and `error` are its newest version's."""

    name: str
    status: str
    active_version: int | None
    newest_version: int
    error: str | None
    hint: str | None
    timeout_ms: int | None
    memory_mb: int | None
    roles: list[str] | None
    run_as: str | None
    max_concurrency: int | None
    rate_limit: str | None
    created_at: datetime
    updated_at: datetime


class ListedVersion(msgspec.Struct, frozen=True):
    """A version as the view `aerofn.versions` has it; `size` is its component's, in bytes."""

    function: str
    version: int
    status: str
    active: bool | None
    digest: str
    size: int
    author: str
    created_at: datetime
    timeout_ms: int | None
    memory_mb: int | None
    env: list[str]
    hosts: list[str]
    roles: list[str] | None
    run_as: str | None
    max_concurrency: int | None
    rate_limit: str | None
    error: str | None


class VersionStatus(msgspec.Struct, frozen=True):
    """How far a version is: `compiling`, `ready` or `failed`; `error` is the reason of a failure."""

    name: str
    version: int
    status: str
    active: bool | None
    digest: str
    error: dict[str, Any] | None


class Functions:
    """The registry; every method may also raise DatabaseUnavailable.

    Args:
        defaults: the limits of versions that set none.
        wait_s: longest wait for a function's first version to be compiled.
    """

    def __init__(self, database: Database, defaults: Limits, wait_s: float = 60.0) -> None:
        self._database = database
        self._defaults = defaults
        self._wait_s = wait_s
        self._revision = 0
        self._active: dict[str, Version] = {}
        self._unknown: set[str] = set()
        self._changed = asyncio.Event()

    @property
    def revision(self) -> int:
        """The registry's revision that this node last saw."""
        return self._revision

    async def refresh(self) -> bool:
        """Forget what was looked up if the registry has changed; answers whether it had."""
        revision: int = await self._database.fetchval(_Q.revision)
        if revision == self._revision:
            return False
        self._revision = revision
        self._active.clear()
        self._unknown.clear()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        return True

    async def names(self) -> set[str]:
        """Of all functions there are."""
        return {row["name"] for row in await self._database.fetch(_Q.names)}

    async def active(self, name: str) -> Version:
        """The version that runs now; waits while a function's first one is being compiled.

        Raises:
            NotFound: there is no such function.
            DeployError: it has no version that compiled; says why.
        """
        version = self._active.get(name)
        if version is not None:
            return version
        if name in self._unknown:
            raise _not_found(name)
        return await self._look_up(name)

    async def component(self, digest: bytes) -> bytes:
        """The component's bytes.

        Raises:
            NotFound: the function was dropped meanwhile.
        """
        wasm: bytes | None = await self._database.fetchval(_Q.component, digest)
        if wasm is None:
            raise NotFound("the function was dropped")
        return wasm

    async def lease_compile(self, node: int, seconds: float) -> Compile | None:
        """Take on a version that waits to be compiled, for `seconds` or as long as `node` lives."""
        row = await self._database.fetchrow(_Q.lease_compile, seconds, node)
        return None if row is None else Compile(row["id"], row["digest"])

    async def compiled_elsewhere(self) -> list[Compile]:
        """Versions that other nodes compile now, and that will be active when they have."""
        rows = await self._database.fetch(_Q.compiled_elsewhere)
        return [Compile(row["id"], row["digest"]) for row in rows]

    async def compiled(self, version: int, problem: AeroFnError | None) -> None:
        """Say that a version is ready, or failed with `problem`."""
        body = None if problem is None else msgspec.json.encode(problem.body()).decode()
        await self._database.execute(_Q.compiled, version, body)

    async def register(self, what: Registration, author: str) -> int:
        """Make a version; answers its number.

        Raises:
            InvalidRequest: the name, the options or the bytes cannot be right; says which.
        """
        number: int = await self._database.call(
            _Q.register, what.name, what.wasm, what.timeout_ms, what.memory_mb, what.env, what.hosts, what.roles,
            what.run_as, what.activate, author, what.max_concurrency, what.rate_limit,
        )  # fmt: skip
        self._unknown.discard(what.name)
        return number

    async def status(self, name: str, version: int) -> VersionStatus:
        """How far a version is.

        Raises:
            NotFound: there is no such version.
        """
        row = await self._database.fetchrow(_Q.version_status, name, version)
        if row is None:
            raise NotFound(f"function {name} has no version {version}")
        error = msgspec.json.decode(row["error"]) if row["error"] else None
        return VersionStatus(name, version, row["status"], row["active"], row["digest"], error)

    async def settled(self, name: str, version: int, seconds: float) -> VersionStatus:
        """A version's status once it is no longer `compiling`, or what it is after `seconds`."""
        found: VersionStatus = await self._until(
            lambda: self.status(name, version), lambda s: s.status != "compiling", seconds
        )
        return found

    async def all(self) -> list[ListedFunction]:
        """Every function, by name."""
        return [ListedFunction(**row) for row in await self._database.fetch(_Q.all)]

    async def some(self, after: str, limit: int) -> list[ListedFunction]:
        """Up to `limit` functions by name, those after the name `after`."""
        return [ListedFunction(**row) for row in await self._database.fetch(_Q.some, after, limit)]

    async def one(self, name: str) -> ListedFunction:
        """One function.

        Raises:
            NotFound: there is none of that name.
        """
        row = await self._database.fetchrow(_Q.one, name)
        if row is None:
            raise _not_found(name)
        return ListedFunction(**row)

    async def drop(self, name: str) -> None:
        """Remove a function.

        Raises:
            NotFound, Conflict: there is none, or something still starts it.
        """
        await self._database.call(_Q.drop, name)

    async def activate(self, name: str, version: int) -> None:
        """Make a version the one that runs.

        Raises:
            NotFound, Conflict: there is none, or it is not ready.
        """
        await self._database.call(_Q.activate, name, version)

    async def versions(
        self, name: str, before: int | None = None, limit: int | None = None
    ) -> list[ListedVersion]:
        """A function's versions, newest first; `before`: with a lower number, for the next page.

        Raises:
            NotFound: there is no such function.
        """
        rows = await self._database.fetch(_Q.versions, name, before, limit)
        if not rows and before is None:
            raise _not_found(name)
        return [ListedVersion(**row) for row in rows]

    async def drop_version(self, name: str, version: int) -> None:
        """Remove a version.

        Raises:
            NotFound, Conflict: there is none, or it is the one that runs.
        """
        await self._database.call(_Q.drop_version, name, version)

    async def sweep(self) -> None:
        """Remove the components that have long belonged to no version."""
        await self._database.execute(_Q.sweep)

    async def _look_up(self, name: str) -> Version:
        revision = self._revision
        row = await self._until(
            lambda: self._row(name), lambda r: r["id"] or r["newest_status"] != "compiling", self._wait_s
        )
        if row["id"] is None:
            raise _no_version(name, row)
        version = self._version(name, row)
        if revision == self._revision:  # else it may be out of date already
            self._active[name] = version
        return version

    async def _row(self, name: str) -> Any:
        revision = self._revision
        row = await self._database.fetchrow(_Q.active, name)
        if row is None:
            if revision == self._revision and len(self._unknown) < _MOST_UNKNOWN:
                self._unknown.add(name)  # so that whoever makes names up asks the database for each once
            raise _not_found(name)
        return row

    def _version(self, name: str, row: Any) -> Version:
        return Version(
            id=row["id"],
            function_id=row["function_id"],
            function=name,
            number=row["number"],
            digest=row["digest"],
            limits=Limits(
                row["timeout_ms"] or self._defaults.timeout_ms, row["memory_mb"] or self._defaults.memory_mb
            ),
            env_keys=frozenset(row["env"]),
            hosts=tuple(row["hosts"]),
            roles=None if row["roles"] is None else frozenset(row["roles"]),
            run_as=row["run_as"],
            rate_limit=row["rate_limit"],
        )

    async def _until(
        self, look: Callable[[], Awaitable[Any]], good: Callable[[Any], Any], seconds: float
    ) -> Any:
        """Look, and look again whenever the registry changes, until it is good or the time is up."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            changed = self._changed  # before looking, so that no change is missed
            found = await look()
            if good(found):
                return found
            try:
                async with asyncio.timeout_at(deadline):
                    await changed.wait()
            except TimeoutError:
                return found


def _not_found(name: str) -> NotFound:
    return NotFound(
        f"there is no function {name!r}", hint="aerofn functions lists them", code="function_not_found"
    )


def _no_version(name: str, row: Any) -> DeployError:
    if row["newest_status"] == "failed":
        problem = msgspec.json.decode(row["newest_error"])
        return DeployError(
            f"function {name} has no version that works: {problem['message']}",
            detail=problem.get("detail"),
            hint=problem.get("hint"),
            code=problem.get("code"),
        )
    if row["newest_status"] == "compiling":
        return DeployError(
            f"function {name} is still being compiled", hint="try again in a moment", code="compiling"
        )
    return DeployError(
        f"function {name} has no active version",
        hint="activate one: SELECT aerofn.activate_version(name, version)",
    )
