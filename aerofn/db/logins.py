"""Credentials of AeroFn's own logins: one per exposed role, and one for the service.

Passwords are random and never typed by anyone: the server gets only their SCRAM verifier, the service reads
them from `aerofn_internal.logins`, which its own login and the database's owner can read.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import asyncpg
import msgspec
import structlog

from aerofn import sql
from aerofn.errors import DatabaseUnavailable

SERVICE = "aerofn_service"
_ITERATIONS = 4096
_REFUSED = (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)
T = TypeVar("T")
log = structlog.get_logger(__name__)


class Login(NamedTuple):
    """Who to connect as."""

    user: str
    password: str


class Logins:
    """The logins as a node knows them. One that the server refuses is read anew: a rotation needs no restart.

    Args:
        known: by exposed role, with `aerofn_service` among them.
        read_anew: asks the database for them.
    """

    def __init__(self, known: dict[str, Login], read_anew: Callable[[], Awaitable[dict[str, Login]]]) -> None:
        self._known = known
        self._read_anew = read_anew
        self._reading = asyncio.Lock()

    async def connected(self, role: str, connect: Callable[[Login], Awaitable[T]]) -> T:
        """What `connect` makes with the role's login; tried again with a new password if the known one is refused.

        Raises:
            DatabaseUnavailable: it was refused, and the logins cannot be read.
            OSError, asyncpg.PostgresError: whatever else `connect` raises.
        """
        tried = self._known[role]
        try:
            return await connect(tried)
        except _REFUSED:
            if await self._anew(role, tried) == tried:
                raise
        return await connect(self._known[role])

    async def _anew(self, role: str, tried: Login) -> Login:
        async with self._reading:  # many connections are refused at once: one of them asks
            if self._known[role] == tried:
                self._known = {**self._known, **await self._read_anew()}
                log.info("the logins were read anew", changed=self._known[role] != tried)
        return self._known[role]


def fresh_credentials(roles: tuple[str, ...]) -> str:
    """JSON for `install_roles()`: a new password and its verifier for each role and the service."""
    return msgspec.json.encode([_credential(role) for role in (*roles, SERVICE)]).decode()


async def read(conn: "asyncpg.Connection[Any]") -> dict[str, Login]:
    """The logins by exposed role, with `aerofn_service` among them.

    Raises:
        DatabaseUnavailable: the schema is not installed, or this user may not read it.
    """
    try:
        rows = await conn.fetch(sql.queries("functions").logins)
    except (
        asyncpg.UndefinedTableError,
        asyncpg.InvalidSchemaNameError,
        asyncpg.InsufficientPrivilegeError,
    ) as error:
        raise DatabaseUnavailable(
            "AeroFn is not installed in this database, or this user may not read its logins",
            detail=str(error),
            hint="run `aerofn migrate` as the database's owner or a superuser",
        ) from error
    return {row["role"]: Login(row["login"], row["password"]) for row in rows}


async def rotate_credentials(conn: "asyncpg.Connection[Any]") -> int:
    """Give every login a new password; how many. Connections that are open stay open; nodes fetch what is new."""
    queries = sql.queries("harden")
    roles = [row["role"] for row in await conn.fetch(queries.login_roles)]
    credentials = msgspec.json.encode([_credential(role) for role in roles]).decode()
    return int(await conn.fetchval(queries.rotate, credentials))


def scram_verifier(password: str, salt: bytes) -> str:
    """What PostgreSQL stores for a password (RFC 5803, SCRAM-SHA-256)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(_ITERATIONS, *encoded)


def _credential(role: str) -> dict[str, str]:
    password = secrets.token_urlsafe(32)
    return {"role": role, "password": password, "verifier": scram_verifier(password, secrets.token_bytes(16))}
