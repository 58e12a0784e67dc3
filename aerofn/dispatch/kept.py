"""Requests whose result is kept: those that may be repeated and run once, and those that are answered later.

Exactly once, whatever happens: the result commits in the transaction of the function's effects. A node that dies
before has done nothing, and the next request with the key runs; one that dies after leaves the result.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from aerofn.db.results import Asked, Results, Shown, Taken
from aerofn.dispatch.invoker import Completed
from aerofn.dispatch.requests import HttpRequest, Requests
from aerofn.errors import AeroFnError, InProgress, KeyReused, NotFound
from aerofn.model import Caller, Outcome, Version
from aerofn.tracing import parent_of

_json = msgspec.json.Encoder(order="deterministic")
# They change whenever a token is renewed, and its bearer does not.
_OF_THE_TOKEN = frozenset({"exp", "iat", "nbf", "jti"})


class KeptRequests:
    """Takes requests on.

    Args:
        node: this node's id while its lock is held, else None.
    """

    def __init__(self, requests: Requests, results: Results, node: Callable[[], int | None]) -> None:
        self._requests = requests
        self._results = results
        self._node = node
        self._giving_back: set[asyncio.Task[None]] = set()

    async def once(
        self, key: str, version: Version, caller: Caller, request: HttpRequest, invocation: str
    ) -> Completed | Taken:
        """Run it, or answer with what it came to before: a Taken with its output.

        Raises:
            InProgress: it runs this moment, or waits as an event.
            KeyReused: the key was sent with another request.
            Busy: no room on this node.
        """
        asked = _asked(key, version, caller, request)
        taken = await self._take(asked, version.limits.timeout_ms / 1000)
        if taken.state != "taken":
            return _as_before(taken)
        done = False
        try:
            completed = await self._requests.run(version, caller, request, invocation, taken)
            done = completed.run.outcome is Outcome.SUCCESS
        finally:
            if not done:
                await self._give_back(taken)
        return completed

    async def later(self, key: str | None, version: Version, caller: Caller, request: HttpRequest) -> Taken:
        """Make it an event; once, if it has a key. What it came to, if that is known already, else where it waits.

        Raises:
            InProgress, KeyReused: as for once().
        """
        asked = _asked(key, version, caller, request)
        taken = await self._results.ask(asked, caller, _json.encode(request), parent_of(request.headers))
        return taken if taken.state == "waiting" else _as_before(taken)

    async def show(self, result: str, caller: Caller) -> Shown:
        """What an event came to that this caller asked for.

        Raises:
            NotFound: there is none, it is somebody else's, or its time is over.
        """
        shown = await self._results.show(result, _digest(_identity(caller)))
        if shown is None:
            raise NotFound(
                f"there is no result {result}",
                hint="it is shown to the caller who asked for it, for AEROFN_RESULT_HOURS",
                code="result_not_found",
            )
        return shown

    async def _take(self, asked: Asked, seconds: float) -> Taken:
        """Not to be cut off half way: what was taken for a client that left would be held until its lease ends."""
        task = asyncio.create_task(self._results.take(asked, self._node(), seconds))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._behind(self._undo(task))
            raise

    async def _undo(self, taking: "asyncio.Task[Taken]") -> None:
        with contextlib.suppress(AeroFnError):
            taken = await taking
            if taken.state == "taken":
                await self._results.give_back(taken)

    async def _give_back(self, taken: Taken) -> None:
        """Even when we are being cancelled."""
        await asyncio.shield(self._behind(self._results.give_back(taken)))

    def _behind(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._giving_back.add(task)
        task.add_done_callback(self._giving_back.discard)
        return task


def _as_before(taken: Taken) -> Taken:
    if taken.state == "other":
        raise KeyReused(
            "this Idempotency-Key was sent with another request",
            hint="make a new key for each request; repeat a request as it was, body and all",
        )
    if taken.state != "done":
        raise InProgress(
            "a request with this Idempotency-Key is being run",
            detail=None if taken.event_id is None else f"as event {taken.event_id}",
            hint="repeat it in a moment: it will be answered with the same result",
        )
    return taken


def _asked(key: str | None, version: Version, caller: Caller, request: HttpRequest) -> Asked:
    what = [request.method, request.path, request.query, request.headers.get("content-type"), request.body]
    return Asked(version.function_id, _digest(_identity(caller)), _digest(what), key)


def _identity(caller: Caller) -> Any:
    """Who a caller is, whichever token they show: their subject, or else all that is said of them."""
    if caller.subject is not None:
        return [caller.role, caller.claims.get("iss"), caller.subject]
    return [caller.role, {k: v for k, v in caller.claims.items() if k not in _OF_THE_TOKEN}]


def _digest(value: Any) -> bytes:
    return hashlib.sha256(_json.encode(value)).digest()
