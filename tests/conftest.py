"""Databases for tests: one PostgreSQL a session, one migrated template, a fresh copy for each test.

The server is, in this order: `AEROFN_TEST_DATABASE_URL`, a container where a Docker engine answers, the
embedded one. `PG=15` asks for that version: of the image, or else Debian's in /usr/lib/postgresql/15.
"""

import contextlib
import fcntl
import itertools
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import hypothesis
import pytest
import pytest_asyncio

from aerofn.db.embedded import EmbeddedPostgres
from aerofn.db.embedded_files import binaries_of_wheel
from aerofn.db.migrate import migrate
from aerofn.settings import Settings, from_env

ROOT = Path(__file__).resolve().parents[1]
_COMPILED = "COMPILED_FOR_TESTS"
PREFIX = "aerofn_test_"
# The data of a test are not worth waiting for the disk.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
# Statements that give the rights on database $1 on $2 too: CREATE DATABASE … TEMPLATE does not copy those.
_RIGHTS = """
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC; ', $2::text) || string_agg(
  format('GRANT %s ON DATABASE %I TO %s', a.privilege_type, $2::text, coalesce(quote_ident(r.rolname), 'PUBLIC')), '; ')
FROM pg_database d CROSS JOIN aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE d.datname = $1"""


# A machine that is busy with something else for a moment is no finding.
hypothesis.settings.register_profile(
    "aerofn", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("aerofn")


def pytest_configure(config: pytest.Config) -> None:
    """One cache of compiled components for all tests and all of xdist's workers: compiling is tested elsewhere."""
    if not hasattr(config, "workerinput"):
        os.environ[_COMPILED] = tempfile.mkdtemp(prefix="aerofn-compiled-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(_COMPILED), ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long and has a shorter test beside it runs before a soak, not every time."""
    if "LONG" not in os.environ:
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="long: LONG=1, or make soak"))


def compiled() -> Path:
    """The directory that nodes of tests may share for compiled components."""
    return Path(os.environ[_COMPILED])


@dataclass
class Database:
    """A database of one test's own; `url` is a superuser's."""

    url: str
    _opened: list[asyncpg.Connection] = field(default_factory=list)

    async def connect(self, **options: Any) -> asyncpg.Connection:
        """A connection that the fixture closes; `user` and `password` make it somebody else's."""
        connection = await asyncpg.connect(self.url, **options)
        self._opened.append(connection)
        return connection

    def settings(self, **overrides: Any) -> Settings:
        """Settings of a service on this database, the environment left out."""
        return from_env({}, **{"database_url": self.url, **overrides})

    async def close(self) -> None:
        for connection in self._opened:
            if not connection.is_closed():
                await connection.close(timeout=5)


class Server:
    """The PostgreSQL of the session; its databases carry the session's name, so nobody drops another's."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = f"{PREFIX}{secrets.token_hex(4)}"
        self._numbers = itertools.count()
        self._admin: asyncpg.Connection | None = None

    async def open(self) -> None:
        # While this connection is open, its application_name says that the session is alive.
        self._admin = await asyncpg.connect(self.url, server_settings={"application_name": self.session})
        await self._drop_left_over()

    async def close(self) -> None:
        await self.admin.close()

    @property
    def admin(self) -> asyncpg.Connection:
        assert self._admin is not None
        return self._admin

    async def create(self, template: str | None = None) -> str:
        """A database with nothing in it, or another like `template`, with the rights on the database itself."""
        name = f"{self.session}_{next(self._numbers)}"
        await self.admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template or "template0"}"')
        if template is not None:
            await self.admin.execute(await self.admin.fetchval(_RIGHTS, template, name))
        return name

    async def drop(self, name: str) -> None:
        await self.admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def database(self, name: str) -> Database:
        return Database(urlunsplit(urlsplit(self.url)._replace(path=f"/{name}")))

    async def _drop_left_over(self) -> None:
        names = await self.admin.fetch(
            "SELECT datname FROM pg_database WHERE starts_with(datname, $1)", PREFIX
        )
        activity = await self.admin.fetch("SELECT application_name FROM pg_stat_activity")
        alive = {row["application_name"] for row in activity}
        for row in names:
            if row["datname"].rpartition("_")[0] not in alive:
                await self.drop(row["datname"])


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """URL of a PostgreSQL server, as superuser."""
    if given := os.environ.get("AEROFN_TEST_DATABASE_URL"):
        yield given
        return
    with contextlib.ExitStack() as stack:
        yield _container(stack) or _embedded(stack)


@pytest.fixture(scope="session")
def second_server_url() -> Iterator[str]:
    """URL of another server, for tests whose roles and passwords would be in the others' way."""
    with contextlib.ExitStack() as stack:
        yield _embedded(stack)


