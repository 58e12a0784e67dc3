"""Over a real server: a client that leaves, connections that are kept, bodies that never end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from web_kit import Invocation, Line, Web, admin, ended, settings

from aerofn.dispatch.invoker import Completed
from aerofn.web.exchange import EXCHANGE

HELLO = "POST /functions/v1/hello"
MIB = 1 << 20


class Gate:
    """A function that runs until it is let through, and says when it began and how it ended."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.over = asyncio.Event()
        self.cancelled = False

    async def __call__(self, _: Invocation) -> Completed:
        self.entered.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.over.set()
        return ended(b'"through"')


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    async with Web().server() as port:
        yield port


async def test_a_client_that_leaves_cancels_its_invocation() -> None:
    web, gate = Web(), Gate()
    web.requests.reply = gate
    async with web.server() as port, Line.open(port) as other:
        async with Line.open(port) as line:
            await line.send(HELLO, "Content-Length: 2", body=b"{}")
            await gate.entered.wait()
        async with asyncio.timeout(15):
            await gate.over.wait()
        assert gate.cancelled
        # The node is unharmed.
        web.requests.reply = ended(b"1")
        await other.send(HELLO)
        assert (await other.answer())[2] == b"1"


async def test_a_client_that_leaves_with_a_second_request_sent_is_noticed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    web, gate = Web(), Gate()
    web.requests.reply = gate
    async with web.server() as port:
        async with Line.open(port) as line:
            line.writer.write(f"{HELLO} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode() * 2)
            await gate.entered.wait()
        async with asyncio.timeout(30):
            await gate.over.wait()
    complaints = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (gate.cancelled, len(web.requests.asked), complaints) == (True, 1, [])


async def test_a_client_that_leaves_with_a_large_body_sent_is_noticed() -> None:
    """A server stops reading from a client whose body is large: it must read on to see it leave."""
    web, gate = Web(), Gate()
    web.requests.reply = gate
    async with web.server() as port:
        async with Line.open(port) as line:
            await line.send(HELLO, f"Content-Length: {4 * MIB}", body=b"x" * 4 * MIB)
            await gate.entered.wait()
        async with asyncio.timeout(15):
            await gate.over.wait()
    assert gate.cancelled


async def test_a_slow_invocation_is_answered_and_its_connection_kept() -> None:
    """The watch for the client's leaving ends with it, and must not eat the next request."""
    web, gate = Web(), Gate()
    web.requests.reply = gate
    async with web.server() as port, Line.open(port) as line:
        for number in range(3):
            gate.entered.clear()
            gate.open.clear()
            await line.send(HELLO, "Content-Length: 1", body=b"1")
            await gate.entered.wait()
            gate.open.set()
            status, headers, body = await line.answer()
            assert (status, body, len(web.requests.asked)) == (200, b'"through"', number + 1)
            assert "connection" not in headers


async def test_pipelined_requests_are_answered_in_order() -> None:
    web = Web()
    numbers = iter(range(10))

    async def count(_: Invocation) -> Completed:
        return ended(str(next(numbers)).encode())

    web.requests.reply = count
    async with web.server() as port, Line.open(port) as line:
        one = f"{HELLO} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode()
        line.writer.write(one * 5)
        assert [(await line.answer())[2] for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_head_that_begins_behind_a_large_body_is_no_large_one(port: int) -> None:
    body = b"x" * 200_000
    first = f"{HELLO} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    async with Line.open(port) as line:
        line.writer.write(first + b"GET /healthz HT")
        assert (await line.answer())[0] == 200
        line.writer.write(b"TP/1.1\r\nHost: x\r\n\r\n")
        assert (await line.answer())[0] == 200


async def test_requests_that_nobody_can_answer_so_soon_are_not_held() -> None:
    """Each takes two kilobytes, and a client sends thousands in the time of one answer."""
    web, gate = Web(), Gate()
    web.requests.reply = gate
    one = b"GET /functions/v1/hello HTTP/1.1\r\n\r\n"
    async with web.server() as port, Line.open(port) as line:
        line.writer.write(one * 80)
        gate.open.set()
        assert [(await line.answer())[0] for _ in range(80)] == [200] * 80
        gate.open.clear()
        gate.entered.clear()
        line.writer.write(one * 1000)
        await gate.entered.wait()
        gate.open.set()
        good = 0
        while (status := (await line.answer())[0]) == 200:
            good += 1
        assert (status, await line.reader.read()) == (429, b"")
    assert 100 < good < 1000
    assert len(web.requests.asked) == 80 + good


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET http://a HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: %b\r\n\r\n" % (b"x" * 70_000), 431),
    ],
)
async def test_a_bad_request_after_a_good_one_is_told_so(port: int, sent: bytes, status: int) -> None:
    async with Line.open(port) as line:
        for _ in range(2):
            await line.send("GET /healthz")
            assert (await line.answer())[0] == 200
        line.writer.write(sent)
        found, headers, _ = await line.answer()
        assert (found, headers["connection"]) == (status, "close")
        assert await line.reader.read() == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: %b\r\n\r\n" % (b"x" * 70_000), 431),
        (f"{HELLO} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n".encode(), 400),
    ],
)
@pytest.mark.parametrize("before", [1, 3])
async def test_a_bad_request_waits_for_the_good_ones_before_it(sent: bytes, status: int, before: int) -> None:
    web, gate = Web(), Gate()
    web.requests.reply = gate
    good = f"{HELLO} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    async with web.server() as port, Line.open(port) as line:
        line.writer.write(good * before + sent + good)
        await gate.entered.wait()
        gate.open.set()
        assert [(await line.answer())[0] for _ in range(before + 1)] == [200] * before + [status]
        assert await line.reader.read() == b""
    assert len(web.requests.asked) == before


