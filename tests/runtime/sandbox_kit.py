"""What the runtime's tests share: where guests are, a host to watch, short ways to run."""

import asyncio
import ctypes
import sys
from pathlib import Path

from aerofn.model import Limits, Run
from aerofn.runtime import Component, Runtime
from aerofn.runtime.ticker import Ticker

ROOT = Path(__file__).parents[2]
GUESTS = ROOT / "tests" / "guests"
IDLE_TICKS = 20  # as in ticker.c
PARKED_AT = 2 * ctypes.sizeof(ctypes.c_uint)  # of `struct ticker` there: behind `entered` and `left`
sys.path.insert(0, str(GUESTS))
from hostile import do  # noqa: E402, F401
from javascript import js_component  # noqa: E402, F401


class FakeHost:
    """A host that answers at once and remembers what it was asked. `gate` holds queries back until it is set."""

    def __init__(self) -> None:
        self.logs: list[tuple[str, str]] = []
        self.queries: list[tuple[str, str]] = []
        self.asked = asyncio.Event()
        self.gate: asyncio.Event | None = None
        self.reply: tuple[bool, bytes] = (True, b'{"rows":[{"n":1}],"rowCount":1}')

    async def db_query(self, sql: str, params: str) -> tuple[bool, bytes]:
        self.queries.append((sql, params))
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        return self.reply

    async def http_fetch(self, request: str) -> tuple[bool, bytes]:
        return True, b'{"status":200,"headers":{},"body":"hi"}'

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def log(self, level: str, message: str, at: float) -> None:
        self.logs.append((level, message))

    def env(self, key: str) -> str | None:
        return {"GREETING": "h\u00e9llo"}.get(key)


class Quiet(FakeHost):
    """Remembers nothing: what is asked a million times would fill memory."""

    async def db_query(self, sql: str, params: str) -> tuple[bool, bytes]:
        return self.reply

    def log(self, level: str, message: str, at: float) -> None:
        pass


class Sandbox:
    """The runtime with the short ways that tests want."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    async def load(self, wasm: bytes) -> Component:
        digest = await self.runtime.prepare(wasm)
        component = await self.runtime.load(digest, no_fetch)
        component.heat = 0  # as one that has run before: its runs begin on the loop
        return component

    async def run(
        self, guest: bytes | Component, event: bytes = b"{}", host: FakeHost | None = None, **limits: int
    ) -> Run:
        component = guest if isinstance(guest, Component) else await self.load(guest)
        return await self.runtime.run(component, event, host or FakeHost(), Limits(**limits))


async def no_fetch() -> bytes:
    raise AssertionError("the component was prepared: nothing to fetch")


async def when_it_stands_still(ticker: Ticker) -> int:
    """Its ticks when it has parked, by its own word: none that come late say as much of a busy machine."""
    assert ticker.at is not None
    parked = ctypes.c_bool.from_address(ticker.at + PARKED_AT)
    async with asyncio.timeout(60):
        while not parked.value:
            await asyncio.sleep(0.001)
    last = ticker.ticks
    await asyncio.sleep(0.5)
    assert ticker.ticks == last, "it ticks although it has parked"
    return last


async def until_ticks(ticker: Ticker, number: int) -> None:
    async with asyncio.timeout(60):
        while ticker.ticks < number:
            await asyncio.sleep(0.001)
