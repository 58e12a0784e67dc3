"""The clock that ends slices, as guests that never give way by themselves see it."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import build_library
import pytest
import wat
from sandbox_kit import ROOT, FakeHost, Sandbox

from aerofn.errors import HostError
from aerofn.model import Limits, Outcome
from aerofn.runtime import Component, Runtime
from aerofn.runtime import sandbox as sandbox_c
from aerofn.runtime.fiber import Fiber
from aerofn.runtime.sandbox import OVER
from aerofn.runtime.ticker import Ticker
from aerofn.runtime.workers import Workers

IDLE_TICKS = 20  # as in ticker.c
NATIVE = ROOT / "aerofn" / "runtime" / "native"
FDS = Path("/dev/fd")
TASKS = Path("/proc/self/task")
GONE = 0.001  # a slice (ms) so short that an idle ticker parks within two milliseconds
on_linux = pytest.mark.skipif(not TASKS.exists(), reason="Linux alone tells of its threads")


class Clocked:
    """A runtime's tiers without its threads: the ticker is the test's to start, or another in its place."""

    def __init__(self, runtime: Runtime) -> None:
        self._own = Sandbox(runtime)
        self._tiers = runtime._tiers
        self._fibers: list[Fiber] = []
        self.ticker = self._tiers.ticker
        self.started = False

    def start(self) -> Ticker:
        self.ticker.start()
        self.started = True
        return self.ticker

    def start_another(self) -> Ticker:
        """One that is told of guests whose slices it does not end: `tick` does."""
        self.ticker = self._tiers.warm.ticker = self._tiers.cold.ticker = Ticker(slice_ms=1)
        return self.start()

    async def fiber(self, wasm: bytes, event: bytes) -> Fiber:
        component: Component = await self._own.load(wasm)
        assert component.tier.take()
        fiber = Fiber(component, component.tier, Limits())
        fiber.begin(event, FakeHost())
        self._fibers.append(fiber)
        return fiber

    def tick(self) -> None:
        for tier in (self._tiers.warm, self._tiers.cold):
            tier.engine.increment_epoch()

    async def within(self, seconds: float, ending: "asyncio.Future[int]") -> int:
        """What `ending` says; a guest that no tick ends is let go, for the test to fail and not to hang."""
        done, _ = await asyncio.wait([ending], timeout=seconds)
        while not ending.done():
            self.tick()
            await asyncio.sleep(0.001)
        assert done, "no tick came"
        return ending.result()

    def close(self) -> None:
        for fiber in self._fibers:
            fiber.release()
        if self.started:
            self.ticker.stop()


Make = Callable[..., Awaitable[Clocked]]


@pytest.fixture
async def clocked(make_runtime: Callable[..., Awaitable[Runtime]]) -> AsyncIterator[Make]:
    made: list[Clocked] = []

    async def make(slice_ms: float = 1) -> Clocked:
        made.append(Clocked(await make_runtime(slice_ms=slice_ms)))
        return made[-1]

    yield make
    for one in made:
        one.close()


async def when_it_stands_still(ticker: Ticker) -> int:
    """Its ticks when none has come for half a second."""
    for _ in range(120):
        before = ticker.ticks
        await asyncio.sleep(0.5)
        if ticker.ticks == before:
            return before
    raise AssertionError("it does not park")


async def until_ticks(ticker: Ticker, number: int) -> None:
    async with asyncio.timeout(60):
        while ticker.ticks < number:
            await asyncio.sleep(0.001)


async def test_it_parks_when_no_guest_runs(clocked: Make) -> None:
    assert await when_it_stands_still((await clocked()).start()) == IDLE_TICKS + 1


async def test_a_guest_wakes_it_and_it_parks_again(clocked: Make) -> None:
    own = await clocked()
    ticker, fiber = own.start(), await own.fiber(wat.component(), b"{}")
    parked = await when_it_stands_still(ticker)
    assert fiber.advance() == OVER
    # the first of them sees that a guest was there
    assert await when_it_stands_still(ticker) >= parked + 1 + IDLE_TICKS + 1


async def test_it_goes_on_as_long_as_guests_come(clocked: Make, c_wasm: bytes) -> None:
    own = await clocked()
    ticker, fiber = own.start(), await own.fiber(c_wasm, b"s")
    for _ in range(3 * IDLE_TICKS):
        before = ticker.ticks
        assert await own.within(30, asyncio.ensure_future(asyncio.to_thread(fiber.advance))) == 0
        assert ticker.ticks > before


async def test_it_ends_the_slice_of_who_comes_when_it_is_parked(clocked: Make, c_wasm: bytes) -> None:
    own = await clocked()
    ticker, fiber = own.start(), await own.fiber(c_wasm, b"s")
    await when_it_stands_still(ticker)
    assert await own.within(30, asyncio.ensure_future(asyncio.to_thread(fiber.advance))) == 0


async def test_it_ticks_as_long_as_a_thread_of_the_pool_is_at_a_guest(clocked: Make, c_wasm: bytes) -> None:
    """In one slice, which nothing else tells it of: nobody else would stop that guest."""
    own = await clocked()
    ticker, fiber = own.start_another(), await own.fiber(c_wasm, b"s")
    parked = await when_it_stands_still(ticker)
    threads = Workers(1, asyncio.get_running_loop())
    advancing = asyncio.ensure_future(threads.advance("spinner", fiber))
    try:
        await until_ticks(ticker, parked + 10 * IDLE_TICKS)
        assert not advancing.done()
    finally:
        own.tick()
        assert await own.within(30, advancing) == 0
        threads.close()
    await when_it_stands_still(ticker)


async def test_it_ticks_as_long_as_the_loops_thread_is_at_a_guest(clocked: Make, c_wasm: bytes) -> None:
    own = await clocked()
    ticker, fiber = own.start_another(), await own.fiber(c_wasm, b"s")
    parked = await when_it_stands_still(ticker)

    def let_go() -> None:
        while ticker.ticks < parked + 10 * IDLE_TICKS and time.monotonic() < latest:
            time.sleep(0.001)
        reached.append(ticker.ticks)
        while not over.wait(0.001):
            own.tick()

    reached, over, latest = list[int](), threading.Event(), time.monotonic() + 60
    helper = threading.Thread(target=let_go)
    helper.start()
    assert fiber.advance() == 0
    over.set()
    helper.join()
    assert reached[0] >= parked + 10 * IDLE_TICKS


HAMMER = r"""
#define _POSIX_C_SOURCE 200809L
#include <time.h>
#define nanosleep(slice, rest) ((void)(slice), 0) /* it parks within a microsecond */
#include "ticker.c"
#include <stdio.h>

