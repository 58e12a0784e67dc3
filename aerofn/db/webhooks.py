"""Webhooks as a node has them: all in memory, so that what is not genuine costs the database nothing."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

import msgspec

from aerofn import sql
from aerofn.db.database import Database
from aerofn.model import Parent
from aerofn.tracing import columns_of

_Q = sql.queries("webhooks")
_FORGOTTEN_AT_ONCE = 10_000


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """How one webhook is verified. `secrets` are names; `header` to `id_from` are for the scheme hmac."""

    id: int
    name: str
    enabled: bool
    scheme: str
    secrets: tuple[str, ...]
    header: str | None
    encoding: str | None
    prefix: str | None
    id_from: str | None
    tolerance_s: int
    max_kb: int


class Received(NamedTuple):
    """The event of a delivery; not `fresh` if it had come before. No event: the webhook is not there any more."""

    event: int | None
    fresh: bool


class Webhooks:
    """The webhooks; every method may also raise DatabaseUnavailable.

    Args:
        revision: the registry's, as this node last saw it: all are read again when it has changed.
    """

    def __init__(self, database: Database, revision: Callable[[], int]) -> None:
        self._database = database
        self._revision = revision
        self._seen = -1
        self._named: dict[str, Webhook] = {}
        self._turn = asyncio.Lock()

    async def named(self, name: str) -> Webhook | None:
        """The webhook of that name, if there is one."""
        if self._seen != self._revision():
            async with self._turn:
                await self._read()
        return self._named.get(name)

    async def receive(
        self, webhook: Webhook, sender_id: str | None, request: str, parent: Parent | None
    ) -> Received:
        """Store a delivery that was verified, unless one with this id is remembered; `request` is JSON."""
        row = await self._database.fetchrow(_Q.receive, webhook.id, sender_id, request, *columns_of(parent))
        return Received(row["event"], row["fresh"])

    async def forget(self, hours: int) -> None:
        """Forget the sender ids that are older."""
        while await self._database.fetchval(_Q.forget, timedelta(hours=hours)) == _FORGOTTEN_AT_ONCE:
            pass

    async def _read(self) -> None:
        revision = self._revision()
        if self._seen != revision:  # else somebody else has, meanwhile
            rows = [dict(row) for row in await self._database.fetch(_Q.all)]
            self._named = {row["name"]: msgspec.convert(row, Webhook) for row in rows}
            self._seen = revision
