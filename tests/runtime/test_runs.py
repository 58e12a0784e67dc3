"""Honest functions: results, errors, host calls, accounting, and nothing shared between runs."""

import asyncio
import json
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import wat
from sandbox_kit import FakeHost, Sandbox, do

from aerofn.model import Outcome
from aerofn.runtime import Component


async def test_a_plain_and_an_async_handle_are_called_alike(sandbox: Sandbox, js_guest: Component) -> None:
    plain = await sandbox.run(wat.component())
    promised = await sandbox.run(js_guest, do("greet", name="Ada"))
    assert (plain.outcome, plain.output) == (Outcome.SUCCESS, b'"ok"')
    assert (promised.outcome, promised.output) == (Outcome.SUCCESS, b'{"message":"Hello, Ada!"}')


async def test_host_calls_reach_the_host_and_come_back(sandbox: Sandbox, js_guest: Component) -> None:
    host = FakeHost()
    run = await sandbox.run(js_guest, do("query", sql="select $1", params=["\u00fc"]), host)
    assert json.loads(run.output or b"")["rows"] == [{"n": 1}]
    assert host.queries == [("select $1", '["\u00fc"]')]
    run = await sandbox.run(js_guest, do("fetch", url="http://x"), host)
    assert json.loads(run.output or b"")["status"] == 200


async def test_a_failed_query_is_an_error_in_the_guest(sandbox: Sandbox, js_guest: Component) -> None:
    host = FakeHost()
    host.reply = (False, b'{"code":"42601","message":"syntax error"}')
    run = await sandbox.run(js_guest, do("caught"), host)
    assert json.loads(run.output or b"")["caught"] == {"code": "42601", "message": "syntax error"}


@pytest.mark.parametrize(("key", "value"), [("GREETING", "h\u00e9llo"), ("OTHER", None)])
async def test_env_gives_what_is_granted(
    sandbox: Sandbox, js_guest: Component, key: str, value: str | None
) -> None:
    run = await sandbox.run(js_guest, do("env", key=key))
    assert json.loads(run.output or b"") == {"value": value}


async def test_logs_keep_order_and_level(sandbox: Sandbox, js_guest: Component) -> None:
    host = FakeHost()
    await sandbox.run(js_guest, do("log", times=3, level="warn"), host)
    assert host.logs == [("warn", f"line {i}") for i in range(3)]


async def test_every_run_starts_from_the_same_fresh_state(sandbox: Sandbox, js_guest: Component) -> None:
    runs = await asyncio.gather(*(sandbox.run(js_guest, do("visits")) for _ in range(20)))
    assert {run.output for run in runs} == {b'{"visits":1}'}


async def test_runs_at_the_same_time_do_not_mix(sandbox: Sandbox, js_guest: Component) -> None:
    async def one(number: int) -> None:
        host = FakeHost()
        host.reply = (True, json.dumps({"mine": number}).encode())
        run = await sandbox.run(js_guest, do("query", params=[number], sql=f"select {number}"), host)
        assert json.loads(run.output or b"") == {"mine": number}
        assert host.queries == [(f"select {number}", f"[{number}]")]

    await asyncio.gather(*(one(number) for number in range(200)))


async def test_guest_errors_keep_their_fields(sandbox: Sandbox) -> None:
    text = r"{\22name\22:\22Bad\22,\22message\22:\22no\22,\22stack\22:\22at x\22,\22retry\22:false}"
    fields = f'(data (i32.const 64) "{text}")'
    fail = "(i32.store8 (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (i32.const 64))"
    size = len(text.replace(r"\22", '"'))
    guest = wat.component(
        f"{fail} (i32.store (i32.const 8) (i32.const {size})) (return (i32.const 0))", fields=fields
    )
    run = await sandbox.run(guest)
    assert run.outcome is Outcome.FUNCTION_ERROR
    assert run.error is not None
    assert (run.error.name, run.error.message, run.error.stack, run.error.retry) == (
        "Bad",
        "no",
        "at x",
        False,
    )


async def test_an_error_in_plain_text_is_the_message(sandbox: Sandbox, js_guest: Component) -> None:
    run = await sandbox.run(js_guest, do("nonsense"))
    assert run.outcome is Outcome.FUNCTION_ERROR
    assert run.output is None
    assert run.error is not None
    assert "no such deed: nonsense" in run.error.message
    assert run.error.retry