enum { ROUNDS = 50000 };
struct wasmtime api;

/* Advance a guest for two ticks; false if there are none. */
static bool advanced(struct ticker *ticker)
{
    ticker_enter(ticker);
    uint64_t first = aerofn_ticker_ticks(ticker);
    time_t latest = time(NULL) + 20;
    while (aerofn_ticker_ticks(ticker) < first + 2)
        if (time(NULL) > latest)
            return false;
    ticker_leave(ticker);
    return true;
}

int main(void)
{
    struct ticker *ticker = aerofn_ticker_new(1);
    volatile unsigned spins;
    bool seen = aerofn_ticker_start(ticker);
    for (unsigned i = 0; seen && i < ROUNDS; i++) {
        seen = advanced(ticker);
        for (spins = (unsigned)rand() % 4096; spins; spins--)
            ;
    }
    aerofn_ticker_stop(ticker);
    aerofn_ticker_free(ticker);
    puts(seen ? "seen" : "overlooked");
}
"""


def test_who_comes_in_the_moment_it_parks_is_not_overlooked(tmp_path: Path) -> None:
    """That takes nanoseconds, and only C without the pauses between ticks comes as near to it."""
    source, program = tmp_path / "hammer.c", tmp_path / "hammer"
    source.write_text(HAMMER)
    command = [*(build_library.compiler() or []), "-std=c11", "-O2", "-pthread", f"-I{NATIVE}", str(source)]
    subprocess.run([*command, str(NATIVE / "thread.c"), "-o", str(program)], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=200)
    assert (done.returncode, done.stdout) == (0, "seen\n"), done.stderr


def test_its_end_in_the_moment_it_parks_is_not_overlooked() -> None:
    ended = 0

    def hammer() -> None:
        nonlocal ended
        for _ in range(500):
            ticker = Ticker(GONE)
            ticker.start()
            while ticker.ticks <= IDLE_TICKS:
                pass
            ticker.stop()
            ended += 1

    thread = threading.Thread(target=hammer, daemon=True)
    thread.start()
    thread.join(120)
    assert ended == 500


@pytest.mark.parametrize("parked", [False, True])
async def test_nothing_ticks_once_it_is_stopped(parked: bool) -> None:
    ticker = Ticker(slice_ms=5 if parked else 200)
    ticker.start()
    if parked:
        await when_it_stands_still(ticker)
    else:
        await until_ticks(ticker, 1)
    ticker.stop()
    last = ticker.ticks
    await asyncio.sleep(0.5)
    assert ticker.ticks == last


@on_linux
async def test_its_thread_sleeps_takes_no_signals_and_ends() -> None:
    before, mask = _threads(), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    ticker = Ticker(slice_ms=1)
    ticker.start()
    (thread,) = _threads() - before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
    await when_it_stands_still(ticker)
    woken = _status(thread, "voluntary_ctxt_switches")
    await asyncio.sleep(0.5)
    assert _status(thread, "voluntary_ctxt_switches") == woken
    assert _taken(thread) == {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGABRT"}
    ticker.stop()
    async with asyncio.timeout(10):  # /proc may be a moment late
        while thread in _threads():
            await asyncio.sleep(0.001)


def _threads() -> set[str]:
    return {path.name for path in TASKS.iterdir()}


def _status(thread: str, name: str) -> str:
    lines = (TASKS / thread / "status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


def _taken(thread: str) -> set[str]:
    """The names of the signals that it does not block; nobody can block SIGKILL and SIGSTOP."""
    blocked = int(_status(thread, "SigBlk"), 16)
    free = {number for number in signal.valid_signals() if not blocked >> (number - 1) & 1}
    return {signal.Signals(number).name for number in free - {signal.SIGKILL, signal.SIGSTOP}}


NO_ROOM = """
import resource
from aerofn.errors import HostError
from aerofn.runtime.ticker import Ticker
ticker = Ticker(1)
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (1 << 20, hard))
try:
    ticker.start()
