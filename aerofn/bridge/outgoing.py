"""One invocation's HTTP requests: those sent while it runs, and those kept until its effects commit."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from aerofn.bridge.deliveries import Delivery
from aerofn.bridge.egress.body import Budget
from aerofn.bridge.egress.egress import Egress
from aerofn.bridge.egress.grants import Grants
from aerofn.bridge.egress.request import Sent
from aerofn.bridge.session import Deferred, Reply
from aerofn.errors import FetchError
from aerofn.tracing import Trace

_MOST_AT_ONCE = 32
_TOGETHER = 4  # times the most of one body
_MARGIN = 1 << 20
_KEY_HEADER = "idempotency-key"
_json = msgspec.json.Encoder()
_sent = msgspec.json.Decoder(Sent | list[Sent])


def longest(most_bytes: int) -> int:
    """How long the text of requests made together may be, if each may have a body of so many bytes."""
    return _TOGETHER * most_bytes + _MARGIN


class Outgoing:
    """The requests of one invocation.

    Args:
        function: the id of its function: its connections are its own.
        most: requests it may make in all.
        count: told of each request's end: `answered`, `kept`, or the error's code.
        seal: encrypts what is stored, if the function was granted secrets.
        trace: the invocation's, if it is traced.
    """

    def __init__(
        self,
        egress: Egress,
        function: int,
        grants: Grants,
        most: int,
        *,
        count: Callable[[str], None],
        seal: Callable[[bytes, str], str] | None = None,
        trace: Trace | None = None,
    ) -> None:
        self._egress = egress
        self._function = function
        self._grants = grants
        self._most = most
        self._count = count
        self._seal = seal
        self._trace = trace
        self._made = 0
        self._kept_bytes = 0
        self.kept: list[Delivery] = []

    def deferred(self) -> Deferred | None:
        """What is to be stored with the effects, if anything."""
        return Deferred(self._function, _json.encode(self.kept)) if self.kept else None

    async def ask(self, text: str) -> Reply:
        """What `http-fetch` answers: one request's answer or error, or a list of them for a list."""
        try:
            sent = self._decoded(text)
            made = await (self._one(sent) if isinstance(sent, Sent) else self._all(sent))
            return True, _json.encode(made)
        except FetchError as error:
            return False, _json.encode(_report(error))

    def _decoded(self, text: str) -> Sent | list[Sent]:
        if len(text) > longest(self._egress.most_bytes):
            raise FetchError("the requests are too large together", code="request_too_large")
        try:
            sent: Sent | list[Sent] = _sent.decode(text)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise FetchError(
                "the request is not as the host expects it", detail=str(error), code="invalid_request"
            ) from None
        if isinstance(sent, list) and len(sent) > _MOST_AT_ONCE:
            raise FetchError(f"more than {_MOST_AT_ONCE} requests at once", code="too_many_fetches")
        return sent

    async def _all(self, sent: list[Sent]) -> list[dict[str, Any]]:
        together = Budget(_TOGETHER * self._egress.most_bytes)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._settled(one, together)) for one in sent]
        return [task.result() for task in asked]

    async def _settled(self, sent: Sent, together: Budget) -> dict[str, Any]:
        try:
            return {"ok": await self._one(sent, together)}
        except FetchError as error:
            return {"err": _report(error)}

    async def _one(self, sent: Sent, together: Budget | None = None) -> Any:
        try:
            made = await self._make(sent, together)
        except FetchError as error:
            self._count(error.code)
            raise
        self._count("kept" if sent.after_commit else "answered")
        return made

    async def _make(self, sent: Sent, together: Budget | None) -> Any:
        self._made += 1
        if self._made > self._most:
            raise FetchError(f"an invocation may make {self._most} requests", code="too_many_fetches")
        if sent.after_commit:
            return {"idempotencyKey": self._keep(sent)}
        return await self._egress.fetch(self._function, self._grants, sent, together, self._trace)

    def _keep(self, sent: Sent) -> str:
        """Keep a request that could be sent now; it will be judged again when it is sent."""
        request = self._egress.checked(self._grants, sent)
        key = request.headers.get(_KEY_HEADER, "")
        if not key:
            key = str(uuid.uuid4())
            sent = msgspec.structs.replace(sent, headers={**sent.headers, _KEY_HEADER: key})
        sent = msgspec.structs.replace(sent, after_commit=False, timeout_ms=None)
        text = _json.encode(sent)
        self._kept_bytes += len(text)
        if self._kept_bytes > self._egress.most_bytes:
            raise FetchError(
                f"the requests to be sent after the commit are more than {self._egress.most_bytes} bytes",
                code="request_too_large",
            )
        delivery = Delivery(key, request.method, request.url.raw_host or "")
        if self._seal is None:
            self.kept.append(msgspec.structs.replace(delivery, request=sent))
        else:
            self.kept.append(msgspec.structs.replace(delivery, sealed=self._seal(text, key)))
        return key


def _report(error: FetchError) -> dict[str, Any]:
    return {name: value for name, value in error.body().items() if value is not None}
