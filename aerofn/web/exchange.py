"""A request's way back to its client, beside what ASGI has: a whole answer at once, and word of the client's leaving.

It is in the scope of every request that comes in over a `Connection`. ASGI's own way takes two messages for an answer,
and uvicorn sends the first as soon as it has it: two system calls and two packets, of which each wakes the client.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from aerofn.web.connection import Connection

EXCHANGE = "aerofn.exchange"
_CR, _LF = b"\r\n"
_LARGE = 64 * 1024  # copying more than this costs more than a second packet does


class Exchange(RequestResponseCycle):
    """One request and its answer: uvicorn's own, which goes on by what becomes of it here.

    Attributes:
        loop: the event loop it is on.
    """

    _left: Callable[[], None] | None = None

    def __init__(self, connection: "Connection", scope: Scope, *, keep_alive: bool) -> None:
        super().__init__(
            scope=scope,  # type: ignore[arg-type]
            transport=connection.transport,
            flow=connection.flow,
            logger=connection.logger,
            access_logger=connection.access_logger,
            access_log=connection.access_log,
            default_headers=connection.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=connection.expect_100_continue,
            keep_alive=keep_alive,
            on_response=connection.on_response_complete,
        )
        self.loop = connection.loop
        self._connection = connection
        scope[EXCHANGE] = self

    def body_at_hand(self) -> bytes | None:
        """The request's body, if all of it came with the head, as most do; None: it is to be received."""
        if self.more_body or self.disconnected:
            return None
        body, self.body = bytes(self.body), bytearray()
        self.message_event.clear()
        return body

    async def answer(
        self, status: int, headers: list[tuple[bytes, bytes]], body: bytes, lines: bytes = b""
    ) -> None:
        """Send the whole answer.

        Args:
            headers: with the body's length, and none that is the connection's business.
            lines: more of them, as they are sent.
        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        head = self._head(status, headers, lines)
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        if self.scope["method"] == "HEAD":
            body = b""
        if len(body) > _LARGE:
            self.transport.write(head)
            self.transport.write(body)
        else:
            self._connection.outbox.put(self.transport, head + body, self.loop)
        self.message_event.set()
        if not self.keep_alive:
            self._connection.close()
        self.on_response()
        # Or the two would hold each other until the garbage collector comes, twenty objects of each request.
        self.scope.pop(EXCHANGE, None)  # type: ignore[misc]

    def _head(self, status: int, headers: list[tuple[bytes, bytes]], lines: bytes) -> bytes:
        given = list(map(b": ".join, (*self.default_headers, *headers)))
        if not self.keep_alive:
            given.append(b"connection: close")
        # Whoever made a header has looked at it; what would split the answer in two does not pass here either.
        text = b"".join(given)
        if _LF in text or _CR in text:
            raise ValueError("a header of the answer has a line break")
        return b"%b%b\r\n%b\r\n" % (STATUS_LINE[status], b"\r\n".join(given), lines)

    def watch(self, left: Callable[[], None] | None) -> None:
        """Have `left` called when the client closes the connection, or has already; None: no longer."""
        self._left = left
        self._connection.watched = None if left is None else self  # one request is answered at a time
        if left is not None:
            self.flow.resume_reading()  # whose leaving is not read is not seen
            if self.transport.is_closing():
                self.lost()

    def lost(self) -> None:
        """The connection is gone."""
        self.disconnected = True
        left, self._left = self._left, None
        if left is not None:
            left()


def exchange_of(scope: Scope) -> Exchange | None:
    """The exchange that a request belongs to; None where the server is not AeroFn's."""
    exchange: Exchange | None = scope.get(EXCHANGE)
    return exchange
