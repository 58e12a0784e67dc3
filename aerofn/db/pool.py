"""Connections: the service's own pool, and one pool for each exposed role's login."""

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg

from aerofn import sql
from aerofn.db import logins
from aerofn.db.logins import SERVICE, Login, Logins
from aerofn.db.places import Places
from aerofn.db.role_pool import RolePool
from aerofn.errors import DatabaseUnavailable
from aerofn.settings import Settings

# In the startup packet, so that no ALTER ROLE beats them and RESET ALL comes back to them. They fix how
# PostgreSQL writes values, which is what functions see.
FIXED = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "client_min_messages": "warning",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    # Past the longest time limit of an invocation: only for a host that hangs or is gone.
    "statement_timeout": "960000",
    "idle_in_transaction_session_timeout": "960000",
    "client_connection_check_interval": "2000",
}

_DASHBOARD = {"application_name": "aerofn dashboard", "statement_timeout": "30000"}
_DASHBOARD_CONNECTIONS = 2

# What asyncpg raises on a connection that broke. InternalClientError: PostgreSQL has said that it ends it, but the
# socket is still open.
BROKEN = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)

if TYPE_CHECKING:  # generic in the type stubs only
    Connection = asyncpg.Connection[Any]
    Pool = asyncpg.Pool[Any]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool


async def connect(settings: Settings) -> Connection:
    """One connection as the user of `DATABASE_URL`.

    Raises:
        DatabaseUnavailable: it cannot be reached or refuses.
    """
    try:
        # Behind a pooler, a statement prepared now may not be there for the next transaction.
        return await asyncpg.connect(settings.database_url, timeout=10, statement_cache_size=0)
    except (*BROKEN, TimeoutError, asyncpg.PostgresError, ValueError) as error:
        raise unavailable(error) from error


async def known_logins(settings: Settings) -> Logins:
    """The logins as the database has them now, read again when it refuses one.

    Raises:
        DatabaseUnavailable: it cannot be reached, or AeroFn is not installed in it.
    """

    async def read() -> dict[str, Login]:
        connection = await connect(settings)
        try:
            return await logins.read(connection)
        finally:
            await connection.close(timeout=5)

    return Logins(await read(), read)


async def connect_direct(settings: Settings, known: Logins) -> Connection:
    """A connection past any pooler, as the service's login: for LISTEN and the node's lock."""
    connection = await _connected(settings, known, SERVICE, {"application_name": "aerofn node"})
    try:
        # Not in the startup packet, which poolers refuse: that this is one has a better message (see Listener).
        await connection.execute(sql.queries("events").keepalive)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def connect_otherwise(settings: Settings, known: Logins) -> Connection:
    """A connection by `DATABASE_URL`, as the service's login, to compare with the direct one."""
    return await known.connected(
        SERVICE,
        lambda login: asyncpg.connect(
            settings.database_url,
            user=login.user,
            password=login.password,
            timeout=10,
            statement_cache_size=0,
        ),
    )


async def open_service_pool(settings: Settings, known: Logins) -> Pool:
    """The pool for leasing, settling, the registry and records; past a pooler, for its prepared statements."""
    return await _service_pool(
        settings,
        known,
        (1, settings.service_pool_size),
        {"application_name": "aerofn service"},
        init=_plan_for_large_tables,
    )


async def open_dashboard_pool(settings: Settings, known: Logins) -> Pool:
    """The pool of those who look: small, opened when somebody does, and no statement takes long."""
    return await _service_pool(settings, known, (0, _DASHBOARD_CONNECTIONS), _DASHBOARD)


async def _service_pool(
    settings: Settings,
    known: Logins,
    size: tuple[int, int],
    parameters: dict[str, str],
    init: Any = None,
) -> Pool:
    async def connect(*where: Any, **options: Any) -> Connection:
        return await known.connected(
            SERVICE,
            lambda login: asyncpg.connect(*where, **options, user=login.user, password=login.password),
        )

    try:
        return await asyncpg.create_pool(
            _direct(settings),
            connect=connect,
            min_size=size[0],
            max_size=size[1],
            max_inactive_connection_lifetime=300,
            timeout=10,
            reset=_as_it_is,
            server_settings=parameters,
            init=init,
        )
    except (*BROKEN, TimeoutError, asyncpg.PostgresError) as error:
        raise unavailable(error) from error


def open_role_pools(settings: Settings, known: Logins) -> dict[str, RolePool]:
    """A pool per exposed role; connections are made when first needed.

    Functions' sessions hold state between statements, so they go past a pooler like the listener.
    """
    return {role: _role_pool(settings, known, role) for role in settings.roles}


def _role_pool(settings: Settings, known: Logins, role: str) -> RolePool:
    parameters = {**FIXED, "application_name": f"aerofn as {role}"}

    async def connect() -> Connection:
        return await _connected(settings, known, role, parameters)

    places = Places(settings.pool_size, settings.function_pool_size)
    queries = sql.queries("session")
    return RolePool(connect, places, stop=queries.stop, unlock=queries.unlock)


async def _connected(settings: Settings, known: Logins, role: str, parameters: dict[str, str]) -> Connection:
    return await known.connected(
        role,
        lambda login: asyncpg.connect(
            _direct(settings),
            user=login.user,
            password=login.password,
            timeout=10,
            statement_cache_size=0,
            server_settings=parameters,
        ),
    )


def _direct(settings: Settings) -> str:
    return settings.direct_database_url or settings.database_url


async def close(*pools: Pool | RolePool) -> None:
    """Close pools; connections in use are cut after five seconds."""
    for pool in pools:
        try:
            await asyncio.wait_for(pool.close(), 5)
        except TimeoutError:
            pool.terminate()


def unavailable(error: BaseException) -> DatabaseUnavailable:
    """The error for a database that cannot be reached now."""
    return DatabaseUnavailable(
        "the database cannot be reached",
        detail=str(error) or type(error).__name__,
        hint="check DATABASE_URL and that PostgreSQL accepts connections",
    )


async def _plan_for_large_tables(connection: Connection) -> None:
    # Not in the startup packet, which poolers refuse (see connect_direct).
    await connection.execute(sql.queries("events").planning)


async def _as_it_is(_connection: Connection) -> None:
    """In place of asyncpg's reset: the service's statements leave nothing on a connection."""
