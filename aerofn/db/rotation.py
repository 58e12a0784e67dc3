"""`aerofn secrets rotate`: a new key pair, wrapped with the first of the operator's keys, for every secret."""

import asyncio
from collections.abc import Sequence

from aerofn import sql
from aerofn.db.pool import Connection
from aerofn.db.sealing import KeyPair, Wrapping, new_private_key
from aerofn.errors import Conflict, SettingsError

_Q = sql.queries("secrets")


async def rotate(connection: Connection, keys: Sequence[str]) -> int:
    """Seal all secrets anew in one transaction; answers how many. Texts sealed before open no longer.

    Args:
        connection: as the user that migrates: nobody else may read and replace the key pair.
        keys: of `AEROFN_SECRET_KEY`, the new one first.

    Raises:
        Conflict: there is no key pair yet.
        SettingsError: none of the keys opens it.
    """
    wrapping = Wrapping(keys)
    private = await asyncio.to_thread(new_private_key)
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(_Q.lock)
        old = await _current(connection, wrapping)
        modulus = private.public_key().public_numbers().n
        number = await connection.fetchval(_Q.add_key_pair, str(modulus), wrapping.wrap(private))
        new = KeyPair(number, private).public
        rows = await connection.fetch(_Q.all_sealed)
        for row in rows:
            sealed = new.seal(row["name"], old.open(row["name"], row["sealed"]))
            await connection.execute(_Q.reseal, row["name"], sealed, number)
        await connection.execute(_Q.drop_key_pairs_before, number)
        await connection.execute(_Q.registry_changed)
    return len(rows)


async def _current(connection: Connection, wrapping: Wrapping) -> KeyPair:
    row = await connection.fetchrow(_Q.key_pair)
    if row is None:
        raise Conflict(
            "there is no key pair to rotate", hint="start a node with AEROFN_SECRET_KEY set: it makes one"
        )
    pair = wrapping.unwrap(row["id"], int(row["modulus"]), row["wrapped"])
    if pair is None:
        raise SettingsError(
            "AEROFN_SECRET_KEY does not open this database's secrets",
            hint="name both keys, the new one first: AEROFN_SECRET_KEY=new,old aerofn secrets rotate",
        )
    return pair
