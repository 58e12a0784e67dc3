"""Servers for functions to ask, honest and hostile: each path of a raw HTTP/1.1 server behaves in its own way."""

import asyncio
import contextlib
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext


@dataclass
class Asked:
    """One request as it came over the wire."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass
class FarSide:
    """A server; what it was asked is in `asked`."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    connections: int = 0
    connected: int = 0
    statuses: list[int] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.connected += 1
        number = self.connections
        try:
            while asked := await _read(reader, number):
                self.asked.append(asked)
                self.open += 1
                self.most_open = max(self.most_open, self.open)
                try:
                    await self._behave(asked, writer)
                    await writer.drain()
                finally:
                    self.open -= 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.connected -= 1
            writer.close()

    async def _behave(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        name, _, rest = asked.path.removeprefix("/").partition("?")
        await WAYS.get(name, _echo)(self, asked, writer, rest)


Way = Callable[[FarSide, Asked, asyncio.StreamWriter, str], Awaitable[None]]


async def _read(reader: asyncio.StreamReader, connection: int) -> Asked | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    line, *rest = head.strip().split("\r\n")
    headers = [tuple(one.split(": ", 1)) for one in rest]
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return Asked(line, headers, await reader.readexactly(length), connection)  # type: ignore[arg-type]


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""])
    return head.encode("latin-1") + body


async def _echo(_: FarSide, asked: Asked, writer: asyncio.StreamWriter, _rest: str) -> None:
    if asked.line.startswith("HEAD "):
        writer.write(answer(b""))
        return
    seen = {"line": asked.line, "headers": dict(asked.headers), "body": asked.body.decode("latin-1")}
    writer.write(answer(json.dumps(seen).encode(), "200 OK", "Content-Type: application/json", "X-A: 1", "x-a: 2",
                        "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2"))  # fmt: skip


async def _binary(_: FarSide, _asked: Asked, writer: asyncio.StreamWriter, _rest: str) -> None:
    writer.write(answer(bytes(range(256))))


async def _status(far: FarSide, _asked: Asked, writer: asyncio.StreamWriter, rest: str) -> None:
    number = far.statuses.pop(0) if far.statuses else int(rest or 200)
    writer.write(answer(b"" if number == 204 else b"said", f"{number} As Asked"))


async def _redirect(_: FarSide, _asked: Asked, writer: asyncio.StreamWriter, rest: str) -> None:
    status, _, target = rest.partition(",")
    writer.write(answer(b"", f"{status} Moved", f"Location: {target}"))


async def _forever_round(_: FarSide, _asked: Asked, writer: asyncio.StreamWriter, _rest: str) -> None:
    writer.write(answer(b"", "302 Found", "Location: /forever-round"))


async def _drip(_: FarSide, _asked: Asked, writer: asyncio.StreamWriter, _rest: str) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _silent(far: FarSide, _asked: Asked, _writer: asyncio.StreamWriter, _rest: str) -> None:
    await far.released.wait()


async def _slow_headers(_: FarSide, _asked: Asked, writer: asyncio.StreamWriter, _rest: str) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Y: z\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _endless(_: FarSide, _asked: Asked, writer: asyncio.StreamWriter, _rest: str) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def _endless_header(_: FarSide, _asked: Asked, writer: asyncio.StreamWriter, _rest: str) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def _too_short(_: FarSide, _asked: Asked, writer: asyncio.StreamWriter, _rest: str) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
    writer.close()


async def _too_long(_: FarSide, _asked: Asked, writer: asyncio.StreamWriter, _rest: str) -> None:
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfourHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsneak"
    )


async def _garbage(_: FarSide, _asked: Asked, writer: asyncio.StreamWriter, _rest: str) -> None:
    writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    writer.close()


async def _odd_headers(_: FarSide, _asked: Asked, writer: asyncio.StreamWriter, _rest: str) -> None:
    writer.write(answer(b"ok", "200 \xff\xfe", "X-Odd: \xff\xfe", "X-UTF: \xc3\xa9"))


async def _hang_up(_: FarSide, _asked: Asked, writer: asyncio.StreamWriter, _rest: str) -> None:
    writer.close()


def _packed(encoding: str, body: bytes) -> Way:
    async def way(_: FarSide, _asked: Asked, writer: asyncio.StreamWriter, _rest: str) -> None:
        writer.write(answer(body, "200 OK", f"Content-Encoding: {encoding}"))

    return way


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


async def _empty_blocks(_: FarSide, _asked: Asked, writer: asyncio.StreamWriter, _rest: str) -> None:
    """Deflate that unpacks to nothing, for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n")
    while True:
        writer.write(b"\x00\x00\x00\xff\xff" * 10_000)
        await writer.drain()


async def _together(far: FarSide, _asked: Asked, writer: asyncio.StreamWriter, rest: str) -> None:
    """Answers once so many requests are open."""
    if far.open >= int(rest):
        far.released.set()
    await far.released.wait()
    writer.write(answer(b"together"))


WAYS: dict[str, Way] = {
    "binary": _binary,
    "status": _status,
    "redirect": _redirect,
    "forever-round": _forever_round,
    "drip": _drip,
    "silent": _silent,
    "slow-headers": _slow_headers,
    "endless": _endless,
    "endless-header": _endless_header,
    "too-short": _too_short,
    "too-long": _too_long,
    "garbage": _garbage,
    "hang-up": _hang_up,
    "odd-headers": _odd_headers,
    "gzip": _packed("gzip", gzip.compress(b"unpacked")),
    "gzip-twice": _packed("gzip", gzip.compress(b"unpack") + gzip.compress(b"ed")),
    "gzip-padded": _packed("gzip", gzip.compress(b"unpacked") + b"\0" * 100),
    "deflate": _packed("deflate", zlib.compress(b"unpacked")),
    "deflate-raw": _packed("deflate", _raw_deflate(b"unpacked")),
    "gzip-cut": _packed("gzip", gzip.compress(b"unpacked" * 100)[:-9]),
    "gzip-bad": _packed("gzip", b"this is no gzip"),
    "gzip-none": _packed("gzip", b""),
    "brotli": _packed("br", b"whatever it is"),
    "bomb": _packed("gzip", gzip.compress(bytes(50 << 20), 9)),
    "empty-blocks": _empty_blocks,
    "together": _together,
}


@asynccontextmanager
async def far_side(tls: SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[FarSide]:
    """A running server."""
    far = FarSide()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(far.serve(reader, writer)))

    server = await asyncio.start_server(accept, host, 0, ssl=tls)
    far.port = server.sockets[0].getsockname()[1]
    try:
        yield far
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
