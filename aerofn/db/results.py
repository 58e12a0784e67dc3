"""What HTTP requests came to, kept for their senders: taking a request on, keeping its result, reading it later."""

import asyncio
import contextlib
from typing import Any, NamedTuple

import msgspec
import structlog

from aerofn import sql
from aerofn.db.database import Database
from aerofn.db.events import Lease
from aerofn.errors import DatabaseUnavailable
from aerofn.model import Caller, Parent
from aerofn.tracing import columns_of

_Q = sql.queries("results")
_json = msgspec.json.Encoder()
log = structlog.get_logger(__name__)
_SWEEP_S = 60.0
# Beyond a function's own time limit: its commit, and the node's word that it failed.
_LEASE_S = 60.0


class Asked(NamedTuple):
    """Who asks for what: digests of the caller and of the request, and the key that it may be repeated with."""

    function: int
    caller: bytes
    request: bytes
    key: str | None


class Taken(NamedTuple):
    """How a request stands: `taken` by us, `running` elsewhere, `waiting` as an event, `done`, or `other`: the key
    was used for another request. `token` fences a taken one off from whoever takes it over."""

    state: str
    id: str
    token: int
    event_id: int | None
    output: bytes | None
    invocation: str | None


class Kept(NamedTuple):
    """A result that commits with its effects. `result` and `token` are a taken request's; None if an event asked."""

    output: bytes
    invocation: str
    result: str | None = None
    token: int | None = None


class Shown(NamedTuple):
    """What became of an event that HTTP asked for: its output, or its state and last error.

    `state` is None, and `output` too, when the event was removed without having succeeded.
    """

    output: bytes | None
    invocation: str | None
    event_id: int
    state: str | None
    attempt: int | None
    error: dict[str, Any] | None


class Results:
    """The table of results. All methods but `give_back` and `run` raise DatabaseUnavailable.

    Args:
        keep_s: how long a result is kept, from its request on.
    """

    def __init__(self, database: Database, keep_s: float) -> None:
        self._database = database
        self._keep_s = keep_s

    async def take(self, asked: Asked, node: int | None, seconds: float) -> Taken:
        """Take a request on for `node`, for a function that may run for `seconds`, or say how it stands."""
        row = await self._database.fetchrow(
            _Q.take,
            asked.function,
            asked.caller,
            asked.key,
            asked.request,
            node,
            seconds + _LEASE_S,
            self._keep_s,
        )
        return Taken(**row)

    async def ask(self, asked: Asked, caller: Caller, payload: bytes, parent: Parent | None) -> Taken:
        """Make an event of a request, once for each key; `payload` is the request as the function sees it.

        Raises:
            Conflict: a node is too old for such an event.
        """
        row = await self._database.call_row(
            _Q.ask, asked.function, asked.caller, asked.key, asked.request, self._keep_s, caller.role,
            _json.encode(caller.claims).decode(), payload.decode(), *columns_of(parent),
        )  # fmt: skip
        return Taken(**row)

    async def keep(self, lease: Lease | None, kept: Kept) -> None:
        """Keep the result of a function that made no transaction, and end its event if there is one.

        Raises:
            LeaseLost: it was taken over; nothing was done.
        """
        if lease is not None:
            await self._database.call(_Q.keep_event, *lease, kept.output, kept.invocation)
        else:
            await self._database.call(_Q.keep, kept.result, kept.token, kept.output, kept.invocation)

    async def give_back(self, taken: Taken) -> None:
        """Let the next request with this key run. When the database is away, it does so once the lease ends."""
        with contextlib.suppress(DatabaseUnavailable):
            await self._database.execute(_Q.give_back, taken.id, taken.token)

    async def show(self, result: str, caller: bytes) -> Shown | None:
        """What became of an event, for the caller who asked for it and nobody else; None if there is none."""
        row = await self._database.fetchrow(_Q.show, result, caller)
        if row is None:
            return None
        error = msgspec.json.decode(row["error"]) if row["error"] else None
        return Shown(**{**row, "error": error})

    async def run(self) -> None:
        """Forget results whose time is over, until cancelled."""
        while True:
            try:
                await self._database.execute(_Q.expire)
            except DatabaseUnavailable as error:
                log.warning("old results cannot be forgotten", error=error.detail)
            await asyncio.sleep(_SWEEP_S)
