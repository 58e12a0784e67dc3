"""A sandbox whose guest has come to its end is freed a moment later, and is in nobody's way meanwhile."""

import asyncio

import wat
from sandbox_kit import Sandbox, no_fetch

from aerofn.model import Limits, Outcome
from aerofn.runtime.fiber import Fiber


async def test_it_is_freed_in_the_next_pass_or_by_who_needs_its_place(make_runtime, monkeypatch):
    freed, release = [], Fiber.release
    monkeypatch.setattr(Fiber, "release", lambda fiber: (freed.append(fiber), release(fiber)))
    own = Sandbox(await make_runtime(max_instances=1))
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
    freed, release = [], Fiber.release
    monkeypatch.setattr(Fiber, "release", lambda fiber: (freed.append(fiber), release(fiber)))
    own = Sandbox(await make_runtime())
    assert (await own.run(wat.component())).outcome is Outcome.SUCCESS
    await own.runtime.close()
    assert len(freed) == 1
