"""The client's end of a request: its headers, its body within a limit, and whether it is still there."""

import asyncio
from types import TracebackType
from typing import Any

from starlette.types import Receive, Scope

from aerofn.errors import PayloadTooLarge

# Most invocations end sooner, on a busy node too: they never pay for a task that watches their client.
_WATCH_AFTER_S = 0.05


class ClientGone(Exception):
    """The client closed the connection before it had its answer."""


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers, names in lower case, repeated ones joined as RFC 9110 says."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in headers:
            value = headers[name] + ("; " if name == "cookie" else ", ") + value
        headers[name] = value
    return headers


def address_of(scope: Scope) -> str:
    """The client's address; behind a proxy that is trusted, the one that the proxy says."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def check_declared_length(headers: dict[str, str], most: int) -> None:
    """Refuse a body by its declared length, before any of it is read.

    Raises:
        PayloadTooLarge: `content-length` is more than `most` bytes.
    """
    try:
        declared = int(headers.get("content-length", "0"))
    except ValueError:
        return  # the limit holds while the body is read
    if declared > most:
        raise too_large(most)


def too_large(most: int) -> PayloadTooLarge:
    """The error of a body of more than `most` bytes."""
    return PayloadTooLarge(
        f"the body is larger than {most} bytes", hint="send less, or have the operator raise the limit"
    )


async def read_chunk(receive: Receive) -> tuple[bytes, bool]:
    """The next part of the body, and whether more follows.

    Raises:
        ClientGone: there is no next part.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)


async def read_body(receive: Receive, headers: dict[str, str], most: int) -> bytes:
    """The whole body; no more than `most` bytes of it are ever held.

    Raises:
        PayloadTooLarge: it is larger.
        ClientGone: it ended before its end.
    """
    check_declared_length(headers, most)
    body, more = await read_chunk(receive)
    chunks, size = [body], len(body)
    while more and size <= most:
        body, more = await read_chunk(receive)
        chunks.append(body)
        size += len(body)
    if size > most:
        raise too_large(most)
    return body if len(chunks) == 1 else b"".join(chunks)


class Presence:
    """Cancels the block it is around when the client goes away, which then ends with ClientGone.

    `receive` belongs to it for as long as the block runs: the body must have been read.
    """

    __slots__ = ("_gone", "_receive", "_task", "_timer", "_watch")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False
        self._watch: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._task: asyncio.Task[Any] | None = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._start)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
        # A cancellation of somebody else's (the node is shutting down) goes on as such.
        if self._gone and self._task is not None and self._task.uncancel() == 0:
            raise ClientGone from None

    def _start(self) -> None:
        self._watch = asyncio.get_running_loop().create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if self._task is not None:
            self._task.cancel()
