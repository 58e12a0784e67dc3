"""What `aerofn secrets` does through the database: a value is sealed here, before PostgreSQL is sent anything."""

import sys

import typer

from aerofn import sql
from aerofn.cli.connection import connected
from aerofn.cli.output import print_rows
from aerofn.cli.where import Http, Where, path
from aerofn.db import rotation
from aerofn.db.pool import Connection
from aerofn.db.sealing import PublicKey, check_value
from aerofn.errors import SettingsError
from aerofn.settings import secret_keys

_Q = sql.queries("secrets")
_SECRETS = {
    "name": "secret", "fingerprint": "fingerprint", "author": "set by", "updated_at": "set",
}  # fmt: skip


def read_value(name: str) -> str:
    """The value, from standard input without its last line end, or asked for at a terminal.

    Raises:
        InvalidRequest: it is too short or too long.
    """
    if sys.stdin.isatty():
        value = str(typer.prompt(f"value of {name}", hide_input=True, confirmation_prompt=True))
    else:
        value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    check_value(value)
    return value


async def seal(database_url: str | None, name: str, value: str) -> str:
    """The sealed text of a value, for this database."""
    async with connected(database_url) as db:
        return (await _public_key(db)).seal(name, value)


async def set_secret(database_url: str | None, name: str, value: str) -> str:
    """Set a secret; its fingerprint."""
    async with connected(database_url) as db:
        sealed = (await _public_key(db)).seal(name, value)
        return str(await db.fetchval(_Q.set_by_me, name, sealed))


async def list_secrets(where: Where, *, as_json: bool) -> None:
    """Names, fingerprints and dates."""
    rows = await where.rows(Http("GET", path("secrets")), _Q.listed)
    print_rows(rows, _SECRETS, as_json=as_json, nothing="there are no secrets yet")


async def remove(where: Where, name: str) -> None:
    """Remove a secret."""
    await where.change(Http("DELETE", path("secrets", name)), _Q.drop, name)


async def rotate(database_url: str | None, keys: str | None) -> int:
    """Seal all anew; how many.

    Raises:
        SettingsError: no key is given, or none that opens them.
    """
    given = secret_keys(keys)
    if not given:
        raise SettingsError(
            "AEROFN_SECRET_KEY is not set",
            hint="name both keys, the new one first: AEROFN_SECRET_KEY=new,old aerofn secrets rotate",
        )
    async with connected(database_url) as db:
        return await rotation.rotate(db, given)


async def _public_key(db: Connection) -> PublicKey:
    pair, modulus = (await db.fetch(_Q.sealing_key))[0]
    return PublicKey(pair, int(modulus))