async def test_usage_is_exact_about_bytes_calls_and_memory(sandbox: Sandbox, js_guest: Component) -> None:
    event = do("log", times=7)
    small = (await sandbox.run(js_guest, event)).usage
    large = (await sandbox.run(js_guest, do("use", mb=40))).usage
    assert (small.bytes_in, small.host_calls, small.bytes_out) == (len(event), 7, len(b'{"logged":7}'))
    assert small.memory_peak is not None
    assert large.memory_peak is not None
    assert large.memory_peak - small.memory_peak >= 39 << 20
    assert 0 < large.cpu_ms <= large.wall_ms * 1.2


class Ending(NamedTuple):
    """A guest's deed, how it ends, what of its usage is exact: bytes out, host calls, memory (MiB); its time limit."""

    event: bytes
    outcome: Outcome
    bytes_out: int = 0
    host_calls: int = 0
    memory: float | None = None
    timeout_ms: int = 60_000


ENDINGS = {
    "result": Ending(b"e" * 9, Outcome.SUCCESS, bytes_out=9, memory=1.0625),
    "trap": Ending(b"t", Outcome.TRAP),
    "trap in a host call": Ending(b"l", Outcome.TRAP),
    "timeout": Ending(b"s", Outcome.TIMEOUT, timeout_ms=200),
    "memory limit": Ending(b"b", Outcome.MEMORY_LIMIT, memory=32),
}


@pytest.mark.parametrize("name", ENDINGS)
async def test_usage_is_told_however_a_run_ends(sandbox: Sandbox, c_guest: Component, name: str) -> None:
    case = ENDINGS[name]
    run = await sandbox.run(c_guest, case.event, timeout_ms=case.timeout_ms, memory_mb=32)
    assert run.outcome is case.outcome, run.error
    usage = run.usage
    assert (usage.bytes_in, usage.bytes_out, usage.host_calls) == (
        len(case.event), case.bytes_out, case.host_calls,
    )  # fmt: skip
    # after a trap or a timeout nothing in the guest can be asked any more
    assert usage.memory_peak == (None if case.memory is None else case.memory * (1 << 20))
    assert usage.cpu_ms > 0


COMPUTES = {
    "in a thread": ("js", do("work", rounds=1_000_000), 60_000),
    "between queries": ("js", do("queries", times=3000), 60_000),
    "until its limit": ("c", b"s", 600),
}


@pytest.mark.parametrize("name", COMPUTES)
async def test_cpu_time_is_that_of_all_slices(
    sandbox: Sandbox, js_guest: Component, c_guest: Component, name: str
) -> None:
    which, event, timeout_ms = COMPUTES[name]
    guest = js_guest if which == "js" else c_guest
    await sandbox.run(guest, event, timeout_ms=timeout_ms)
    began = time.process_time()  # of all threads; nothing else runs in this process
    usage = (await sandbox.run(guest, event, timeout_ms=timeout_ms)).usage
    used_ms = (time.process_time() - began) * 1000
    # what is not the guest's is the loop's: little, but for thousands of answers
    assert used_ms * (0.05 if "queries" in name else 0.7) < usage.cpu_ms < used_ms + 1
    assert used_ms > 10  # more than a slice


async def test_host_calls_are_counted_though_the_run_is_stopped(
    sandbox: Sandbox, js_guest: Component
) -> None:
    host = FakeHost()
    run = await sandbox.run(js_guest, do("log", times=100_000_000), host, timeout_ms=500)
    assert run.outcome is Outcome.TIMEOUT
    assert run.usage.host_calls == len(host.logs) > 0


async def test_a_functions_error_is_accounted_like_a_result(sandbox: Sandbox) -> None:
    fail = "(i32.store8 (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (i32.const 64))"
    run = await sandbox.run(
        wat.component(f"{fail} (i32.store (i32.const 8) (i32.const 5)) (return (i32.const 0))")
    )
    assert run.outcome is Outcome.FUNCTION_ERROR
    assert (run.usage.bytes_out, run.usage.memory_peak) == (5, 65536)


