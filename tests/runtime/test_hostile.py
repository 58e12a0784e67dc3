"""Every kind of hostile guest ends with the right outcome, on time, while honest neighbours succeed."""

import asyncio
import time
from collections.abc import Callable
from statistics import median, quantiles
from typing import NamedTuple

import pytest
import wat
from sandbox_kit import FakeHost, Sandbox, do

from aerofn.model import Outcome
from aerofn.runtime import Component, verdict
from aerofn.runtime.fiber import Fiber

MB = 1 << 20
NEIGHBOURS = 50


class Case(NamedTuple):
    """A guest ("js", "c" or a component), what it is sent, and how that must end."""

    guest: str | Callable[[], bytes]
    event: bytes
    outcome: Outcome
    says: str = ""
    timeout_ms: int = 30_000
    code: str | None = None


CASES = {
    "js endless loop": Case("js", do("spin"), Outcome.TIMEOUT, "300 ms", 300),
    "c endless loop": Case("c", b"s", Outcome.TIMEOUT, "300 ms", 300),
    "wat endless loop": Case(lambda: wat.component(wat.SPIN), b"", Outcome.TIMEOUT, "300 ms", 300),
    "start function loops": Case(
        lambda: wat.component(fields=wat.STARTS_SPINNING), b"", Outcome.TIMEOUT, "300 ms", 300
    ),
    "js endless recursion": Case("js", do("recurse"), Outcome.TRAP, "a function calls itself too often"),
    "c endless recursion": Case("c", b"r", Outcome.TRAP, "call stack exhausted"),
    "wat endless recursion": Case(
        lambda: wat.component("(drop (call $down (i32.const 0)))", fields=wat.RECURSION),
        b"",
        Outcome.TRAP,
        "call stack exhausted",
    ),
    "wat memory bomb": Case(lambda: wat.component(wat.GROWTH), b"", Outcome.MEMORY_LIMIT, "64 MiB"),
    "js log flood": Case("js", do("log", times=100_000_000), Outcome.TIMEOUT, "300 ms", 300),
    "js memory bomb": Case("js", do("bomb"), Outcome.MEMORY_LIMIT, "64 MiB"),
    "c memory bomb": Case("c", b"b", Outcome.MEMORY_LIMIT, "64 MiB"),
    "c grows page by page": Case("c", b"g", Outcome.MEMORY_LIMIT, "64 MiB"),
    "first memory above the limit": Case(
        lambda: wat.component(memory="2000"), b"", Outcome.MEMORY_LIMIT, "64 MiB"
    ),
    "promise that never resolves": Case("js", do("never"), Outcome.TRAP, "never finished"),
    "output of 100 MB": Case("js", do("large", bytes=100 * MB), Outcome.MEMORY_LIMIT, "64 MiB", 20_000),
    "output over its limit": Case(
        "js", do("large", bytes=7 * MB), Outcome.FUNCTION_ERROR, "too large", 20_000
    ),
    "input of 100 MB": Case("c", b"e" * (100 * MB), Outcome.MEMORY_LIMIT, "64 MiB"),
    "result of broken UTF-8": Case("c", b"u", Outcome.TRAP, "utf-8"),
    "result out of range": Case("c", b"p", Outcome.TRAP, "out of bounds"),
    "result longer than memory": Case("c", b"z", Outcome.TRAP, "out of bounds"),
    "broken UTF-8 to the host": Case("c", b"l", Outcome.TRAP, "utf-8"),
    "pointer out of range to the host": Case("c", b"o", Outcome.TRAP, "out of bounds"),
    "reads out of range": Case("c", b"a", Outcome.TRAP, "out of bounds memory access"),
    "plain trap": Case("c", b"t", Outcome.TRAP, "unreachable"),
    "sleeps through a WASI clock": Case(
        lambda: wat.sleeper(3_600_000_000_000),
        b"",
        Outcome.TRAP,
        "wait with aerofn:function/clock",
        code="wasi_sleep",
    ),
    "waits for an hour": Case(lambda: wat.waiter(3_600_000_000_000), b"", Outcome.TIMEOUT, "300 ms", 300),
    "waits for ever": Case(lambda: wat.waiter(-1), b"", Outcome.TIMEOUT, "300 ms", 300),
    "log flood": Case("c", b"f", Outcome.TIMEOUT, "300 ms", 300),
    "host calls without end": Case("js", do("queries", times=100_000_000), Outcome.TIMEOUT, "300 ms", 300),
}


@pytest.fixture
def guests(js_guest: Component, c_guest: Component) -> dict[str, Component]:
    return {"js": js_guest, "c": c_guest}


async def _neighbours(sandbox: Sandbox, guest: Component) -> set[Outcome]:
    runs = await asyncio.gather(*(sandbox.run(guest, do("greet")) for _ in range(NEIGHBOURS)))
    return {run.outcome for run in runs}


@pytest.mark.parametrize("name", CASES)
async def test_a_hostile_guest_ends_as_it_should_and_harms_nobody(
    sandbox: Sandbox, guests: dict[str, Component], name: str
) -> None:
    case = CASES[name]
    component = guests[case.guest] if isinstance(case.guest, str) else await sandbox.load(case.guest())
    began = time.perf_counter()
    hostile = asyncio.create_task(
        sandbox.run(component, case.event, timeout_ms=case.timeout_ms, memory_mb=64)
    )
    await asyncio.sleep(0)  # let it start first
    assert await _neighbours(sandbox, guests["js"]) == {Outcome.SUCCESS}
    run = await hostile
    took_ms = (time.perf_counter() - began) * 1000
    assert run.outcome is case.outcome, run.error
    assert run.error is not None
    assert case.says in run.error.message
    assert run.error.code == case.code
    # the promise is 50 ms over the limit; a busy machine gets more
    assert took_ms < case.timeout_ms + 10_000


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


async def test_a_guest_that_logs_as_it_computes_leaves_the_loop_too(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest, host = await sandbox.load(wat.logging_spinner()), FakeHost()
    on_loop, advance = [], Fiber.advance

    def watched(fiber: Fiber) -> int:
        said = advance(fiber)
        on_loop.append(fiber.seen().poll_ns)
        return said

    monkeypatch.setattr(Fiber, "advance", watched)
    spinning = asyncio.create_task(sandbox.run(guest, host=host, timeout_ms=60_000))
    while len(host.logs) < 200 and not spinning.done():
        await asyncio.sleep(0.001)
    spinning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await spinning
    # of the 200 million rounds, which take a tenth of a second and more
    assert sum(on_loop) < 50_000_000


def test_an_error_nested_too_deep_to_be_read_is_text() -> None:
    outcome, error = verdict.of_error(b"[" * 100_000)
    assert outcome is Outcome.FUNCTION_ERROR
    assert error.message.startswith("[[[")


async def test_a_killed_guest_leaves_nothing_behind(sandbox: Sandbox, js_guest: Component) -> None:
    run = await sandbox.run(js_guest, do("spin"), timeout_ms=50)
    assert run.outcome is Outcome.TIMEOUT
    assert (await sandbox.run(js_guest, do("visits"))).output == b'{"visits":1}'


async def test_table_bombs_are_bounded(sandbox: Sandbox) -> None:
    guest = wat.component(wat.TABLES, fields="(table $t 1 funcref)")
    assert (await sandbox.run(guest)).outcome is Outcome.SUCCESS  # it was refused, and went on


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
