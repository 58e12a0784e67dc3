"""Runs that a thread of the pool has from the start, because others are under way."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from sandbox_kit import FakeHost, Sandbox, do

from aerofn.model import Outcome, Run
from aerofn.runtime import Runtime
from aerofn.runtime.backlog import LEAST, MOST, Backlog, Share
from aerofn.runtime.components import HOT
from aerofn.runtime.fiber import Fiber, running
from aerofn.runtime.workers import Workers

Make = Callable[..., Awaitable[Runtime]]
CROWD = 40


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Two, whatever machine this is; a test may say another number."""
    there = [2]
    monkeypatch.setattr("aerofn.runtime.runtime._cores", lambda: there[0])
    return there


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> list[Fiber]:
    """Those whose first slice was a thread's."""
    fibers, advance = [], Workers.advance

    def noting(self: Workers, owner: object, fiber: Fiber, *short: Callable[[], None]) -> Awaitable[int]:
        fibers.extend([fiber] if short else [])
        return advance(self, owner, fiber, *short)

    monkeypatch.setattr(Workers, "advance", noting)
    return fibers


@pytest.fixture
async def own(make_runtime: Make) -> Sandbox:
    """A runtime with the usual limits."""
    return Sandbox(await make_runtime())


async def crowd(own: Sandbox, guest: object, event: bytes, count: int = CROWD, **limits: int) -> list[Run]:
    """So many runs at once, each a task of its own."""
    return list(await asyncio.gather(*(own.run(guest, event, **limits) for _ in range(count))))  # type: ignore[arg-type]


async def test_one_after_another_runs_on_the_loop(
    make_runtime: Make, js_wasm: bytes, away: list[Fiber]
) -> None:
    own = Sandbox(await make_runtime(slice_ms=1000))
    for _ in range(10):
        assert (await own.run(js_wasm, do("visits"))).output == b'{"visits":1}'
        await asyncio.sleep(0)
    assert not away


@pytest.mark.parametrize(("count", "some"), [(1, False), (2, True)])
async def test_those_of_a_crowd_are_the_threads_if_there_are_two_cores(
    make_runtime: Make,
    js_wasm: bytes,
    c_wasm: bytes,
    away: list[Fiber],
    cores: list[int],
    count: int,
    some: bool,
) -> None:
    cores[0] = count
    own = Sandbox(await make_runtime(slice_ms=1000))
    for wasm, event, output in ((js_wasm, do("visits"), b'{"visits":1}'), (c_wasm, b"h", b'"hello from C"')):
        guest, before = await own.load(wasm), len(away)
        assert {run.output for run in await crowd(own, guest, event)} == {output}
        assert (len(away) - before > CROWD / 2) is some


async def test_one_that_waits_for_its_host_begins_on_the_loop_the_next_time(
    make_runtime: Make, js_wasm: bytes, away: list[Fiber]
) -> None:
    own = Sandbox(await make_runtime(slice_ms=1000))  # whatever the machine's other processes take of it
    guest = await own.load(js_wasm)
    for deed, some in (("greet", True), ("query", False), ("query", False), ("greet", True)):
        # the first one, on the loop, tells what the others are taken for
        before = len(away)
        assert {run.outcome for run in await crowd(own, guest, do(deed))} == {Outcome.SUCCESS}
        assert (len(away) > before) is some, deed


async def test_those_that_wait_for_their_host_hold_up_nobody(
    make_runtime: Make, js_wasm: bytes, c_wasm: bytes
) -> None:
    """A share of the threads' time is for the first slice; the others begin while all these wait."""
    own, gate = Sandbox(await make_runtime()), asyncio.Event()
    guest, other = await own.load(js_wasm), await own.load(c_wasm)
    hosts = [FakeHost() for _ in range(CROWD)]
    for host in hosts:
        host.gate = gate
    waiting = [asyncio.create_task(own.run(guest, do("query"), host)) for host in hosts]
    async with asyncio.timeout(30):
        for host in hosts:
            await host.asked.wait()
        assert {run.outcome for run in await crowd(own, other, b"h")} == {Outcome.SUCCESS}
    gate.set()
    assert {run.outcome for run in await asyncio.gather(*waiting)} == {Outcome.SUCCESS}


