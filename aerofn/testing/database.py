"""The database that tests run on: `DATABASE_URL`'s as it is, or one in an embedded PostgreSQL, made for the project.

The embedded one is made anew when AeroFn's schema or the project's own `db/*.sql` changes, and kept otherwise: tests
leave nothing in it.
"""

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from aerofn import sql
from aerofn.bridge.quoting import quoted
from aerofn.db.embedded import EmbeddedPostgres
from aerofn.db.migrate import dry_run, migrate
from aerofn.db.pool import Connection, connect
from aerofn.errors import AeroFnError, MigrationError
from aerofn.settings import Settings, from_env

_Q = sql.queries("testing")
_PREFIX = "aerofn_project_"
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@contextlib.asynccontextmanager
async def database(project: Path, url: str | None) -> AsyncIterator[Settings]:
    """Settings of the database to test on; `url` or else `DATABASE_URL`, else an embedded one below `.aerofn`.

    Raises:
        AeroFnError: it cannot be reached or made; a file of `db/` fails; AeroFn is not installed in yours.
    """
    url = url or os.environ.get("DATABASE_URL")
    if url:
        settings = from_env(database_url=url)
        await _demand_schema(settings)
        yield settings
        return
    server = EmbeddedPostgres(project / ".aerofn" / "test", settings=_FAST)
    server.start()
    try:
        yield await _prepared(server.url, project)
    finally:
        server.stop()


async def _demand_schema(settings: Settings) -> None:
    connection = await connect(settings)
    try:
        if await dry_run(connection):
            raise MigrationError(
                "AeroFn is not installed in this database, or not this version of it",
                hint="aerofn migrate; or unset DATABASE_URL: then the tests have a PostgreSQL of their own",
            )
    finally:
        await connection.close(timeout=5)


async def _prepared(url: str, project: Path) -> Settings:
    files = sorted((project / "db").glob("*.sql"))
    settings = from_env(database_url=url)
    admin = await connect(settings)
    try:
        name = _PREFIX + await _digest(admin, files)
        known = {row["datname"] for row in await admin.fetch(_Q.database_names, _PREFIX)}
        settings = from_env(database_url=urlunsplit(urlsplit(url)._replace(path=f"/{name}")))
        if name not in known:
            for old in known:
                await admin.execute(_Q.drop_database.format(name=quoted(old)))
            await _make(admin, name, settings, files)
    finally:
        await admin.close(timeout=5)
    return settings


async def _digest(admin: Connection, files: list[Path]) -> str:
    seen = hashlib.sha256((await dry_run(admin)).encode())
    for file in files:
        seen.update(file.read_bytes())
    return seen.hexdigest()[:16]


async def _make(admin: Connection, name: str, settings: Settings, files: list[Path]) -> None:
    await admin.execute(_Q.create_database.format(name=quoted(name)))
    try:
        await _fill(settings, files)
    except BaseException:  # half a database must not pass for a whole one
        await admin.execute(_Q.drop_database.format(name=quoted(name)))
        raise


async def _fill(settings: Settings, files: list[Path]) -> None:
    connection = await connect(settings)
    try:
        await migrate(connection, settings)
        for file in files:
            try:
                await connection.execute(file.read_text(encoding="utf-8"))
            except asyncpg.PostgresError as error:
                raise AeroFnError(f"{file} fails: {error}", detail=error.as_dict().get("detail")) from error
    finally:
        await connection.close(timeout=5)
