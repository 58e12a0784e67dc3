"""Where a function runs often, threads free what was used and make the next sandbox in its place."""

import asyncio
import math

import pytest
import wat
from sandbox_kit import Sandbox, do

from aerofn.model import Outcome
from aerofn.runtime import spare
from aerofn.runtime.components import HOT
from aerofn.runtime.fiber import Fiber, running
from aerofn.runtime.workers import Workers

EARLY = {
    "logs": wat.logs_early(),
    "traps": wat.component(fields="(func $begin unreachable) (start $begin)"),
}
pytestmark = pytest.mark.usefixtures("often")


@pytest.fixture
def often(monkeypatch):
    """Every run makes another of its component likely; two cores, whatever machine this is."""
    monkeypatch.setattr(spare, "OFTEN_S", math.inf)
    monkeypatch.setattr("aerofn.runtime.runtime._cores", lambda: 2)


@pytest.fixture
def renewed(monkeypatch):
    """Those that the threads had."""
    fibers, forget = [], Fiber.forget
    monkeypatch.setattr(Fiber, "forget", lambda fiber: (fibers.append(fiber), forget(fiber)))
    return fibers


async def settled(own: Sandbox) -> None:
    """Wait until no thread has one any more, and none waits for a thread."""
    async with asyncio.timeout(30):
        while own.runtime.spares._coming or own.runtime.spares._used:
            await asyncio.sleep(0.001)
            own.runtime.workers.take_back()


async def test_each_run_has_one_that_nobody_had(make_runtime, js_wasm, renewed):
    own = Sandbox(await make_runtime())
    guest = await own.load(js_wasm)
    for _ in range(60):
        assert (await own.run(guest, do("visits"))).output == b'{"visits":1}'
    assert len(renewed) >= spare.MOST
    await settled(own)
    assert 0 < len(own.runtime.spares) <= spare.MOST


async def test_many_at_once_and_several_functions(make_runtime, js_wasm, c_wasm, renewed, monkeypatch):
    monkeypatch.setattr(Workers, "open_to_short", False)  # all on the loop
    own = Sandbox(await make_runtime())
    guests = [(await own.load(js_wasm), do("visits")), (await own.load(c_wasm), b"h")]
    for _ in range(10):
        runs = await asyncio.gather(*(own.run(*guests[n % 2]) for n in range(30)))
        assert {run.output for run in runs} == {b'{"visits":1}', b'"hello from C"'}
    assert {fiber.component for fiber in renewed} == {guest for guest, _ in guests}
    await settled(own)
    assert len(own.runtime.spares) <= spare.MOST


async def test_what_ends_a_run_ends_one_in_a_renewed_sandbox(make_runtime, js_wasm, renewed):
    own = Sandbox(await make_runtime())
    guest = await own.load(js_wasm)
    for _ in range(3 * spare.BATCH):
        await own.run(guest, do("visits"))
    await settled(own)
    assert renewed
    assert (await own.run(guest, do("spin"), timeout_ms=100)).outcome is Outcome.TIMEOUT
    assert (await own.run(guest, do("throw"))).outcome is Outcome.FUNCTION_ERROR
    assert (await own.run(guest, do("bomb"), memory_mb=32)).outcome is Outcome.MEMORY_LIMIT
    assert (await own.run(guest, do("visits"))).output == b'{"visits":1}'


@pytest.mark.parametrize("early", ["logs", "traps"])
async def test_a_guest_that_cannot_be_made_ahead_is_tried_once(make_runtime, renewed, early, monkeypatch):
    """Its runs are what they were, and no thread keeps it."""
    monkeypatch.setattr(spare, "BATCH_S", 3600.0)  # all of the first batch are handed over together
    own = Sandbox(await make_runtime(worker_threads=1))
    guest = await own.load(EARLY[early])
    outcome = Outcome.TRAP if early == "traps" else Outcome.SUCCESS
    for _ in range(spare.BATCH):
        assert (await own.run(guest)).outcome is outcome
    await settled(own)
    assert len(renewed) == spare.BATCH
    assert not len(own.runtime.spares)
    for _ in range(2 * spare.BATCH):
        assert (await own.run(guest)).outcome is outcome
    assert len(renewed) == spare.BATCH
    other = await own.load(wat.component())
    other.heat = HOT  # on the thread
    assert (await own.run(other)).outcome is Outcome.SUCCESS


async def test_they_keep_nobody_out(make_runtime, c_wasm, renewed, monkeypatch):
    """Not those that are there, nor those that a thread has or will have after a long slice of somebody else's."""
    own = Sandbox(await make_runtime(max_instances=2, worker_threads=1, slice_ms=100))
    spinner, one, other = [await own.load(wasm) for wasm in (c_wasm, wat.component(), wat.component("(nop)"))]
    for batch in (1, spare.BATCH):
        monkeypatch.setattr(spare, "BATCH", batch)
        spinner.heat = HOT
        spinning = asyncio.create_task(own.run(spinner, b"s", timeout_ms=60_000))
        for _ in range(3):
            for guest in (one, other):
                assert (await own.run(guest)).outcome is Outcome.SUCCESS
        spinning.cancel()
        await asyncio.wait([spinning])
    assert {fiber.component for fiber in renewed} == {one, other}


async def test_what_nobody_needs_is_freed(make_runtime, c_wasm, renewed, monkeypatch):
    monkeypatch.setattr(spare, "LONGEST_S", 0.01)
    own = Sandbox(await make_runtime())
    guest = await own.load(c_wasm)
    for _ in range(spare.BATCH - 1):  # fewer than threads are woken for at once
        assert (await own.run(guest, b"h")).outcome is Outcome.SUCCESS
    assert renewed
    async with asyncio.timeout(30):
        while len(own.runtime.spares):
            await asyncio.sleep(0.001)
    assert not any(running.get(fiber.address) is fiber for fiber in renewed)


@pytest.mark.parametrize("runs", [1, spare.BATCH, 2 * spare.BATCH + 1])
async def test_closing_frees_all(make_runtime, c_wasm, renewed, runs):
    own = Sandbox(await make_runtime())
    guest = await own.load(c_wasm)
    for _ in range(runs):
        assert (await own.run(guest, b"h")).outcome is Outcome.SUCCESS
    await own.runtime.close()
    assert renewed
    assert not len(own.runtime.spares)
    assert not any(running.get(fiber.address) is fiber for fiber in renewed)


async def test_on_one_core_the_loop_does_it(make_runtime, c_wasm, renewed, monkeypatch):
    monkeypatch.setattr("aerofn.runtime.runtime._cores", lambda: 1)
    own = Sandbox(await make_runtime())
    for _ in range(2 * spare.BATCH):
        assert (await own.run(c_wasm, b"h")).outcome is Outcome.SUCCESS
    assert not renewed
