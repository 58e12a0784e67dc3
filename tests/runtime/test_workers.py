"""Worker threads: functions take turns, whatever one of them floods; who gives up has no turn."""

import asyncio
import ctypes
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import wat
from sandbox_kit import FakeHost, Sandbox, do

from aerofn.errors import HostError
from aerofn.model import Limits, Outcome
from aerofn.runtime import Component, Runtime, workers
from aerofn.runtime import sandbox as sandbox_c
from aerofn.runtime.fiber import Fiber, running
from aerofn.runtime.sandbox import OVER
from aerofn.runtime.tier import Tier
from aerofn.runtime.workers import Workers

FDS = Path("/dev/fd")
FLOOD = 40
HELD = 2  # runs that one thread has in hand: the one it is at, and the next


def short() -> None:
    """A short slice is over."""


class Held:
    """One worker, kept busy by a guest that spins until `let_go`, and the order of what ends after it."""

    def __init__(self, runtime: Runtime, spinner: Component, other: Component) -> None:
        self.workers = Workers(1, asyncio.get_running_loop())
        self.ended: list[str] = []
        self.closed = False
        self.fibers: list[Fiber] = []
        self._other = other
        self._warm = runtime._tiers.warm  # the spinners': its clock ends their slices and nobody else's
        self._spinners = [self.fiber(spinner, b"s", self._warm) for _ in range(HELD)]
        self._spinning = [
            asyncio.create_task(self.workers.advance("spinner", fiber)) for fiber in self._spinners
        ]

    def fiber(
        self, component: Component | None = None, event: bytes = b"{}", tier: Tier | None = None
    ) -> Fiber:
        component = component or self._other
        tier = tier or component.tier
        assert tier.take()
        fiber = Fiber(component, tier, Limits())
        fiber.begin(event, FakeHost())
        self.fibers.append(fiber)
        return fiber

    def start(self, owner: str) -> "asyncio.Task[None]":
        """A run of `owner`'s, which is over after one slice."""
        return asyncio.create_task(self._one(owner))

    async def _one(self, owner: str) -> None:
        fiber = self.fiber()
        try:
            assert await self.workers.advance(owner, fiber) == OVER
            self.ended.append(owner)
        finally:
            fiber.release()

    async def let_go(self) -> None:
        """End the spinners' slices: no ticker of the runtime does it."""
        while not all(task.done() for task in self._spinning):
            self._warm.engine.increment_epoch()
            await asyncio.sleep(0.001)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            for fiber in self._spinners:
                self.workers.release(fiber)
            self.workers.close()


@pytest.fixture
async def held(make_runtime: Callable[..., object], c_wasm: bytes) -> AsyncIterator[Held]:
    own = Sandbox(await make_runtime())  # type: ignore[misc]
    held = Held(own.runtime, await own.load(c_wasm), await own.load(wat.component()))
    await asyncio.sleep(0)
    yield held
    await held.let_go()
    held.close()
    assert not any(running.get(fiber.address) is fiber for fiber in held.fibers)


async def test_owners_take_turns(held: Held) -> None:
    waiting = [held.start(owner) for owner in ("flood", "flood", "flood", "other", "other", "third")]
    await asyncio.sleep(0)
    await held.let_go()
    await asyncio.gather(*waiting)
    assert held.ended == ["flood", "other", "third", "flood", "other", "flood"]


async def test_who_gives_up_has_no_turn(held: Held) -> None:
    gone = [held.start("flood") for _ in range(FLOOD)]
    last = held.start("flood")
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.wait(gone)
    await held.let_go()
    await last
    assert held.ended == ["flood"]


