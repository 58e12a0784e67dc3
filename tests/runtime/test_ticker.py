"""The clock that ends slices, as guests that never give way by themselves see it."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import wat
from sandbox_kit import IDLE_TICKS, FakeHost, Sandbox, until_ticks, when_it_stands_still

from aerofn.errors import HostError
from aerofn.model import Limits, Outcome
from aerofn.runtime import Component, Runtime
from aerofn.runtime import sandbox as sandbox_c
from aerofn.runtime.fiber import Fiber
from aerofn.runtime.sandbox import OVER
from aerofn.runtime.ticker import Ticker
from aerofn.runtime.workers import Workers

FDS = Path("/dev/fd")


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


async def test_it_parks_when_no_guest_runs(clocked: Make) -> None:
    assert await when_it_stands_still((await clocked()).start()) == IDLE_TICKS + 1


async def test_a_guest_wakes_it_and_it_parks_again(clocked: Make) -> None:
    own = await clocked()
    ticker, fiber = own.start(), await own.fiber(wat.component(), b"{}")
    parked = await when_it_stands_still(ticker)
    while fiber.advance() != OVER:  # a slice of a millisecond may be over first
        pass
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


async def test_it_has_three_engines_at_the_most(clocked: Make) -> None:
    own = await clocked()
    with pytest.raises(ValueError, match="three engines"):
        own.ticker.add(own._tiers.cold.engine_at)