async def test_what_follows_a_request_that_closes_is_not_answered() -> None:
    web, gate = Web(), Gate()
    web.requests.reply = gate
    last = f"{HELLO} HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    async with web.server() as port, Line.open(port) as line:
        line.writer.write(last * 2)
        await gate.entered.wait()
        gate.open.set()
        assert (await line.answer())[0] == 200
        assert await line.reader.read() == b""
    assert len(web.requests.asked) == 1


async def test_an_error_keeps_the_connection(port: int) -> None:
    async with Line.open(port) as line:
        for path, status in [("/nothing", 404), ("/functions/v1/a.b", 404), ("/healthz", 200)]:
            await line.send(f"GET {path}")
            assert (await line.answer())[0] == status


async def test_a_declared_length_over_the_limit_is_refused_before_any_of_it_is_sent() -> None:
    web = Web(settings=settings(max_body_mb=1))
    async with web.server() as port, Line.open(port) as line:
        await line.send(HELLO, f"Content-Length: {MIB + 1}", "Expect: 100-continue")
        status, _, body = await line.answer()  # and no 100
        assert (status, b"payload_too_large" in body) == (413, True)
    assert web.requests.asked == []


@pytest.mark.parametrize(
    ("start", "headers"),
    [
        (HELLO, []),
        (
            "POST /functions/v1/deploy",
            ["Content-Type: multipart/form-data; boundary=b", f"Authorization: {admin()['authorization']}"],
        ),
    ],
)
async def test_a_body_without_end_is_refused_while_it_is_sent(start: str, headers: list[str]) -> None:
    web = Web(settings=settings(max_body_mb=1, max_component_mb=1))
    async with web.server() as port, Line.open(port) as line:
        await line.send(start, "Transfer-Encoding: chunked", *headers)
        opening = b'--b\r\nContent-Disposition: form-data; name="wasm"; filename="f"\r\n\r\n'
        sending = asyncio.create_task(_send_for_ever(line.writer, opening))
        status, _, body = await line.answer()
        sending.cancel()
        assert (status, b"payload_too_large" in body) == (413, True)
    assert web.requests.asked == []
    assert web.functions.registered == []


