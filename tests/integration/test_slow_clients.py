"""Clients that send slowly, too much or nonsense, over raw connections to a served node."""

import asyncio
import contextlib
import json

import httpx
import psutil
import pytest

from tests.conftest import _lent

from .http_kit import deploy, lasting, served

HEAD = b"POST /functions/v1/nothing HTTP/1.1\r\nHost: x\r\n"


class Raw:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, dict]:
        """Status and JSON of the next answer."""
        async with asyncio.timeout(30):  # no task in between: a reset after the answer would hide its rest
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
            )
            return int(head.split(b" ")[1]), json.loads(await self.reader.readexactly(length) or b"null")

    async def closed(self) -> bytes:
        """Wait until the server has closed; what came before."""
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.read(), 30)
        return b""


class Place:
    """A served node: a good client of it, and raw connections to it."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    @contextlib.asynccontextmanager
    async def __call__(self):
        reader, writer = await asyncio.open_connection(self.http.base_url.host, self.http.base_url.port)
        try:
            yield Raw(reader, writer)
        finally:
            writer.close()


@pytest.fixture(scope="module")
async def connect(server, template):
    async with (
        _lent(server, await server.create(template)) as database,
        lasting(database, client_timeout_s=1.5) as node,
        served(node) as client,
    ):
        yield Place(client)


async def drip(raw: Raw, data: bytes, pause: float) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            raw.writer.write(data)
            await raw.writer.drain()
            await asyncio.sleep(pause)


async def test_a_client_that_says_nothing_is_closed(connect):
    async with connect() as raw:
        assert await raw.closed() == b""


async def test_a_head_that_drips_is_cut_off(connect):
    async with connect() as raw:
        raw.writer.write(HEAD)
        dripping = asyncio.create_task(drip(raw, b"X-A: b\r\n", 0.2))
        assert (await raw.answer())[0] == 408
        await raw.closed()
        dripping.cancel()


async def test_a_body_that_drips_is_cut_off_and_one_that_flows_is_not(connect):
    async with connect() as slow, connect() as steady:
        slow.writer.write(HEAD.replace(b"nothing", b"deploy") + b"Content-Length: 1000\r\n\r\n")
        steady.writer.write(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 24000\r\n\r\n")
        slow_drip = asyncio.create_task(drip(slow, b"x", 0.2))
        assert (await slow.answer())[0] in (401, 408)
        for _ in range(8):  # longer than the client's time, at 8 KiB/s
            steady.writer.write(b"x" * 3000)
            await asyncio.sleep(0.36)
        assert (await steady.answer())[0] == 405
        slow_drip.cancel()


async def test_many_slow_clients_keep_nobody_out(connect):
    async with contextlib.AsyncExitStack() as stack:
        raws = []
        for _ in range(200):
            raws.append(await stack.enter_async_context(connect()))
            raws[-1].writer.write(HEAD + b"X: ")  # at once: who has said nothing for so long gets no 408
        assert (await connect.http.get("/healthz")).status_code == 200
        assert b" 408 " in await raws[0].closed()
        await asyncio.gather(*(raw.closed() for raw in raws))
        assert (await connect.http.get("/healthz")).status_code == 200


async def test_more_connections_than_may_be_are_told_to_come_back(node_of):
    async with (
        node_of(port=0, max_connections=3) as node,
        served(node) as client,
        contextlib.AsyncExitStack() as stack,
    ):
        connect = Place(client)
        raws = [await stack.enter_async_context(connect()) for _ in range(4)]
        status, body = await raws[3].answer()
        assert (status, body["code"]) == (503, "busy")
        raws[0].writer.close()
        async with asyncio.timeout(60):
            while True:
                async with connect() as raw:
                    raw.writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                    if (await raw.answer())[0] == 200:
                        break


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X-Big: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(300)) + b"\r\n",
        HEAD + b"X: 1\r\n" * 300 + b"\r\n",
    ],
    ids=["value", "path", "many", "repeated"],
)
async def test_a_head_that_is_too_large_is_refused(connect, head):
    async with connect() as raw:
        raw.writer.write(head)
        status, body = await raw.answer()
        assert (status, body["code"]) == (431, "head_too_large")
        await raw.closed()


async def test_a_large_body_beside_its_head_is_no_large_head(connect):
    async with connect() as raw:
        raw.writer.write(
            b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"a" * 200_000
        )
        assert (await raw.answer())[0] == 405


async def test_a_head_without_end_is_cut_off(connect):
    async with connect() as raw:
        raw.writer.write(HEAD + b"X-Big: ")
        growing = asyncio.create_task(drip(raw, b"a" * 10_000, 0))
        said = await raw.closed()  # or reset, with what it had not read
        growing.cancel()
        assert said == b"" or b" 431 " in said


SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /healthz HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: 0\r\nContent-Length: 35\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: 0, 35\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: +0\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: 0x0\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length : 0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\n\r\n0 \x00\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"X: y\rContent-Length: 35\r\n\r\n" + SMUGGLED,
        POST + b"X: y\x00\r\n\r\n" + SMUGGLED,
        POST + b"X: y\r\n folded: z\r\n\r\n" + SMUGGLED,
        b"POST /healthz HTTP/1.1\nHost: x\n\n" + SMUGGLED,
        b"GET /healthz HTTP/9.1\r\nHost: x\r\n\r\n" + SMUGGLED,
        b"GET /healthz\r\n" + SMUGGLED,
    ],
)
async def test_a_request_whose_end_is_in_doubt_is_the_connections_last(connect, request_):
    async with connect() as raw:
        raw.writer.write(request_)
        raw.writer.write_eof()
        said = await raw.closed()
        assert said.count(b"HTTP/1.1 ") == 1, said
        assert b"HTTP/1.1 400 " in said, said
        assert b'"code":"invalid_request"' in said


async def test_what_follows_an_upgrade_is_not_read_as_a_request(connect):
    async with connect() as raw:
        upgrade = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"
        raw.writer.write(upgrade % b"h2c" + SMUGGLED)
        said = await raw.closed()
        assert said.count(b"HTTP/1.1 200 ") == 1
    async with connect() as raw:
        raw.writer.write(upgrade % b"websocket" + SMUGGLED)
        assert (await raw.closed()).count(b"HTTP/1.1 200 ") == 1


async def test_an_answer_that_nobody_reads_is_given_up(connect, probe):
    assert (await deploy(connect.http, "probe", probe)).status_code == 201
    body = b'{"do":"raw","value":"%s"}' % (b"x" * 5_000_000)
    async with connect() as raw:
        raw.writer.write(
            b"POST /functions/v1/probe HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        )
        raw.writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        await asyncio.wait_for(raw.writer.drain(), 30)
        ours = raw.writer.get_extra_info("sockname")
        async with asyncio.timeout(30):  # its buffer is full, and this reader's too: until the server lets go
            while any(c.raddr == ours for c in psutil.Process().net_connections("tcp")):
                await asyncio.sleep(0.05)


async def test_an_address_with_too_many_connections_is_told_so(database):
    async with (
        lasting(database, max_connections_per_address=3) as node,
        served(node) as client,
    ):
        connect = Place(client)
        async with connect() as first, connect(), connect():
            async with connect() as fourth:
                status, body = await fourth.answer()
                assert (status, body["code"]) == (429, "rate_limited")
                await fourth.closed()
            first.writer.close()
            async with asyncio.timeout(30):
                while (await client.get("/healthz")).status_code != 200:
                    pass
