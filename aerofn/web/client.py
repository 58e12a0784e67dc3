"""The client's end of a request: its headers, its body within a limit, and whether it is still there."""

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from starlette.types import Receive, Scope

from aerofn.errors import PayloadTooLarge
from aerofn.web.exchange import Exchange

# Cancelling a statement costs its connection; what is in a transaction is nearly done, as a rule.
_GRACE_S = 0.2


class ClientGone(Exception):
    """The client closed the connection before it had its answer."""


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers, names in lower case, repeated ones joined as RFC 9110 says."""
    given = scope["headers"]
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in given}
    return headers if len(headers) == len(given) else _joined(given)


def _joined(given: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw, value in given:
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        between = "; " if name == "cookie" else ", "
        headers[name] = f"{headers[name]}{between}{text}" if name in headers else text
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


def body_at_hand(exchange: Exchange | None, most: int) -> bytes | None:
    """The whole body, if it is there already; None: it is to be read.

    Raises:
        PayloadTooLarge: it is larger than `most` bytes.
    """
    body = None if exchange is None else exchange.body_at_hand()
    if body is not None and len(body) > most:
        raise too_large(most)
    return body


async def read_body(receive: Receive, headers: dict[str, str], most: int) -> bytes:
    """The whole body; no more than `most` bytes of it are ever held.

    Raises:
        PayloadTooLarge: it is larger.
        ClientGone: it ended before its end.
    """
    check_declared_length(headers, most)
    chunks: list[bytes] = []
    size, more = 0, True
    while more and size <= most:
        body, more = await read_chunk(receive)
        chunks.append(body)
        size += len(body)
    if size > most:
        raise too_large(most)
    return body if len(chunks) == 1 else b"".join(chunks)


class Presence:
    """Cancels the block it is around when the client goes away, which then ends with ClientGone.

    Args:
        exchange: None where the server does not tell.
        in_transaction: whether the block holds a connection to the database, and so has a moment more.
    """

    __slots__ = ("_exchange", "_gone", "_in_transaction", "_task", "_timer")
    _task: asyncio.Task[Any] | None

    def __init__(self, exchange: Exchange | None, in_transaction: Callable[[], bool] = lambda: False) -> None:
        self._exchange = exchange
        self._in_transaction = in_transaction
        self._gone = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        if self._exchange is not None:
            self._task = asyncio.current_task(self._exchange.loop)
            self._exchange.watch(self._left)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._exchange is not None:
            self._exchange.watch(None)
        if self._timer is not None:
            self._timer.cancel()
        # A cancellation of somebody else's (the node is shutting down) goes on as such.
        if self._gone and self._task is not None and self._task.uncancel() == 0:
            raise ClientGone from None

    def _left(self) -> None:
        if self._in_transaction():
            self._timer = asyncio.get_running_loop().call_later(_GRACE_S, self._give_up)
        else:
            self._give_up()

    def _give_up(self) -> None:
        self._gone = True
        if self._task is not None:
            self._task.cancel()
