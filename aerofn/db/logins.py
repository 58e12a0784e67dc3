"""Credentials of AeroFn's own logins: one per exposed role, and one for the service.

Passwords are random and never typed by anyone: the server gets only their SCRAM verifier, the service reads
them from `aerofn_internal.logins`, which its own login and the database's owner can read.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Any, NamedTuple

import asyncpg
import msgspec

from aerofn import sql
from aerofn.errors import DatabaseUnavailable

SERVICE = "aerofn_service"
_ITERATIONS = 4096


class Login(NamedTuple):
    """Who to connect as."""

    user: str
    password: str


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
    """Give every login a new password; how many. Nodes read them at start: restart them one by one after it.

    Connections that are open stay open; what a node opens with an old password is refused until it restarts.
    """
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