async def _send_for_ever(writer: asyncio.StreamWriter, opening: bytes) -> None:
    chunk = opening
    while True:
        writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        await writer.drain()
        chunk = b"x" * 65_536


async def test_a_client_that_leaves_in_the_middle_of_its_body_invokes_nothing() -> None:
    web = Web()
    async with web.server() as port, Line.open(port) as other:
        async with Line.open(port) as line:
            await line.send(HELLO, "Content-Length: 10", body=b"half")
        await other.send(HELLO)
        assert (await other.answer())[0] == 200
    assert len(web.requests.asked) == 1


async def test_head_has_no_body_and_keeps_the_connection() -> None:
    web = Web()
    web.requests.reply = ended(b'{"statusCode": 200, "body": "text"}')
    async with web.server() as port, Line.open(port) as line:
        await line.send("HEAD /functions/v1/hello")
        head = await line.reader.readuntil(b"\r\n\r\n")
        assert b"content-length: 4\r\n" in head
        await line.send("GET /healthz")
        assert (await line.answer())[2] == b'{"status":"ok"}'


@pytest.mark.parametrize("status", [204, 205, 304])
async def test_a_status_without_body_keeps_the_connection(status: int) -> None:
    web = Web()
    web.requests.reply = ended(b'{"statusCode": %d, "body": "no"}' % status)
    async with web.server() as port, Line.open(port) as line:
        for _ in range(2):
            await line.send(HELLO)
            found, headers, _ = await line.answer()
            assert (found, "content-length" in headers) == (status, status == 205)


class Direct:
    """One request given to the application without a server between: its exchange is the test."""

    def __init__(self, web: Web) -> None:
        self.sent: list[int] = []
        self.left: Callable[[], None] | None = None
        self.loop = asyncio.get_running_loop()
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/functions/v1/hello",
            "query_string": b"",
            "headers": [],
            EXCHANGE: self,
        }
        self.task = asyncio.create_task(web.application()(scope, self._receive, self._send))

    def watch(self, left: Callable[[], None] | None) -> None:
        self.left = left

    def body_at_hand(self) -> bytes | None:
        return None

    async def answer(self, status: int, _headers: Any, _body: bytes, _lines: bytes = b"") -> None:
        self.sent.append(status)

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Any) -> None:
        raise AssertionError(message)


async def left_by_its_client(web: Web, gate: Gate) -> Direct:
    """A request that runs, and whose client has just gone."""
    web.requests.reply = gate
    request = Direct(web)
    await gate.entered.wait()
    assert request.left is not None
    request.left()
    return request


async def test_a_client_that_left_is_neither_answered_nor_an_error() -> None:
    web, gate = Web(), Gate()
    request = await left_by_its_client(web, gate)
    await request.task  # it ends, as one that was answered
    assert gate.cancelled
    assert request.sent == []


async def test_what_is_in_a_transaction_when_its_client_leaves_has_a_moment_to_end_it() -> None:
    """Clients that leave by the dozen, as those that lose patience do, cost few connections to the database."""
    web, gate = Web(), Gate()
    web.requests.queries = True
    request = await left_by_its_client(web, gate)
    gate.open.set()
    await request.task
    assert not gate.cancelled


async def test_what_takes_longer_than_that_is_cancelled() -> None:
    web, gate = Web(), Gate()
    web.requests.queries = True
    request = await left_by_its_client(web, gate)
    async with asyncio.timeout(30):
        await request.task
    assert gate.cancelled


async def test_the_watch_ends_with_its_invocation() -> None:
    web, gate = Web(), Gate()
    web.requests.reply = gate
    request = Direct(web)
    await gate.entered.wait()
    gate.open.set()
    await request.task
    assert (request.left, request.sent) == (None, [200])


async def test_a_shutdown_ends_a_waiting_request_as_such() -> None:
    """Not as a client that left: that would swallow the cancellation."""
    web, gate = Web(), Gate()
    web.requests.reply = gate
    request = Direct(web)
    await gate.entered.wait()
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.task
    assert gate.cancelled
    assert request.sent == []
