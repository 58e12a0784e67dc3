"""What a connection writes, and when it is closed: seen from its other end, without a socket between."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from web_kit import Invocation, Web, ended

from aerofn.dispatch.invoker import Completed
from aerofn.web.connection import Connection, connections
from aerofn.web.crowd import Crowd

HELLO = "POST /functions/v1/hello"
MIB = 1 << 20


def _kind() -> type[Connection]:
    return connections(most=10, patience_s=20.0, crowd=Crowd(10))


class Wire(asyncio.Transport):
    """A connection's other end, without a socket between."""

    def __init__(self, web: Web, kind: type[Connection] | None = None) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.on_write: Callable[[], object] = lambda: None
        self.closed = False
        kind = kind or _kind()
        config = uvicorn.Config(web.application(), log_config=None, access_log=False, timeout_keep_alive=75)
        config.load()
        self.connection = kind(config, uvicorn.Server(config).server_state, {})  # type: ignore[arg-type]
        self.connection.connection_made(self)

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written.append(bytes(data))
        self.on_write()

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    async def ask(self, head: str, body: bytes = b"") -> list[bytes]:
        """Send a request; what the answer was written in."""
        self.written.clear()
        self.connection.data_received(f"{head} HTTP/1.1\r\nHost: x\r\n".encode() + body)
        async with asyncio.timeout(60):
            while not (self.connection.cycle.response_complete and self.written):
                await asyncio.sleep(0)
        return self.written


async def test_head_and_body_are_written_at_once() -> None:
    web = Web()
    wire = Wire(web)
    for _ in range(2):
        (answer,) = await wire.ask("GET /healthz", b"\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b'\r\n\r\n{"status":"ok"}')
    web.requests.reply = ended(b'"' + b"x" * MIB + b'"')
    head, body = await wire.ask(HELLO, b"\r\n")  # one so large is not copied
    assert (head[-4:], len(body), wire.closed) == (b"\r\n\r\n", MIB + 2, False)


async def _answered(*wires: Wire) -> None:
    """Wait until requests are answered, and not longer: what they are answered may not have been sent."""
    async with asyncio.timeout(60):
        while not all(wire.connection.cycle.response_complete for wire in wires):
            await asyncio.sleep(0)


async def test_answers_of_one_pass_are_sent_together_at_its_end() -> None:
    web, end, sent = Web(), asyncio.Event(), list[int]()

    async def wait(_: Invocation) -> Completed:
        await end.wait()
        return ended(b"1")

    web.requests.reply = wait
    kind = _kind()
    wires = [Wire(web, kind) for _ in range(3)]
    for number, wire in enumerate(wires):
        wire.connection.data_received(f"{HELLO} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wire.on_write = lambda number=number: sent.append(number)  # type: ignore[misc]
    await asyncio.sleep(0)
    end.set()
    await _answered(*wires)
    assert sent == []  # they have ended, all in this pass
    wires[1].closed = True  # its client has left
    await asyncio.sleep(0)
    assert sent == [0, 2]


@pytest.mark.parametrize("close", ["shutdown", "silence", "nonsense", "another's end"])
async def test_no_connection_is_closed_before_its_answer_was_sent(close: str) -> None:
    web, kind = Web(), _kind()
    wire = Wire(web, kind)
    wire.connection.data_received(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    await _answered(wire)
    assert wire.written == []
    if close == "shutdown":
        wire.connection.shutdown()
    elif close == "silence":
        wire.connection.check(asyncio.get_running_loop().time() + 80)
    elif close == "nonsense":
        wire.connection.data_received(b"\0\0\r\n")
    else:
        other = Wire(web, kind)
        await other.ask("GET /healthz", b"Connection: close\r\n\r\n")
        assert other.closed
    assert [answer.split(b" ", 2)[1] for answer in wire.written] == [b"200"] + [b"400"] * (
        close == "nonsense"
    )
    assert wire.closed == (close != "another's end")


async def test_a_client_that_asks_for_it_is_closed_after_its_answer() -> None:
    wire = Wire(Web())
    (answer,) = await wire.ask("GET /healthz", b"Connection: close\r\n\r\n")
    assert b"\r\nconnection: close\r\n" in answer
    assert wire.closed


async def test_a_connection_that_stays_silent_after_an_answer_is_closed() -> None:
    """Also one that is answered before its request is whole."""
    now = asyncio.get_running_loop().time
    for start, rest in [("GET /healthz", b""), ("POST /healthz", b"x" * 100_000)]:
        wire = Wire(Web())
        await wire.ask(start, b"Content-Length: %d\r\n\r\n" % len(rest))
        if rest:
            wire.connection.data_received(rest)
        wire.connection.check(now() + 60)
        assert not wire.closed
        wire.connection.check(now() + 80)
        assert (wire.closed, len(wire.written)) == (True, 1)  # and nothing said


async def test_a_slow_request_waits_for_the_good_one_before_it() -> None:
    web, may_end = Web(), asyncio.Event()

    async def wait(_: Invocation) -> Completed:
        await may_end.wait()
        return ended(b"1")

    web.requests.reply = wait
    wire = Wire(web)
    wire.connection.data_received(f"{HELLO} HTTP/1.1\r\nContent-Length: 2\r\n\r\n{{}}GET /heal".encode())
    wire.connection.check(asyncio.get_running_loop().time() + 60)
    assert (wire.written, wire.closed) == ([], False)
    may_end.set()
    async with asyncio.timeout(60):
        while not wire.closed:
            await asyncio.sleep(0)
    assert [answer.split(b" ", 2)[1] for answer in wire.written] == [b"200", b"408"]


async def test_an_answered_request_leaves_nothing_to_the_garbage_collector() -> None:
    wire = Wire(Web())
    gc.disable()
    try:
        for start in ("GET /healthz", HELLO, "GET /nothing"):
            await wire.ask(start, b"\r\n")
            answered = weakref.ref(wire.connection.cycle)
            await wire.ask("GET /healthz", b"\r\n")
            async with asyncio.timeout(30):
                while answered() is not None:
                    await asyncio.sleep(0)
    finally:
        gc.enable()


async def test_a_header_cannot_split_an_answer() -> None:
    wire = Wire(Web())
    await wire.ask("GET /healthz", b"\r\n")
    wire.written.clear()
    for value in (b"a\r\nset-cookie: b", b"a\n", b"\ra"):
        with pytest.raises(ValueError, match="line break"):
            await wire.connection.cycle.answer(200, [(b"location", value)], b"")
    assert wire.written == []
