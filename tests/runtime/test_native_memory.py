"""Ten thousand of a thing leave nothing behind in native memory, whatever the thing is."""

import asyncio
import ctypes
import gc
import sys
from collections.abc import Awaitable, Callable

import pytest
from sandbox_kit import GUESTS, Quiet, Sandbox, do

from aerofn.model import Limits, Outcome
from aerofn.runtime import Component

THINGS = 10_000
AT_ONCE = 50
LEFT = 160_000  # bytes, of all together: the smallest thing that malloc gives takes 32, and so twice this
PYTHON = 5_000  # objects
TRIES = 4


class Allocated(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
            "keepcost",
        )
    ]  # fmt: skip


def allocated() -> int:
    """Bytes that malloc has given out in this process, to whatever thread: exact, unlike what the system sees."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        pytest.skip("only glibc 2.33 and later counts what is allocated")
    ask.restype = Allocated
    gc.collect()
    told = ask()
    return int(told.uordblks + told.hblkhd)


class Never(Quiet):
    """Never answers a query."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def db_query(self, sql: str, params: str) -> tuple[bool, bytes]:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


class Guests:
    """What the things are done with."""

    def __init__(self, sandbox: Sandbox, calls: Component, c: Component, js: Component) -> None:
        self.sandbox, self.calls, self.c, self.js = sandbox, calls, c, js

    async def ended(self, guest: Component, event: bytes, outcome: Outcome, **limits: int) -> None:
        run = await self.sandbox.run(guest, event, Quiet(), **limits)
        assert run.outcome is outcome, run


Thing = Callable[[Guests, int], Awaitable[None]]


def many(one: Callable[[Guests], Awaitable[None]]) -> Thing:
    """`one` so often, some at a time."""

    async def thing(guests: Guests, count: int) -> None:
        for _ in range(count // AT_ONCE):
            await asyncio.gather(*(one(guests) for _ in range(AT_ONCE)))

    return thing


def runs_of(guest: str, event: bytes, outcome: Outcome, **limits: int) -> Thing:
    return many(lambda guests: guests.ended(getattr(guests, guest), event, outcome, **limits))


def calls_of(letter: bytes) -> Thing:
    async def thing(guests: Guests, _count: int) -> None:
        await guests.ended(guests.calls, b"t" + letter, Outcome.SUCCESS)  # ten thousand in one run

    return thing


@many
async def cancelled_in_a_call(guests: Guests) -> None:
    host = Never()
    task = asyncio.create_task(guests.sandbox.run(guests.calls, b"aq" + b"x" * 4096, host))
    await host.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@many
async def timeouts_in_a_call(guests: Guests) -> None:
    run = await guests.sandbox.run(guests.calls, b"aq" + b"x" * 4096, Never(), timeout_ms=1)
    assert run.outcome is Outcome.TIMEOUT


async def unused_spares(guests: Guests, count: int) -> None:
    spares = guests.sandbox.runtime.spares
    for _ in range(count):
        spares.make(guests.c, Limits())
        assert len(spares) > 0
        spares.drop()


THINGS_DONE: dict[str, Thing] = {
    "queries with long texts": calls_of(b"q"),
    "requests with long texts": calls_of(b"x"),
    "reads of the environment": calls_of(b"v"),
    "long log lines": calls_of(b"l"),
    "runs": runs_of("c", b"h", Outcome.SUCCESS),
    "runs in JavaScript": runs_of("js", do("env", key="GREETING"), Outcome.SUCCESS),
    "runs with a large event and result": runs_of("c", b"e" * 20_000, Outcome.SUCCESS),
    "traps": runs_of("c", b"t", Outcome.TRAP),
    "traps in a host call": runs_of("calls", b"bq", Outcome.TRAP),
    "broken results": runs_of("c", b"u", Outcome.TRAP),
    "timeouts in a host call": timeouts_in_a_call,
    "runs cancelled in a host call": cancelled_in_a_call,
    "spares that nobody uses": unused_spares,
}


@pytest.fixture
async def guests(sandbox: Sandbox, c_guest: Component, js_guest: Component) -> Guests:
    calls = await sandbox.load((GUESTS / "c" / "calls.wasm").read_bytes())
    return Guests(sandbox, calls, c_guest, js_guest)


@pytest.mark.parametrize("name", THINGS_DONE)
async def test_nothing_is_left_behind(guests: Guests, name: str) -> None:
    thing, left = THINGS_DONE[name], []
    await thing(guests, THINGS // 10)  # blocks, slots and caches are made
    await settled(guests)
    for _ in range(TRIES):
        before = allocated(), sys.getallocatedblocks()
        await thing(guests, THINGS)
        await settled(guests)
        left.append((allocated() - before[0], sys.getallocatedblocks() - before[1]))
        if left[-1][0] < LEFT and left[-1][1] < PYTHON:
            return
    raise AssertionError(f"of {THINGS} are left, in bytes of malloc's and objects of Python's: {left}")


async def settled(guests: Guests) -> None:
    """Until all that is over is freed."""
    runtime = guests.sandbox.runtime
    async with asyncio.timeout(60):
        while await runtime.workers.freed():
            pass
    runtime.ended.free()
    runtime.spares.drop()
