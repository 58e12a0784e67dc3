"""Installs AeroFn's schema in a database and keeps it up to date: `aerofn migrate`, and every start.

Everything a run changes is one transaction, one run at a time for each database. First the missing
migrations, in order; then, when any of them changed, all files of `sql/api` (CREATE OR REPLACE); then the
exposed roles of the settings, with a login and a sealed executor each. What `sql/api` no longer contains, or
what changes its arguments or result, is not dropped by that: a migration drops it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg
import structlog

from aerofn import __version__, sql
from aerofn.db import logins
from aerofn.errors import MigrationError
from aerofn.settings import Settings
from aerofn.sql import Migration

log = structlog.get_logger(__name__)

_LOCKED = (
    "something uses AeroFn's tables, a dump (pg_dump) or a long transaction: run migrate again when it is over; "
    "nothing was changed"
)


class Report(NamedTuple):
    """What a run did. `newer` is why it did nothing: the database was set up by a newer AeroFn.

    `roles_made`: the exposed roles' logins and executors; `hardened`: the steps of hardening that were missing.
    """

    applied: list[str]
    api_refreshed: bool
    roles_made: bool = False
    hardened: int = 0
    newer: str | None = None


class Plan(NamedTuple):
    """What a run would do."""

    missing: list[Migration]
    api: list[tuple[str, str]]
    newer: str | None = None

    @property
    def script(self) -> str:
        """The SQL text, each file under its name."""
        files = [(_file(m), m.text) for m in self.missing] + [
            (f"sql/api/{name}", text) for name, text in self.api
        ]
        return "\n".join(f"-- {name}\n{text.rstrip()}\n" for name, text in files)


async def migrate(conn: "asyncpg.Connection[Any]", settings: Settings) -> Report:
    """Bring the database up to this AeroFn, or leave it as it is when it is newer.

    Raises:
        MigrationError: a statement failed (nothing is changed then), or an applied migration is not the one
            this AeroFn has.
    """
    queries = sql.queries("migrate")
    async with conn.transaction(isolation="read_committed"):
        await conn.execute(queries.begin_migration)
        plan = await _plan(conn)
        if plan.newer is not None:
            log.warning("database is newer than this node; schema left alone", reason=plan.newer)
            return Report([], False, newer=plan.newer)
        for migration in plan.missing:
            await _run(conn, _file(migration), migration.text)
            await conn.execute(
                queries.record_migration, migration.version, migration.name, migration.checksum
            )
        for name, text in plan.api:
            await _run(conn, f"sql/api/{name}", text)
        if plan.api:
            await conn.execute(queries.record_api, _api_checksum(), __version__)
        roles_made = await _install_roles(conn, settings, anew=bool(plan.api))
        hardened = await _harden(conn, settings)
    return Report([f"{m.version:04}_{m.name}" for m in plan.missing], bool(plan.api), roles_made, hardened)


async def dry_run(conn: "asyncpg.Connection[Any]", settings: Settings | None = None) -> str:
    """The SQL text that `migrate` would run, hardening included; empty when there is none. Changes nothing.

    Raises:
        MigrationError: `migrate` would refuse.
    """
    async with conn.transaction(isolation="read_committed", readonly=True):
        plan = await _plan(conn)
        return plan.script + await _hardening(conn, plan, settings)


async def _plan(conn: "asyncpg.Connection[Any]") -> Plan:
    queries = sql.queries("migrate")
    known, api = sql.migrations(), sql.api()
    if not await conn.fetchval(queries.is_installed):
        return Plan(known, api)
    applied = {row["version"]: row for row in await conn.fetch(queries.applied)}
    installed = await conn.fetchrow(queries.installed_api)
    newer = _newer(applied, known, installed["aerofn_version"] if installed else None)
    if newer is not None:
        return Plan([], [], newer)
    for migration in known:
        _check_unchanged(migration, applied.get(migration.version))
    missing = [m for m in known if m.version not in applied]
    stale = missing or installed is None or installed["checksum"] != _api_checksum()
    return Plan(missing, api if stale else [])


async def _install_roles(conn: "asyncpg.Connection[Any]", settings: Settings, *, anew: bool) -> bool:
    queries, roles = sql.queries("migrate"), list(settings.roles)
    if not anew and await conn.fetchval(queries.roles_installed, roles, settings.anon_role):
        return False
    arguments = (roles, settings.anon_role, logins.fresh_credentials(settings.roles))
    await _run(conn, "sql/queries/migrate.sql: install_roles", queries.install_roles, arguments)
    return True


async def _harden(conn: "asyncpg.Connection[Any]", settings: Settings) -> int:
    queries = sql.queries("harden")
    if not settings.harden or not await conn.fetchval(queries.as_superuser):
        return 0
    try:
        return int(await conn.fetchval(queries.harden))
    except asyncpg.PostgresError as error:
        raise _explained("sql/queries/harden.sql: harden", queries.harden, error) from error


async def _hardening(conn: "asyncpg.Connection[Any]", plan: Plan, settings: Settings | None) -> str:
    queries = sql.queries("harden")
    if settings is None or not settings.harden or plan.newer or not await conn.fetchval(queries.as_superuser):
        return ""
    if plan.api:  # its functions are not there yet: they say what will be done
        return f"-- hardening, once the files above are in place\n{queries.harden};\n"
    steps = [row["step"] for row in await conn.fetch(queries.plan)]
    return "".join(["-- hardening\n", *(f"{step};\n" for step in steps)]) if steps else ""


def _newer(applied: dict[int, Any], known: list[Migration], api_version: str | None) -> str | None:
    unknown = applied.keys() - {m.version for m in known}
    if unknown:
        return (
            f"migration {max(unknown):04}_{applied[max(unknown)]['name']} is unknown to AeroFn {__version__}"
        )
    # The API may change without a migration: an older node that restarts must not put the old one back.
    if api_version is not None and _ordinal(api_version) > _ordinal(__version__):
        return f"its functions were installed by AeroFn {api_version}; this is {__version__}"
    return None


def _check_unchanged(migration: Migration, applied: Any) -> None:
    if applied is not None and applied["checksum"] != migration.checksum:
        raise MigrationError(
            f"{_file(migration)} was changed after it had been applied to this database",
            detail=f"applied {applied['checksum'][:12]}, now {migration.checksum[:12]}",
            hint="an applied migration is never edited: restore the file and put the change into a new one",
        )


async def _run(conn: "asyncpg.Connection[Any]", file: str, text: str, arguments: Sequence[Any] = ()) -> None:
    try:
        await conn.execute(text, *arguments)
    except asyncpg.PostgresError as error:
        raise _explained(file, text, error) from error


def _explained(file: str, text: str, error: asyncpg.PostgresError) -> MigrationError:
    fields = error.as_dict()
    where = f"SQLSTATE {fields.get('sqlstate')}"
    if position := fields.get("position"):
        where += f", line {text.count(chr(10), 0, int(position)) + 1}"
    more = [part for part in (fields.get("detail"), fields.get("context")) if part]
    hint = _LOCKED if isinstance(error, asyncpg.LockNotAvailableError) else fields.get("hint")
    return MigrationError(
        f"{file}: {fields.get('message')}",
        detail="; ".join([where, *more]),
        hint=hint or "nothing was changed: the whole run is one transaction",
    )


def _file(migration: Migration) -> str:
    return f"sql/migrations/{migration.version:04}_{migration.name}.sql"


def _api_checksum() -> str:
    return sql.checksum("".join(f"{name}\n{text}" for name, text in sql.api()))


def _ordinal(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3])
