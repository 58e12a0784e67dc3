"""Connections: the service's own pool, and one pool for each exposed role's login."""

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg

from aerofn import sql
from aerofn.db.logins import Login
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
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise unavailable(error) from error


async def connect_direct(settings: Settings, login: Login) -> Connection:
    """A connection past any pooler, as the service's login: for LISTEN and the node's lock."""
    connection = await asyncpg.connect(
        _direct(settings),
        user=login.user,
        password=login.password,
        timeout=10,
        statement_cache_size=0,
        server_settings={"application_name": "aerofn node"},
    )
    # Not in the startup packet, which poolers refuse: that this is one has a better message (see Listener).
    await connection.execute(sql.queries("events").keepalive)
    return connection


async def connect_otherwise(settings: Settings, login: Login) -> Connection:
    """A connection by `DATABASE_URL`, as the service's login, to compare with the direct one."""
    return await asyncpg.connect(
        settings.database_url, user=login.user, password=login.password, timeout=10, statement_cache_size=0
    )


async def open_service_pool(settings: Settings, login: Login) -> Pool:
    """The pool for leasing, settling, the registry and records; past a pooler, for its prepared statements."""
    return await _open(
        _direct(settings), login, settings.service_pool_size, {"application_name": "aerofn service"}
    )


async def open_role_pools(settings: Settings, logins: dict[str, Login]) -> dict[str, RolePool]:
    """A pool per exposed role; connections are made when first needed.

    Functions' sessions hold state between statements, so they go past a pooler like the listener.
    """
    url = _direct(settings)
    return {role: _role_pool(url, role, logins[role], settings) for role in settings.roles}


def _direct(settings: Settings) -> str:
    return settings.direct_database_url or settings.database_url


def _role_pool(url: str, role: str, login: Login, settings: Settings) -> RolePool:
    parameters = {**FIXED, "application_name": f"aerofn as {role}"}

    async def connect() -> Connection:
        return await asyncpg.connect(
            url,
            user=login.user,
            password=login.password,
            timeout=10,
            statement_cache_size=0,
            server_settings=parameters,
        )

    places = Places(settings.pool_size, settings.function_pool_size)
    return RolePool(connect, places, sql.queries("session").stop)


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


async def _as_it_is(_connection: Connection) -> None:
    """In place of asyncpg's reset: the bridge resets a session in the message that commits it."""


async def _open(url: str, login: Login, size: int, parameters: dict[str, str], least: int = 1) -> Pool:
    try:
        return await asyncpg.create_pool(
            url,
            user=login.user,
            password=login.password,
            min_size=least,
            max_size=size,
            max_inactive_connection_lifetime=300,
            timeout=10,
            reset=_as_it_is,
            server_settings=parameters,
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise unavailable(error) from error
