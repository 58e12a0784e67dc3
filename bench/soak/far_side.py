"""A server for functions to ask, and the name server that tells them where it is: at once or late."""

import asyncio
import socket
import struct
from collections import Counter
from types import TracebackType

NAME = "far.soak.test"  # and every name below it, so that each can be one that nobody has looked up yet
NAME_SERVER = "127.111.53.1"  # port 53, as resolv.conf has no other
_HEAD = struct.Struct("!6H")
_A, _IN = 1, 1


class FarSide:
    """Answers every request with `ok`, and counts the idempotency keys that come."""

    def __init__(self) -> None:
        self.keys: Counter[str] = Counter()
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "FarSide":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            await reader.readexactly(int(fields.get("content-length", 0)))
            self.keys[fields.get("idempotency-key", "")] += 1
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class NameServer(asyncio.DatagramProtocol):
    """Whatever it is asked for is here. `late_s`: seconds that it takes for every answer."""

    def __init__(self) -> None:
        self.late_s = 0.0
        self.asked = 0
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> None:
        """Listen; OSError where only root may."""
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, (NAME_SERVER, 53))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        asyncio.get_running_loop().call_later(self.late_s, self._answer, data, addr)

    def _answer(self, asked: bytes, addr: tuple[str, int]) -> None:
        number, flags, *_ = _HEAD.unpack_from(asked)
        end = asked.index(b"\0", _HEAD.size) + 5
        kind = struct.unpack_from("!H", asked, end - 4)[0]
        found = b""
        if kind == _A:  # no AAAA, which is no error
            found = struct.pack("!HHHIH", 0xC00C, _A, _IN, 0, 4) + socket.inet_aton("127.0.0.1")
        head = _HEAD.pack(number, 0x8180 | flags & 0x0100, 1, int(bool(found)), 0, 0)
        if self._transport is not None:
            self._transport.sendto(head + asked[_HEAD.size : end] + found, addr)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
