"""The engine without addresses for its pool; tiers of sandboxes when they are full; what computes for long."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable

import wat
from sandbox_kit import FakeHost, Sandbox, do

from aerofn.model import Outcome, Run
from aerofn.runtime import Component, Runtime
from aerofn.runtime.components import HOT
from aerofn.runtime.tier import WARM_SLOTS

Make = Callable[..., Awaitable[Runtime]]

THREE = """
import sys
from pathlib import Path
from aerofn.runtime import Runtime, RuntimeConfig
kept = [Runtime(RuntimeConfig(cache_dir=Path(sys.argv[1]), max_instances=10_000)) for _ in range(3)]
print(len(kept))
"""


def test_no_room_for_another_pool_is_a_warning_and_not_the_end(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", THREE, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "3"), ended.stderr
    assert "mapping on demand" in ended.stderr


async def _crowd(runtime: Runtime, wasm: bytes, event: bytes, count: int) -> list[Outcome]:
    """The outcomes of `count` runs, all of them in flight before the first may end."""
    own = Sandbox(runtime)
    guest = await own.load(wasm)
    gate, hosts = asyncio.Event(), [FakeHost() for _ in range(count)]
    running = []
    for host in hosts:
        host.gate = gate
        running.append(asyncio.create_task(own.run(guest, event, host)))
    await asyncio.gather(*map(_begun, hosts, running))
    gate.set()
    return [run.outcome for run in await asyncio.gather(*running)]


async def _begun(host: FakeHost, run: "asyncio.Task[Run]") -> None:
    """Wait until a run has asked its host, or was refused: a few begin at a time."""
    asked = asyncio.create_task(host.asked.wait())
    await asyncio.wait({asked, run}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()


async def test_a_crowd_of_heavy_guests_runs_in_both_tiers_and_the_next_one_again(
    make_runtime: Make, js_wasm: bytes
) -> None:
    runtime = await make_runtime(max_instances=3 * WARM_SLOTS)
    for _ in range(3):
        assert set(await _crowd(runtime, js_wasm, do("query"), 3 * WARM_SLOTS)) == {Outcome.SUCCESS}


async def test_without_a_free_sandbox_a_run_is_refused_and_the_others_go_on(
    make_runtime: Make, js_wasm: bytes, c_wasm: bytes
) -> None:
    runtime = await make_runtime(max_instances=4)  # and as many warm ones, for heavy guests
    for wasm, event, places in ((c_wasm, b"q", 4), (js_wasm, do("query"), 8)):
        outcomes = await _crowd(runtime, wasm, event, places + 1)
        assert outcomes == [Outcome.SUCCESS] * places + [Outcome.HOST_ERROR]
        assert set(await _crowd(runtime, wasm, event, places)) == {Outcome.SUCCESS}


async def test_who_finds_every_sandbox_taken_waits_for_those_that_are_being_freed(
    make_runtime: Make, c_wasm: bytes
) -> None:
    runtime = await make_runtime(max_instances=2, worker_threads=1, slice_ms=200)
    own = Sandbox(runtime)
    spinner, other = await own.load(c_wasm), await own.load(wat.component())
    spinner.heat = other.heat = 10 * HOT  # both on the only thread, the other's release after a whole slice
    spinning = asyncio.create_task(own.run(spinner, b"s", timeout_ms=60_000))
    for _ in range(5):
        assert (await own.run(other)).outcome is Outcome.SUCCESS
    spinning.cancel()
    await asyncio.wait([spinning])


async def test_a_function_that_computed_long_and_no_longer_does_runs_on_the_loop_again(
    sandbox: Sandbox, js_guest: Component
) -> None:
    """What began on worker threads once must not do so for ever: each hand-over costs more than a short run."""
    for _ in range(HOT):
        assert (await sandbox.run(js_guest, do("spin"), timeout_ms=100)).outcome is Outcome.TIMEOUT
    assert js_guest.heat >= HOT
    for _ in range(100):
        await sandbox.run(js_guest, do("greet"))
    assert js_guest.heat == 0