@pytest_asyncio.fixture(scope="session")
async def server(server_url: str) -> AsyncIterator[Server]:
    server = Server(server_url)
    await server.open()
    yield server
    await server.close()


@pytest_asyncio.fixture(scope="session")
async def template(server: Server) -> AsyncIterator[str]:
    """Name of the database with the schema that every test's own is a copy of."""
    name = await server.create()
    database = server.database(name)
    await migrate(await database.connect(), database.settings())
    await database.close()
    yield name
    await server.drop(name)


@pytest_asyncio.fixture
async def database(server: Server, template: str) -> AsyncIterator[Database]:
    """A database with AeroFn's schema."""
    async with _lent(server, await server.create(template)) as database:
        yield database


@pytest_asyncio.fixture(scope="module")
async def module_database(server: Server, template: str) -> AsyncIterator[Database]:
    """A database with AeroFn's schema for tests that leave nothing in it."""
    async with _lent(server, await server.create(template)) as database:
        yield database


@pytest_asyncio.fixture
async def empty_database(server: Server) -> AsyncIterator[Database]:
    """A database with nothing in it."""
    async with _lent(server, await server.create()) as database:
        yield database


@contextlib.asynccontextmanager
async def _lent(server: Server, name: str) -> AsyncIterator[Database]:
    database = server.database(name)
    try:
        yield database
    finally:
        await database.close()
        await server.drop(name)


def _container(stack: contextlib.ExitStack) -> str | None:
    if not _docker_answers():
        return None
    from testcontainers.community.postgres import PostgresContainer

    options = " ".join(f"-c {name}={value}" for name, value in {"max_connections": "200", **FAST}.items())
    container = PostgresContainer(f"postgres:{os.environ.get('PG') or '18'}", driver=None).with_command(
        options
    )
    try:
        return stack.enter_context(container).get_connection_url()
    except Exception as error:
        warnings.warn(f"Docker answers, but its PostgreSQL did not start: {error}", stacklevel=2)
        return None


def _docker_answers() -> bool:
    import docker

    try:
        with contextlib.closing(docker.from_env(timeout=3)) as client:
            return client.ping()
    except docker.errors.DockerException:
        return False


def binaries() -> Path:
    """The directory of `postgres`, `pg_dump` and `psql`, of the version that is asked for."""
    version = os.environ.get("PG")  # empty, where make was told none
    debian = Path(f"/usr/lib/postgresql/{version}/bin")
    if version and debian.is_dir():
        return debian
    if version not in (None, "", "18"):
        pytest.exit(f"PG={version}: there is no {debian}; apt-get install postgresql-{version}", returncode=4)
    return binaries_of_wheel()


def _embedded(stack: contextlib.ExitStack) -> str:
    server = EmbeddedPostgres(_slot(stack), bin_dir=binaries(), settings=FAST)
    server.erase()  # what a killed session left, perhaps with its server
    stack.callback(server.erase)
    server.start()
    return server.url


def _slot(stack: contextlib.ExitStack) -> Path:
    """A directory that no other running session uses, and a later one finds again."""
    (ROOT / ".aerofn").mkdir(exist_ok=True)
    for number in itertools.count():
        lock = stack.enter_context((ROOT / ".aerofn" / f"test-{number}.lock").open("ab"))
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return ROOT / ".aerofn" / f"test-{number}"
    raise AssertionError("unreachable")