async def test_a_result_over_its_limit_is_counted_in_full(sandbox: Sandbox, js_guest: Component) -> None:
    run = await sandbox.run(js_guest, do("large", bytes=7 << 20), timeout_ms=20_000)
    assert run.outcome is Outcome.FUNCTION_ERROR
    assert run.usage.bytes_out == (7 << 20) + 2  # its quotes


async def test_memory_of_a_grown_guest_is_counted_to_the_page(sandbox: Sandbox) -> None:
    run = await sandbox.run(wat.component("(drop (memory.grow (i32.const 99)))"))
    assert run.usage.memory_peak == 100 * 65536


async def test_waiting_for_the_host_costs_no_cpu_time(sandbox: Sandbox, js_guest: Component) -> None:
    host = FakeHost()
    host.gate = asyncio.Event()
    running = asyncio.create_task(sandbox.run(js_guest, do("query"), host))
    await host.asked.wait()
    asyncio.get_running_loop().call_later(0.3, host.gate.set)
    usage = (await running).usage
    assert usage.wall_ms >= 290
    assert usage.cpu_ms < 150


async def test_a_guest_that_waits_sleeps_and_uses_no_processor_time(sandbox: Sandbox) -> None:
    guest = await sandbox.load(wat.waiter(200_000_000))
    began = asyncio.get_running_loop().time()
    runs = await asyncio.gather(*(sandbox.run(guest) for _ in range(50)))
    assert {run.outcome for run in runs} == {Outcome.SUCCESS}
    assert all(run.usage.wall_ms >= 199 for run in runs)
    assert sum(run.usage.cpu_ms for run in runs) < 1000  # not one after another on a thread, and not spinning
    assert asyncio.get_running_loop().time() - began < 5


async def test_a_host_that_raises_is_a_host_error_and_logged(
    sandbox: Sandbox, js_guest: Component, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(FakeHost):
        async def db_query(self, sql: str, params: str) -> tuple[bool, bytes]:
            raise RuntimeError("database on fire")

        def env(self, key: str) -> str | None:
            raise RuntimeError("no secrets today")

        def log(self, level: str, message: str, at: float) -> None:
            raise RuntimeError("disk full")

    for deed in ("query", "env", "log"):
        run = await sandbox.run(js_guest, do(deed, key="GREETING"), Broken())
        assert run.outcome is Outcome.HOST_ERROR
        assert run.error is not None
        assert "fire" not in run.error.message
    for said in ("database on fire", "no secrets today", "disk full"):
        assert said in caplog.text


@pytest.mark.parametrize("reply", [b"\xff\xfe broken", "caf\u00e9 \ud800".encode("utf-8", "surrogatepass")])
async def test_a_reply_that_is_not_utf8_is_repaired_not_fatal(
    sandbox: Sandbox, js_guest: Component, reply: bytes
) -> None:
    host = FakeHost()
    host.reply = (False, reply)
    run = await sandbox.run(js_guest, do("caught"), host)
    assert run.outcome in (Outcome.SUCCESS, Outcome.FUNCTION_ERROR)


async def test_an_event_that_is_not_utf8_is_repaired_not_fatal(sandbox: Sandbox, c_guest: Component) -> None:
    run = await sandbox.run(c_guest, b"e\xff\xfe")
    assert run.output == "e\ufffd\ufffd".encode()


async def test_an_empty_event_and_an_empty_result(sandbox: Sandbox, c_guest: Component) -> None:
    assert (await sandbox.run(c_guest, b"")).output == b""


async def test_a_thousand_wait_together_without_a_thread_each(sandbox: Sandbox, js_guest: Component) -> None:
    gate, hosts = asyncio.Event(), [FakeHost() for _ in range(1000)]
    for host in hosts:
        host.gate = gate
    await sandbox.run(js_guest, do("greet"))  # the pool has its threads
    threads = len(list(Path("/proc/self/task").iterdir()))
    running = [
        asyncio.create_task(sandbox.run(js_guest, do("query"), host, timeout_ms=60_000)) for host in hosts
    ]
    for host in hosts:
        await host.asked.wait()
    assert sandbox.runtime.running == 1000
    assert len(list(Path("/proc/self/task").iterdir())) < threads + 20
    gate.set()
    assert {run.outcome for run in await asyncio.gather(*running)} == {Outcome.SUCCESS}
    assert sandbox.runtime.running == 0
