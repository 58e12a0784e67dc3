"""Every kind of hostile guest ends with the right outcome, on time, while honest neighbours succeed."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median, quantiles

import pytest
import wat
from hostile import CASES, Case
from sandbox_kit import FakeHost, Quiet, Sandbox, do

from aerofn.model import Outcome, Run
from aerofn.runtime import Component, Runtime, verdict
from aerofn.runtime.components import HOT
from aerofn.runtime.fiber import Fiber

Make = Callable[..., Awaitable[Runtime]]
NEIGHBOURS = 50
TRIES = 8


async def _neighbours(sandbox: Sandbox, guest: Component) -> set[Outcome]:
    runs = await asyncio.gather(*(sandbox.run(guest, do("greet")) for _ in range(NEIGHBOURS)))
    return {run.outcome for run in runs}


async def _beside_neighbours(sandbox: Sandbox, case: Case, component: Component, honest: Component) -> Run:
    running = sandbox.runtime.run(component, case.sent(), Quiet(), case.limits)
    hostile = asyncio.create_task(running)
    await asyncio.sleep(0)  # let it start first
    assert await _neighbours(sandbox, honest) == {Outcome.SUCCESS}
    return await hostile


@pytest.mark.parametrize("name", CASES)
async def test_a_hostile_guest_ends_as_it_should_and_harms_nobody(
    sandbox: Sandbox, js_wasm: bytes, js_guest: Component, name: str
) -> None:
    case = CASES[name]
    component = await sandbox.load(case.wasm(js_wasm))
    run = await _beside_neighbours(sandbox, case, component, js_guest)
    assert run.outcome is case.outcome, run.error
    assert run.error is not None
    assert case.says in run.error.message
    assert run.error.code == case.code


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.outcome is Outcome.TIMEOUT])
async def test_a_time_limit_is_kept_to(
    sandbox: Sandbox, js_wasm: bytes, js_guest: Component, name: str
) -> None:
    """The promise is 50 ms over it; of several tries a busy machine leaves one alone."""
    case, over_ms = CASES[name], []
    component = await sandbox.load(case.wasm(js_wasm))
    for _ in range(TRIES):
        began = time.perf_counter()
        await _beside_neighbours(sandbox, case, component, js_guest)
        over_ms.append((time.perf_counter() - began) * 1000 - case.timeout_ms)
        if over_ms[-1] < 50:
            return
    raise AssertionError(f"milliseconds over the limit: {over_ms}")


MILLIONS = {"c": ("calls", b"ml"), "js": ("js", do("log", times=1_000_000, text=""))}


@pytest.mark.parametrize("name", MILLIONS)
async def test_a_million_host_calls_are_made_and_counted(
    sandbox: Sandbox, js_wasm: bytes, js_guest: Component, name: str
) -> None:
    guest, event = MILLIONS[name]
    case = Case(guest, event, Outcome.SUCCESS, timeout_ms=120_000)
    run = await _beside_neighbours(sandbox, case, await sandbox.load(case.wasm(js_wasm)), js_guest)
    assert run.outcome is Outcome.SUCCESS, run.error
    assert run.usage.host_calls == 1_000_000
    assert b"1000000" in (run.output or b"")


@pytest.mark.parametrize("body", [wat.LOOKS_UP, wat.OPENS_A_SOCKET])
async def test_a_guest_with_wasi_sockets_reaches_nothing(sandbox: Sandbox, body: str) -> None:
    run = await sandbox.run(wat.networker(body))
    assert run.outcome is Outcome.SUCCESS, run.error  # it traps where it is given an address, or a socket


async def test_hostile_guests_side_by_side(sandbox: Sandbox, js_guest: Component, c_guest: Component) -> None:
    spinning = [sandbox.run(js_guest, do("spin"), timeout_ms=500) for _ in range(10)]
    spinning += [sandbox.run(c_guest, b"s", timeout_ms=500) for _ in range(10)]
    together = asyncio.gather(*spinning)
    honest = asyncio.create_task(_neighbours(sandbox, js_guest))
    held = await _held_until(together)
    assert {run.outcome for run in await together} == {Outcome.TIMEOUT}
    assert await honest == {Outcome.SUCCESS}
    # The promise is a lag of 20 ms at p99 on a machine of its own (bench-runtime tells it). Here it is the processor's
    # time that counts, which a busy machine does not stretch: a budget of 5 ms for a pass, and what overruns it.
    assert quantiles(held, n=100)[98] < 0.05
    assert median(held) < 0.02


async def _held_until(end: "asyncio.Future[object]") -> list[float]:
    """Processor seconds that the loop's thread used between two turns of a callback, until `end`."""
    held = []
    while not end.done():
        began = time.thread_time()
        await asyncio.sleep(0)
        held.append(time.thread_time() - began)
    return held


