"""A request's way back to its client, beside what ASGI has: a whole answer at once, and word of the client's leaving.

It is in the scope of every request that comes in over a `Connection`. ASGI's own way takes two messages for an answer,
and uvicorn sends the first as soon as it has it: two system calls and two packets, of which each wakes the client.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from aerofn.web.connection import Connection

EXTENSION = "aerofn.exchange"
_LARGE = 64 * 1024  # copying more than this costs more than a second packet does


class Exchange:
    """One request and its answer.

    Args:
        cycle: uvicorn's, which goes on by what becomes of it here.
    """

    __slots__ = ("_connection", "_cycle", "_left")

    def __init__(self, connection: "Connection", cycle: RequestResponseCycle) -> None:
        self._connection = connection
        self._cycle = cycle
        self._left: Callable[[], None] | None = None

    async def answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send the whole answer. `headers` have the body's length, and none that is the connection's business."""
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        head = self._head(status, headers)
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        if cycle.scope["method"] == "HEAD":
            body = b""
        if len(body) > _LARGE:
            cycle.transport.write(head)
            cycle.transport.write(body)
        else:
            cycle.transport.write(head + body)
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()

    def _head(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        cycle = self._cycle
        given = [*cycle.default_headers, *headers]
        if not cycle.keep_alive:
            given.append((b"connection", b"close"))
        head = STATUS_LINE[status] + b"".join([b"%b: %b\r\n" % header for header in given]) + b"\r\n"
        # Whoever made a header has looked at it; what would split the answer in two does not pass here either.
        if head.count(b"\n") != len(given) + 2 or head.count(b"\r") != len(given) + 2:
            raise ValueError("a header of the answer has a line break")
        return head

    def watch(self, left: Callable[[], None] | None) -> None:
        """Have `left` called when the client closes the connection, or has already; None: no longer."""
        self._left = left
        self._connection.watched = None if left is None else self  # one request is answered at a time
        if left is not None:
            self._cycle.flow.resume_reading()  # whose leaving is not read is not seen
            if self._cycle.transport.is_closing():
                self.lost()

    def lost(self) -> None:
        """The connection is gone."""
        self._cycle.disconnected = True
        left, self._left = self._left, None
        if left is not None:
            left()


def exchange_of(scope: Scope) -> Exchange | None:
    """The exchange that a request belongs to; None where the server is not AeroFn's."""
    exchange: Exchange | None = scope.get("extensions", {}).get(EXTENSION)
    return exchange