async def test_what_is_told_of_them_is_what_is_told_of_one_on_the_loop(
    own: Sandbox, js_wasm: bytes, away: list[Fiber]
) -> None:
    guest = await own.load(js_wasm)
    for event in (do("greet"), do("throw"), do("env", key="GREETING"), do("log", times=300)):
        alone, host = await own.run(guest, event), FakeHost()
        beside = [
            asyncio.create_task(own.run(guest, event, host if n == CROWD - 1 else None)) for n in range(CROWD)
        ]
        for run in await asyncio.gather(*beside):
            assert (run.outcome, run.output, run.error) == (alone.outcome, alone.output, alone.error)
            for told in ("memory_peak", "bytes_in", "bytes_out", "host_calls"):
                assert getattr(run.usage, told) == getattr(alone.usage, told), told
            assert run.usage.cpu_ms > 0
        assert away.pop()


async def test_lines_come_in_order_from_each(make_runtime: Make, js_wasm: bytes, away: list[Fiber]) -> None:
    own, hosts = Sandbox(await make_runtime()), [FakeHost() for _ in range(CROWD)]
    guest = await own.load(js_wasm)
    await asyncio.gather(*(own.run(guest, do("log", times=300), host) for host in hosts))
    assert away
    (lines,) = {json.dumps(host.logs) for host in hosts}
    assert len(json.loads(lines)) > 1


async def test_one_that_spins_ends_at_its_limit_and_the_others_succeed(
    own: Sandbox, js_wasm: bytes, away: list[Fiber]
) -> None:
    guest = await own.load(js_wasm)
    spin, greet = (do("spin"), 300), (do("greet"), 60_000)
    plan = [spin if n % 8 == 7 else greet for n in range(CROWD)]
    ended = await asyncio.gather(*(own.run(guest, event, timeout_ms=limit) for event, limit in plan))
    assert {run.outcome for run in ended[7::8]} == {Outcome.TIMEOUT}
    assert {run.outcome for n, run in enumerate(ended) if n % 8 != 7} == {Outcome.SUCCESS}
    assert away


async def test_those_that_spin_in_threads_make_their_component_hot(
    own: Sandbox, js_wasm: bytes, away: list[Fiber]
) -> None:
    """The first one, on the loop, is not enough for that."""
    guest = await own.load(js_wasm)
    spinning = [asyncio.create_task(own.run(guest, do("spin"), timeout_ms=900_000)) for _ in range(CROWD)]
    async with asyncio.timeout(60):
        while guest.heat < HOT:
            await asyncio.sleep(0.001)
    assert away
    for run in spinning:
        run.cancel()
    await asyncio.wait(spinning)


async def test_traps_and_too_much_memory_beside_others(
    own: Sandbox, js_wasm: bytes, away: list[Fiber]
) -> None:
    guest = await own.load(js_wasm)
    bombs = [own.run(guest, do("bomb"), memory_mb=32) for _ in range(4)]
    ended = await asyncio.gather(crowd(own, guest, do("visits")), *bombs, crowd(own, guest, do("visits")))
    assert {run.output for run in (*ended[0], *ended[-1])} == {b'{"visits":1}'}
    assert {run.outcome for run in ended[1:-1]} == {Outcome.MEMORY_LIMIT}
    assert away


async def test_who_is_cancelled_leaves_nothing_behind(
    own: Sandbox, js_wasm: bytes, away: list[Fiber]
) -> None:
    guest = await own.load(js_wasm)
    await own.run(guest, do("visits"))
    for passes in range(12):  # in line, in a thread, with the result on its way
        runs = [asyncio.create_task(own.run(guest, do("visits"))) for _ in range(CROWD)]
        for _ in range(passes):
            await asyncio.sleep(0.0005)
        for run in runs:
            run.cancel()
        await asyncio.wait(runs)
    assert away
    async with asyncio.timeout(30):
        while any(running.get(fiber.address) is fiber for fiber in away):
            await asyncio.sleep(0.001)
    assert own.runtime.running == 0
    assert not own.runtime.workers.have_short
    shares = [Share(guest) for _ in range(MOST + 1)]
    assert [own.runtime.backlog.take(share) for share in shares].index(False) >= LEAST
    for share in shares:
        own.runtime.backlog.leave(share)
    assert {run.output for run in await crowd(own, guest, do("visits"))} == {b'{"visits":1}'}