@pytest.fixture
def on_loop(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processor's nanoseconds of every poll of a guest on the loop's thread."""
    polls, advance = [], Fiber.advance

    def watched(fiber: Fiber) -> int:
        before = fiber.seen().cpu_ns
        said = advance(fiber)
        polls.append(fiber.seen().cpu_ns - before)
        return said

    monkeypatch.setattr(Fiber, "advance", watched)
    return polls


async def test_a_guest_that_logs_as_it_computes_leaves_the_loop_too(
    sandbox: Sandbox, on_loop: list[int]
) -> None:
    guest, host = await sandbox.load(wat.logging_spinner()), FakeHost()
    spinning = asyncio.create_task(sandbox.run(guest, host=host, timeout_ms=60_000))
    while len(host.logs) < 200 and not spinning.done():
        await asyncio.sleep(0.001)
    spinning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await spinning
    # of the 200 million rounds, which take a tenth of a second and more
    assert sum(on_loop) < 50_000_000


async def test_a_guest_whose_host_answers_at_once_leaves_the_loop_too(
    sandbox: Sandbox, js_guest: Component, on_loop: list[int]
) -> None:
    run = await sandbox.run(js_guest, do("queries", times=10_000), Quiet(), timeout_ms=60_000)
    assert run.outcome is Outcome.SUCCESS
    assert run.usage.cpu_ms > 40
    assert sum(on_loop) < 20_000_000


@pytest.mark.parametrize("name", CASES)
async def test_no_guest_has_the_loop_for_long(
    sandbox: Sandbox, js_wasm: bytes, js_guest: Component, on_loop: list[int], name: str
) -> None:
    """In processor time: a slice ends by the clock, and so within two ticks, whatever takes the machine meanwhile."""
    case = CASES[name]
    component = await sandbox.load(case.wasm(js_wasm))
    component.heat = HOT  # nobody knows it yet
    least = []
    for _ in range(3):
        on_loop.clear()
        run = await _beside_neighbours(sandbox, case, component, js_guest)
        least.append((max(on_loop, default=0), sum(on_loop)))
        # two slices, as a tick may come at once; all of them: the neighbours' 50 runs, and its own before it leaves
        if least[-1][0] < 15_000_000 and (run.usage.cpu_ms < 50 or least[-1][1] < 60_000_000):
            return
    raise AssertionError(f"the longest poll, and all (ns): {least}")


def test_an_error_nested_too_deep_to_be_read_is_text() -> None:
    outcome, error = verdict.of_error(b"[" * 100_000)
    assert outcome is Outcome.FUNCTION_ERROR
    assert error.message.startswith("[[[")


async def test_a_killed_guest_leaves_nothing_behind(sandbox: Sandbox, js_guest: Component) -> None:
    run = await sandbox.run(js_guest, do("spin"), timeout_ms=50)
    assert run.outcome is Outcome.TIMEOUT
    assert (await sandbox.run(js_guest, do("visits"))).output == b'{"visits":1}'


async def test_table_bombs_are_bounded(sandbox: Sandbox) -> None:
    # its size as six digits, in the place of "ok"
    digits = "".join(
        f"""(i32.store8 (i32.const {21 - place}) (i32.add (i32.const 48)
              (i32.rem_u (i32.div_u (table.size $t) (i32.const {10**place})) (i32.const 10))))"""
        for place in range(6)
    )
    tell = """(i32.store8 (i32.const 0) (i32.const 0)) (i32.store (i32.const 4) (i32.const 16))
      (i32.store (i32.const 8) (i32.const 6)) (return (i32.const 0))"""
    run = await sandbox.run(wat.component(wat.TABLES + digits + tell, fields="(table $t 1 funcref)"))
    assert run.outcome is Outcome.SUCCESS  # it was refused, and went on
    assert run.output is not None
    # the last growth by a thousand that was allowed; not the code's constant, which is what might be wrong
    assert 99_000 < int(run.output) <= 100_000


@pytest.mark.parametrize(("pages", "outcome"), [(500, Outcome.SUCCESS), (600, Outcome.TRAP)])
async def test_memories_share_one_limit(sandbox: Sandbox, pages: int, outcome: Outcome) -> None:
    # of 64 MiB (1024 pages) each of two memories may have half
    body = f"(if (i32.eq (i32.const -1) (memory.grow $more (i32.const {pages}))) (then unreachable))"
    guest = wat.component(body, fields="(memory $more 1)")
    assert (await sandbox.run(guest, memory_mb=64)).outcome is outcome


async def test_a_guest_may_fail_to_grow_beyond_its_own_maximum(sandbox: Sandbox) -> None:
    body = "(if (i32.ne (i32.const -1) (memory.grow (i32.const 50))) (then unreachable))"
    assert (await sandbox.run(wat.component(body, memory="1 10"))).outcome is Outcome.SUCCESS


async def test_the_time_limit_covers_host_calls(sandbox: Sandbox, js_guest: Component) -> None:
    host = FakeHost()
    host.gate = asyncio.Event()
    run = await sandbox.run(js_guest, do("query"), host, timeout_ms=500)
    assert run.outcome is Outcome.TIMEOUT
    assert run.usage.host_calls == 1


async def test_wasi_shows_nothing_of_the_machine(sandbox: Sandbox) -> None:
    run = await sandbox.run(wat.explorer())
    assert run.outcome is Outcome.SUCCESS, run.error


@pytest.mark.parametrize("signature", ["(func)", "(func (result string))"])
async def test_a_wasi_function_imported_with_another_type_does_no_harm(
    sandbox: Sandbox, signature: str
) -> None:
    lowering = '(core func $now (canon lower (func $clock "now") (memory (core memory $r "memory"))'
    guest = wat.component(
        imports=f"""(import "wasi:clocks/monotonic-clock@0.2.3" (instance $clock (export "now" {signature})))
          (core module $room (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8)))
          (core instance $r (instantiate $room))
          {lowering} (realloc (core func $r "realloc"))))
          (core instance $wasi (export "now" (func $now)))""",
        core_imports=f'(import "wasi" "now" (func $now {wat.CORE_TYPES[signature]}))',
        arguments='(with "wasi" (instance $wasi))',
        body=wat.CORE_CALLS[signature],
    )
    run = await sandbox.run(guest)
    assert run.outcome is Outcome.TRAP


async def test_guests_have_their_share_of_a_pass_and_no_more(
    make_runtime: Make, js_wasm: bytes, on_loop: list[int]
) -> None:
    own = Sandbox(await make_runtime(max_instances=100))
    guest = await own.load(js_wasm)
    event = do("work", rounds=10_000)  # two milliseconds
    await own.run(guest, event)
    own.runtime.spare_cores = False  # all of them are the loop's
    runs = asyncio.gather(*(own.run(guest, event) for _ in range(100)))
    passes = []
    while not runs.done():
        on_loop.clear()
        await asyncio.sleep(0)
        passes.append(sum(on_loop))
    assert {run.outcome for run in await runs} == {Outcome.SUCCESS}
    # a pass has 5 ms by the clock, which is not less than the processor's time, and what was begun in it ends
    assert sum(passes) > 50_000_000
    assert max(passes) < 10_000_000
