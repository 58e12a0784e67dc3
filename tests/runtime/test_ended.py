"""A sandbox whose guest has come to its end is freed a moment later, and is in nobody's way meanwhile."""

import asyncio

import wat
from sandbox_kit import Sandbox, no_fetch

from aerofn.model import Limits, Outcome
from aerofn.runtime.fiber import Fiber


def noted(own, monkeypatch):
    """Those of this runtime that are freed: of another one of this process, spares may be, a second after its tests."""
    freed, release = [], Fiber.release

    def note(fiber):
        if fiber._tier in (own.runtime._tiers.cold, own.runtime._tiers.warm):
            freed.append(fiber)
        release(fiber)

    monkeypatch.setattr(Fiber, "release", note)
    return freed


async def test_it_is_freed_in_the_next_pass_or_by_who_needs_its_place(make_runtime, monkeypatch):
    own = Sandbox(await make_runtime(max_instances=1))
    freed = noted(own, monkeypatch)
    assert (await own.run(wat.component())).outcome is Outcome.SUCCESS
    await asyncio.sleep(0)
    assert len(freed) == 1
    guest = await own.runtime.load(await own.runtime.prepare(wat.component()), no_fetch)
    for before in (1, 2, 3):  # without a pass of the loop between them
        assert (await own.run(guest)).outcome is Outcome.SUCCESS
        assert len(freed) == before
    own.runtime.make_ready(guest, Limits())
    await own.runtime.close()
    assert len(freed) >= 4


async def test_closing_frees_it(make_runtime, monkeypatch):
    own = Sandbox(await make_runtime())
    freed = noted(own, monkeypatch)
    assert (await own.run(wat.component())).outcome is Outcome.SUCCESS
    await own.runtime.close()
    assert len(freed) == 1