async def test_while_guests_that_compute_have_all_the_threads_it_is_the_loops(
    make_runtime: Make, js_wasm: bytes, c_wasm: bytes, away: list[Fiber]
) -> None:
    own = Sandbox(await make_runtime(worker_threads=1, slice_ms=1000))
    guest, spinner = await own.load(js_wasm), await own.load(c_wasm)
    spinner.heat = HOT
    spinning = asyncio.create_task(own.run(spinner, b"s", timeout_ms=60_000))
    await asyncio.sleep(0)
    while not own.runtime.busy_workers:
        await asyncio.sleep(0)
    assert {run.outcome for run in await crowd(own, guest, do("visits"), 5)} == {Outcome.SUCCESS}
    assert not away
    spinning.cancel()
    await asyncio.wait([spinning])


async def test_a_flood_that_looks_short_is_not_all_in_front_of_anothers_run(
    own: Sandbox, js_wasm: bytes, c_wasm: bytes, away: list[Fiber], monkeypatch: pytest.MonkeyPatch
) -> None:
    guest, other = await own.load(c_wasm), await own.load(js_wasm)
    await own.run(other, do("greet"))  # there are threads now
    over, wait, threads = list[int](), Backlog.wait, own.runtime.workers

    def noting(self: Backlog, owner: object, share: Share) -> Awaitable[None]:
        if share._component is other:
            over.append(len(away) - (threads._slices - threads._long))
        return wait(self, owner, share)

    monkeypatch.setattr(Backlog, "wait", noting)
    for _ in range(40):
        guest.ran(20_000)
    flood = [asyncio.create_task(own.run(guest, b"s", timeout_ms=200)) for _ in range(100)]
    honest = asyncio.create_task(own.run(other, do("greet")))
    assert (await honest).outcome is Outcome.SUCCESS
    # if this process was held up, some slices of the flood were over before the other came
    assert [fiber.component for fiber in away].index(other) - over[0] <= MOST + 1
    assert {run.outcome for run in await asyncio.gather(*flood)} == {Outcome.TIMEOUT}


async def test_what_others_show_counts_for_those_who_wait(
    own: Sandbox, js_wasm: bytes, away: list[Fiber]
) -> None:
    """That the component computes for long, here: its runs have slices in turn then."""
    guest = await own.load(js_wasm)
    runs = await crowd(own, guest, do("work", rounds=200_000), 60, timeout_ms=60_000)
    assert {run.outcome for run in runs} == {Outcome.SUCCESS}
    assert guest.heat >= HOT
    assert 0 < len(away) < 30


async def test_a_lone_run_beside_one_that_computes_is_the_loops(
    own: Sandbox, js_wasm: bytes, c_wasm: bytes, away: list[Fiber]
) -> None:
    """A thread would have to be woken, which takes longer than the run."""
    guest, spinner = await own.load(js_wasm), await own.load(c_wasm)
    spinner.heat = HOT
    spinning = asyncio.create_task(own.run(spinner, b"s", timeout_ms=60_000))
    await asyncio.sleep(0)
    while not own.runtime.busy_workers:
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0.001)  # another pass
        assert (await own.run(guest, do("visits"))).outcome is Outcome.SUCCESS
    assert not away
    spinning.cancel()
    await asyncio.wait([spinning])


async def test_those_that_wait_for_their_host_find_places(make_runtime: Make, c_wasm: bytes) -> None:
    own = Sandbox(await make_runtime(max_instances=8))
    guest = await own.load(c_wasm)

    class Slow(FakeHost):
        async def db_query(self, sql: str, params: str) -> tuple[bool, bytes]:
            await asyncio.sleep(0.002)
            return self.reply

    runs = await asyncio.gather(*(own.run(guest, b"q", Slow()) for _ in range(12)))
    assert {run.outcome for run in runs} == {Outcome.SUCCESS}


async def test_more_than_there_are_places_for_are_all_run(
    make_runtime: Make, c_wasm: bytes, away: list[Fiber]
) -> None:
    """Those in line for a thread have no place yet."""
    own = Sandbox(await make_runtime(max_instances=8))
    guest = await own.load(c_wasm)
    for _ in range(3):
        assert {run.outcome for run in await crowd(own, guest, b"h", 400)} == {Outcome.SUCCESS}
    assert len(away) > CROWD


async def test_short_runs_do_not_hide_long_ones(make_runtime: Make, c_wasm: bytes) -> None:
    """Else a flood that looks short would be in front of others' runs, 5 ms each."""
    guest = await Sandbox(await make_runtime()).load(c_wasm)
    for _ in range(20):
        guest.ran(5_000_000)
        guest.ran(20_000)
        assert guest.takes_ns > 4_000_000
    guest.ran(0)  # one that was cancelled before it began
    for _ in range(60):
        guest.ran(20_000)
    assert 20_000 <= guest.takes_ns < 30_000
