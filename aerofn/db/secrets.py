"""Secrets as a node has them: sealed in the database, opened when a function that was granted them first runs."""

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from aerofn import sql
from aerofn.db.database import Database
from aerofn.db.sealing import KeyPair, Wrapping, check_value, new_private_key, pair_of
from aerofn.errors import Conflict, HostError, SettingsError

_Q = sql.queries("secrets")
_NO_KEY = "set AEROFN_SECRET_KEY on every node (make one with: openssl rand -hex 32) and restart"


class ListedSecret(msgspec.Struct, frozen=True):
    """What can be seen of a secret. Its fingerprint changes whenever it is set, and says nothing of the value."""

    name: str
    fingerprint: str
    author: str
    created_at: datetime
    updated_at: datetime


class Secrets:
    """The secrets of the database; every method may also raise DatabaseUnavailable.

    Values that were opened are kept in memory until the registry changes, of which every secret's change is one.

    Args:
        keys: of `AEROFN_SECRET_KEY`; without any, secrets can be listed and dropped, not set or read.
        revision: the registry's, as this node last saw it.
    """

    def __init__(self, database: Database, keys: Sequence[str], revision: Callable[[], int]) -> None:
        self._database = database
        self._wrapping = Wrapping(keys) if keys else None
        self._revision = revision
        self._pair: KeyPair | None = None
        self._seen = -1
        self._granted: dict[frozenset[str], dict[str, str]] = {}
        # By name and sealed text. Those of the revision before are carried over when they are asked for again.
        self._opened: dict[tuple[str, str], str] = {}
        self._opened_before: dict[tuple[str, str], str] = {}
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Make the database's key pair if there is none, and see that this node can use it.

        Raises:
            SettingsError: the keys are not those that wrapped it.
        """
        if self._wrapping is None:
            return
        if await self._database.fetchrow(_Q.key_pair) is None:
            private = await asyncio.to_thread(new_private_key)
            modulus = private.public_key().public_numbers().n
            await self._database.execute(_Q.offer_key_pair, str(modulus), self._wrapping.wrap(private))
        if await self._load_pair() is None:
            raise SettingsError(
                "AEROFN_SECRET_KEY does not open this database's secrets",
                hint="use the key they were made with; for a new one, put it in front: AEROFN_SECRET_KEY=new,old"
                " and run aerofn secrets rotate",
            )

    async def values(self, names: frozenset[str]) -> Mapping[str, str]:
        """The values of those of `names` that are secrets; the same mapping until something changes.

        Raises:
            HostError: there is one that this node cannot open.
        """
        kept = self._granted.get(names)
        if kept is not None and self._seen == self._revision():
            return kept
        async with self._turn:
            self._forget_if_changed()
            if names not in self._granted:
                seen, values = self._seen, await self._open_all(names)
                if seen != self._revision():
                    return values  # may be out of date already: not kept
                self._granted[names] = values
            return self._granted[names]

    async def all(self) -> list[ListedSecret]:
        """Every secret, by name."""
        return [ListedSecret(**row) for row in await self._database.fetch(_Q.listed)]

    async def set(self, name: str, value: str, author: str) -> str:
        """Set a secret; answers its fingerprint. The database is only given it sealed.

        Raises:
            InvalidRequest: the name or the value cannot be right.
            Conflict: this node has no key.
        """
        check_value(value)
        pair = await self._load_pair()
        if pair is None:
            raise Conflict("this node cannot seal secrets", hint=_NO_KEY, code="no_secret_key")
        sealed = await asyncio.to_thread(pair.public.seal, name, value)
        return str(await self._database.call(_Q.set_sealed, name, sealed, author))

    async def drop(self, name: str) -> None:
        """Remove a secret.

        Raises:
            NotFound: there is none of that name.
        """
        await self._database.call(_Q.drop, name)

    def encrypted(self, data: bytes, bound_to: str) -> str:
        """Encrypt what may have secrets in it; only for functions that have some, so there is a key."""
        assert self._wrapping is not None
        return base64.b64encode(self._wrapping.encrypt(data, bound_to.encode())).decode()

    def decrypted(self, text: str, bound_to: str) -> bytes:
        """What `encrypted` was given.

        Raises:
            HostError: this node has no key that opens it.
        """
        data = None
        if self._wrapping is not None:
            data = self._wrapping.decrypt(base64.b64decode(text), bound_to.encode())
        if data is None:
            raise HostError("this node has no key to open what was stored encrypted", hint=_NO_KEY)
        return data

    def _forget_if_changed(self) -> None:
        if self._seen != self._revision():
            self._seen = self._revision()
            self._granted = {}
            self._opened_before, self._opened = self._opened, {}

    async def _open_all(self, names: frozenset[str]) -> dict[str, str]:
        rows = await self._database.fetch(_Q.sealed, list(names))
        return {row["name"]: await self._open(row["name"], row["sealed"]) for row in rows}

    async def _open(self, name: str, sealed: str) -> str:
        value = self._opened.get((name, sealed)) or self._opened_before.get((name, sealed))
        if value is None:
            pair = await self._pair_for(sealed)
            if pair is None:
                raise HostError(f"this node has no key to open secret {name}", hint=_NO_KEY)
            value = await asyncio.to_thread(pair.open, name, sealed)
        self._opened[name, sealed] = value
        return value

    async def _pair_for(self, sealed: str) -> KeyPair | None:
        if self._pair is not None and self._pair.public.pair == pair_of(sealed):
            return self._pair
        return await self._load_pair()

    async def _load_pair(self) -> KeyPair | None:
        """The newest key pair: another node, or `aerofn secrets rotate`, may have made it meanwhile."""
        if self._wrapping is None:
            return None
        row = await self._database.fetchrow(_Q.key_pair)
        if row is None:
            return None
        if self._pair is None or self._pair.public.pair != row["id"]:
            self._pair = self._wrapping.unwrap(row["id"], int(row["modulus"]), row["wrapped"])
        return self._pair
