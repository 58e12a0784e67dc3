"""An answer's head and its body, sent by one system call.

uvicorn writes the head as soon as it has it, and uvloop sends at once what is written: two packets for an answer, of
which each wakes the client. So the head waits for the next piece, until the end of the loop's turn at the longest.
"""

import asyncio
from typing import Any

_LARGE = 64 * 1024  # copying more than this costs more than a second packet does


class Together:
    """A connection's transport, for one answer that has a body, be it an empty one."""

    __slots__ = ("_begun", "_head", "_loop", "_transport")

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._begun = False
        self._head = b""

    def write(self, data: bytes) -> None:
        """Send `data`, or keep it for a moment if it is the answer's beginning."""
        head, self._head = self._head, b""
        if not self._begun:
            self._begun = True
            self._head = data
            self._loop.call_soon(self._flush)
        elif len(data) > _LARGE:
            self._transport.write(head)
            self._transport.write(data)
        else:
            self._transport.write(head + data)

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)

    def close(self) -> None:
        """Close the connection once everything is sent."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closed, or about to be."""
        return bool(self._transport.is_closing())
