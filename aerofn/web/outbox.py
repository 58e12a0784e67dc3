"""Answers on their way out: those of one pass of the event loop go out at its end, one after another.

A client's thread that had to wait is woken by each answer, which takes a sixth of a short invocation's time. Whoever
has many connections, as a proxy has, is still awake when the next answer follows at once; and the system's way to the
network is still in the processor's caches.
"""

import asyncio


class Outbox:
    """One for all connections of an event loop."""

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def put(self, transport: asyncio.Transport, answer: bytes, loop: asyncio.AbstractEventLoop) -> None:
        """Send `answer` when the loop's pass is over: before anything that is begun from now on."""
        if not self._waiting:
            loop.call_soon(self.send)
        self._waiting.append((transport, answer))

    def send(self) -> None:
        """Send all that waits, now: before a connection is closed."""
        waiting, self._waiting = self._waiting, []
        for transport, answer in waiting:
            if not transport.is_closing():  # its client has left
                transport.write(answer)
