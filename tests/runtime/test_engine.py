"""The engine in a process that has no addresses left for its pool."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable

from sandbox_kit import GUESTS, FakeHost, Sandbox

from aerofn.model import Outcome
from aerofn.runtime import Runtime
from aerofn.runtime.tier import WARM_SLOTS

GUEST = GUESTS / "c" / "hostile.wasm"
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


async def _crowd(runtime: Runtime, count: int) -> list[Outcome]:
    """The outcomes of `count` runs, all of them in flight before the first may end."""
    own = Sandbox(runtime)
    guest = await own.load(GUEST.read_bytes())
    gate, hosts = asyncio.Event(), [FakeHost() for _ in range(count)]
    running = []
    for host in hosts:
        host.gate = gate
        running.append(asyncio.create_task(own.run(guest, b"q", host)))
    for host in hosts[: runtime.config.max_instances]:
        await host.asked.wait()
    gate.set()
    return [run.outcome for run in await asyncio.gather(*running)]


async def test_a_crowd_runs_in_the_second_tier_and_the_next_one_again(make_runtime: Make) -> None:
    runtime = await make_runtime(max_instances=3 * WARM_SLOTS)
    for _ in range(3):
        assert set(await _crowd(runtime, 3 * WARM_SLOTS)) == {Outcome.SUCCESS}


async def test_without_a_free_sandbox_a_run_is_refused_and_the_others_go_on(make_runtime: Make) -> None:
    runtime = await make_runtime(max_instances=4)  # and as many warm ones
    outcomes = await _crowd(runtime, 9)
    assert outcomes == [Outcome.SUCCESS] * 8 + [Outcome.HOST_ERROR]
    assert set(await _crowd(runtime, 8)) == {Outcome.SUCCESS}
