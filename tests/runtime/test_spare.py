"""A sandbox made ahead of its run: as fresh as any, for nobody else, and gone soon when it is not needed."""

import asyncio

import pytest
import wat
from sandbox_kit import Sandbox, do, no_fetch

from aerofn.model import Limits, Outcome
from aerofn.runtime import Component, Runtime, spare

LIMITS = Limits()


@pytest.fixture(autouse=True)
def seldom(monkeypatch):
    """No run makes another likely, but where a test says so."""
    monkeypatch.setattr(spare, "OFTEN_S", 0)


def ready(own: Sandbox) -> list[Component]:
    """What there are sandboxes for."""
    return [fiber.component for fiber in own.runtime.spares._ready]


async def running(make_runtime, **settings: int) -> Sandbox:
    """A runtime of one's own that has run before: only such a one makes sandboxes ahead."""
    own = Sandbox(await make_runtime(**settings))
    assert (await own.run(wat.component())).outcome is Outcome.SUCCESS
    return own


async def make_ready(own: Sandbox, guest: Component) -> None:
    """Have one made, in the first pass of the loop that has time for it."""
    async with asyncio.timeout(30):
        while not ready(own):
            await asyncio.sleep(0)
            own.runtime.make_ready(guest, LIMITS)
    assert ready(own) == [guest]


async def loaded(own: Sandbox, wasm: bytes) -> Component:
    return await own.runtime.load(await own.runtime.prepare(wasm), no_fetch)


async def test_each_is_used_once_and_is_as_fresh_as_any(make_runtime, js_wasm):
    own = await running(make_runtime)
    guest = await loaded(own, js_wasm)
    for _ in range(3):
        await make_ready(own, guest)
        assert (await own.run(guest, do("visits"))).output == b'{"visits":1}'
        assert not ready(own)
        assert (await own.run(guest, do("visits"))).output == b'{"visits":1}'  # without one, as always
    # What ends a run ends this one too.
    await make_ready(own, guest)
    assert (await own.run(guest, do("spin"), timeout_ms=50)).outcome is Outcome.TIMEOUT


async def test_no_other_component_or_memory_limit_gets_it_and_it_keeps_nobody_out(make_runtime):
    own = await running(make_runtime, max_instances=1)
    one, other = await loaded(own, wat.component()), await loaded(own, wat.component("(nop)"))
    for guest, limits in ((other, {}), (one, {"memory_mb": 64})):
        await make_ready(own, one)
        # It has the only place, and gives it up.
        assert (await own.run(guest, **limits)).outcome is Outcome.SUCCESS
        assert not ready(own)
    await make_ready(own, one)
    assert (await own.run(one)).outcome is Outcome.SUCCESS


async def test_one_that_is_not_needed_is_freed(make_runtime, monkeypatch):
    monkeypatch.setattr(spare, "LONGEST_S", 0.01)
    own = await running(make_runtime)
    await make_ready(own, await loaded(own, wat.component()))
    async with asyncio.timeout(60):
        while ready(own):
            await asyncio.sleep(0.01)
    monkeypatch.undo()
    await make_ready(own, await loaded(own, wat.component()))
    await own.runtime.close()  # with one there
    assert not ready(own)


@pytest.mark.parametrize(
    "wasm",
    [
        wat.component(fields=wat.STARTS_SPINNING),
        wat.logs_early(),
    ],
    ids=["spins", "logs"],
)
async def test_a_guest_that_does_something_when_it_is_instantiated_waits_for_its_host(make_runtime, wasm):
    own = await running(make_runtime)
    guest = await loaded(own, wasm)
    for _ in range(20):
        await asyncio.sleep(0)
        own.runtime.make_ready(guest, LIMITS)
        assert not ready(own)
    run = await own.run(guest, timeout_ms=200)
    assert run.outcome in (Outcome.SUCCESS, Outcome.TIMEOUT)


async def test_none_is_made_before_anything_ran(make_runtime):
    runtime: Runtime = await make_runtime()
    guest = await runtime.load(await runtime.prepare(wat.component()), no_fetch)
    runtime.make_ready(guest, LIMITS)  # there is no loop to make it on yet
    assert (await Sandbox(runtime).run(guest)).outcome is Outcome.SUCCESS