except HostError:
    refused = True
resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
assert refused
ticker.start()
while not ticker.ticks:
    pass
ticker.stop()
print("ticked")
"""


@on_linux
def test_without_a_thread_it_can_be_started_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "ticked\n"), done.stderr


async def test_a_run_for_which_there_is_no_ticker_fails_and_the_next_one_tries_again(
    make_runtime: Callable[..., Awaitable[Runtime]], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Sandbox(await make_runtime())
    guest = await own.load(wat.component())
    descriptors = set(FDS.iterdir())
    with monkeypatch.context() as scarce:
        scarce.setattr(sandbox_c, "ticker_start", lambda _: False)
        with pytest.raises(HostError):
            await own.run(guest)
    assert set(FDS.iterdir()) == descriptors
    assert (await own.run(guest)).outcome is Outcome.SUCCESS


LEFT = """
import gc
from aerofn.runtime.tier import Tiers
tiers = Tiers(2, 1)
ticker = tiers.ticker
ticker.start()
del tiers
gc.collect()
while ticker.ticks < 5:
    pass
print("ticked")
"""


def test_one_that_nobody_stops_does_no_harm() -> None:
    """Its engines stay while it ticks, in whatever order Python lets go of them, at its end too."""
    environment = {**os.environ, "MALLOC_PERTURB_": "165"}  # glibc overwrites what is freed
    done = subprocess.run(
        [sys.executable, "-c", LEFT], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "ticked\n"), done.stderr


async def test_it_has_two_engines_at_the_most(clocked: Make) -> None:
    own = await clocked()
    with pytest.raises(ValueError, match="two engines"):
        own.ticker.add(own._tiers.cold.engine_at)
