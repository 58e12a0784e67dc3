"""Cancellation, at any moment, kills the guest, cleans up, and is the caller's own CancelledError."""

import asyncio

import pytest
import wat
from sandbox_kit import FakeHost, Sandbox, do

from aerofn.errors import HostError
from aerofn.model import Limits, Outcome
from aerofn.runtime import Component, fiber


def guests_inside() -> int:
    return len(fiber.running)


async def _gone() -> None:
    """Until what workers still release is released: fails by its timeout if that never happens."""
    async with asyncio.timeout(60):
        while guests_inside():
            await asyncio.sleep(0.001)


async def test_cancelling_during_a_host_call(sandbox: Sandbox, js_guest: Component) -> None:
    host = FakeHost()
    host.gate = asyncio.Event()
    running = asyncio.create_task(sandbox.run(js_guest, do("query"), host))
    await host.asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await _gone()


async def test_cancelling_a_guest_that_waits(sandbox: Sandbox) -> None:
    running = asyncio.create_task(sandbox.run(wat.waiter(3_600_000_000_000)))
    while not guests_inside():
        await asyncio.sleep(0.001)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await _gone()


@pytest.mark.parametrize("passes", [1, 2, 5, 50])
async def test_cancelling_a_spinning_guest_after_some_passes_of_the_loop(
    sandbox: Sandbox, c_guest: Component, passes: int
) -> None:
    running = [asyncio.create_task(sandbox.run(c_guest, b"s")) for _ in range(5)]
    for _ in range(passes):
        await asyncio.sleep(0)
    for task in running:
        task.cancel()
    results = await asyncio.gather(*running, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    await _gone()


async def test_cancelling_twice_still_waits_for_the_thread(sandbox: Sandbox, c_guest: Component) -> None:
    running = asyncio.create_task(sandbox.run(c_guest, b"s"))
    while sandbox.runtime.busy_workers == 0:
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await _gone()


async def test_a_callers_own_timeout_is_not_taken_for_ours(sandbox: Sandbox, c_guest: Component) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await sandbox.run(c_guest, b"s", timeout_ms=10_000)


async def test_our_time_limit_does_not_cancel_the_caller(sandbox: Sandbox, c_guest: Component) -> None:
    async def caller() -> Outcome:
        run = await sandbox.run(c_guest, b"s", timeout_ms=50)
        await asyncio.sleep(0)  # would raise if the cancellation were still pending
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        return run.outcome

    assert await asyncio.create_task(caller()) is Outcome.TIMEOUT


async def test_a_closed_runtime_refuses_and_closes_again(make_runtime, js_wasm: bytes) -> None:  # type: ignore[no-untyped-def]
    runtime = await make_runtime()
    own = Sandbox(runtime)
    component = await own.load(wat.component())
    assert (await own.run(component)).outcome is Outcome.SUCCESS
    await runtime.close()
    await runtime.close()
    with pytest.raises(HostError):
        await runtime.run(component, b"", FakeHost(), Limits())