async def test_what_is_released_goes_before_all_that_waits(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed, released = held.fiber(), Fiber.released
    watched = {freed: "release"}

    def note(fiber: Fiber) -> None:
        released(fiber)
        held.ended.extend(name for one, name in watched.items() if one is fiber)

    monkeypatch.setattr(Fiber, "released", note)
    waiting = [held.start("flood") for _ in range(3)]
    await asyncio.sleep(0)
    held.workers.release(freed)
    await held.let_go()
    await asyncio.gather(*waiting)
    assert held.ended == ["release", "flood", "flood", "flood"]


async def test_what_takes_long_to_release_is_looked_for_again(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "LATER_S", 0.001)
    fiber = held.fiber()
    await asyncio.sleep(0.05)  # the thread is at its guest then, as a rule
    held.workers.release(fiber)
    await asyncio.sleep(0.05)
    await held.let_go()
    async with asyncio.timeout(60):
        while fiber.address in running:
            await asyncio.sleep(0.001)


async def test_who_waits_for_a_place_is_told_of_it_after_slices_too(
    make_runtime: Callable[..., object], c_wasm: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that makes a sandbox and one that ends a slice meanwhile; each is let go by its own engine's clock."""
    monkeypatch.setattr(workers, "LATER_S", 3600.0)
    own = Sandbox(await make_runtime())  # type: ignore[misc]
    warm, cold = own.runtime._tiers.warm, own.runtime._tiers.cold
    endless = await own.load(wat.component(fields="(func $begin (loop (br 0))) (start $begin)"))
    spinner = await own.load(c_wasm)
    assert warm.take() and cold.take()
    renewed, spinning = Fiber(endless, warm, Limits()), Fiber(spinner, cold, Limits())
    spinning.begin(b"s", FakeHost())
    threads = Workers(2, asyncio.get_running_loop())
    threads.renew(renewed, lambda: None, wake=True)
    sliced = asyncio.create_task(threads.advance("spinner", spinning))
    place = asyncio.create_task(threads.freed())
    async with asyncio.timeout(30):
        for tier, awaited in ((cold, sliced), (warm, place)):
            while not awaited.done():
                tier.engine.increment_epoch()
                await asyncio.sleep(0.001)
    assert place.result()
    for fiber in (renewed, spinning):
        threads.release(fiber)
    threads.close()


async def test_one_waking_is_for_all_short_slices_of_a_pass(
    make_runtime: Callable[..., object], c_wasm: bytes
) -> None:
    """Two threads sleep; the first slice ends only when somebody says so, and the second meanwhile."""
    own = Sandbox(await make_runtime())  # type: ignore[misc]
    cold, spinner, other = own.runtime._tiers.cold, await own.load(c_wasm), await own.load(wat.component())
    threads, fibers = Workers(2, asyncio.get_running_loop()), []
    for component, event in ((spinner, b"s"), (other, b"{}")):
        assert cold.take()
        fibers.append(Fiber(component, cold, Limits()))
        fibers[-1].begin(event, FakeHost())
    async with asyncio.timeout(30):
        spins, ends = (asyncio.create_task(threads.advance("one", fiber, short)) for fiber in fibers)
        assert await ends == OVER
        assert not spins.done()
        while not spins.done():
            cold.engine.increment_epoch()
            await asyncio.sleep(0.001)
    for fiber in fibers:
        threads.release(fiber)
    threads.close()


async def test_a_thread_frees_the_guest_and_what_it_returned_stays(
    make_runtime: Callable[..., object], c_wasm: bytes
) -> None:
    """There is one slot: the second has it while the first is not released."""
    own = Sandbox(await make_runtime(max_instances=1))  # type: ignore[misc]
    tier, guest = own.runtime._tiers.cold, await own.load(c_wasm)
    threads, fibers = Workers(1, asyncio.get_running_loop()), [Fiber(guest, tier, Limits()) for _ in range(2)]
    for fiber in fibers:
        fiber.begin(b"h", FakeHost())
        assert await threads.advance("one", fiber, short) == OVER
    for fiber in fibers:
        seen = fiber.seen()
        assert (fiber.failure(), ctypes.string_at(seen.text, seen.size)) == (None, b'"hello from C"')
        fiber.release()
    threads.close()


async def test_nobody_is_told_of_what_is_renewed(make_runtime: Callable[..., object], c_wasm: bytes) -> None:
    own = Sandbox(await make_runtime())  # type: ignore[misc]
    guest, loop, done = await own.load(c_wasm), asyncio.get_running_loop(), []
    threads = Workers(1, loop)
    loop.remove_reader(threads._look)
    assert guest.tier.take()
    fiber = Fiber(guest, guest.tier, Limits())
    threads.renew(fiber, lambda: done.append(fiber), wake=True)
    async with asyncio.timeout(30):
        while not done:
            await asyncio.sleep(0.001)
            threads.take_back()
    with pytest.raises(BlockingIOError):
        os.read(threads._look, 1)
    fiber.release()
    threads.close()


async def test_a_run_that_outlives_the_threads_does_no_harm(held: Held) -> None:
    fibers = [held.fiber() for _ in range(2)]
    await held.let_go()
    held.close()
    with pytest.raises(HostError):
        await held.workers.advance("late", fibers[0])
    for fiber in fibers:
        held.workers.release(fiber)
    held.workers.take_back()


async def test_without_threads_nothing_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_c, "pool_new", lambda *_: None)
    before = set(FDS.iterdir())
    with pytest.raises(HostError):
        Workers(1, asyncio.get_running_loop())
    assert set(FDS.iterdir()) == before


async def test_a_flood_of_long_guests_leaves_another_function_its_turns(
    sandbox: Sandbox, js_guest: Component
) -> None:
    """The other needs twice the time of one of the flood: first come, first served, all of them would end before it."""
    run, host = sandbox.runtime.run, FakeHost()
    limits = Limits(timeout_ms=120_000)
    warm = await run(js_guest, do("work", rounds=100_000), host, limits)
    rounds = int(100_000 * 25 / max(warm.usage.cpu_ms, 0.1))  # about 25 ms of a processor's time

    async def one(owner: str, factor: int) -> Outcome:
        return (await run(js_guest, do("work", rounds=rounds * factor), host, limits, owner)).outcome

    flood = [asyncio.create_task(one("flood", 1)) for _ in range(FLOOD)]
    other = await one("other", 2)
    ended = sum(task.done() for task in flood)
    assert other is Outcome.SUCCESS
    assert ended < FLOOD / 2
    assert set(await asyncio.gather(*flood)) == {Outcome.SUCCESS}
