"""`aerofn deploy`: a component becomes a version, over HTTP or through the database."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from aerofn import sql
from aerofn.cli.connection import connected
from aerofn.cli.remote import Service
from aerofn.db.pool import Connection
from aerofn.errors import AeroFnError, CompileFailed, SettingsError

_CHANNEL = "aerofn_registry"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """A version's options, as `aerofn.register_function()` takes them."""

    timeout_ms: int | None = None
    memory_mb: int | None = None
    env: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    run_as: str | None = None
    activate: bool = True
    max_concurrency: int | None = None
    rate_limit: str | None = None


def component(file: Path) -> bytes:
    """The bytes of a component's file.

    Raises:
        SettingsError: it cannot be read, or is a source that has to be built first.
    """
    if file.suffix != ".wasm":
        raise SettingsError(
            f"{file} is no component", hint=f"build it first: aerofn build {file}, then deploy the .wasm file"
        )
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}") from None


async def over_http(service: Service, name: str, wasm: bytes, options: Options) -> dict[str, Any]:
    """Deploy by POST; the service compiles it and answers."""
    form = {
        "timeout_ms": options.timeout_ms,
        "memory_mb": options.memory_mb,
        "max_concurrency": options.max_concurrency,
        "rate_limit": options.rate_limit,
        "env": ",".join(options.env),
        "hosts": ",".join(options.hosts),
        "roles": ",".join(options.roles),
        "run_as": options.run_as,
        "activate": "true" if options.activate else "false",
    }
    return await service.deploy(name, wasm, {k: str(v) for k, v in form.items() if v})


async def through_database(
    database_url: str | None, name: str, wasm: bytes, options: Options, seconds: float
) -> dict[str, Any]:
    """Register by SQL and wait until a running node has compiled it.

    Raises:
        AeroFnError: it cannot be registered, does not compile, or nobody compiled it in time.
    """
    async with connected(database_url) as db:
        number = await db.fetchval(
            sql.queries("cli").register, name, wasm, options.timeout_ms, options.memory_mb, options.env,
            options.hosts, options.roles or None, options.run_as, options.activate,
            options.max_concurrency, options.rate_limit,
        )  # fmt: skip
        return await compiled(db, name, number, seconds)


async def compiled(db: Connection, name: str, number: int, seconds: float) -> dict[str, Any]:
    """The version, once a running node has compiled it.

    Raises:
        AeroFnError: it does not compile, or nobody compiled it within `seconds`.
    """
    changed = asyncio.Event()

    def hear(*_: object) -> None:
        changed.set()

    await db.add_listener(_CHANNEL, hear)
    try:
        async with asyncio.timeout(seconds):
            version = await _settled(db, name, number, changed)
    except TimeoutError:
        raise AeroFnError(
            f"version {number} of function {name} is registered, but no node has compiled it"
            f" within {seconds:g} seconds",
            hint="start a node with aerofn serve: it compiles what waits",
        ) from None
    finally:
        await db.remove_listener(_CHANNEL, hear)
    if version["status"] == "failed":
        problem = version["error"] or {}
        raise CompileFailed(
            problem.get("message", f"function {name} does not compile"),
            detail=problem.get("detail"),
            hint=problem.get("hint"),
        )
    return version


async def _settled(db: Connection, name: str, number: int, changed: asyncio.Event) -> dict[str, Any]:
    while True:
        changed.clear()
        version = dict(await db.fetchrow(sql.queries("cli").version, name, number) or {})
        if version["status"] != "compiling":
            return version
        await changed.wait()
