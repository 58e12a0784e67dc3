"""The sandbox's own figures: fresh sandboxes in sequence, the first one of a process, many at a time.

`make bench-runtime`. Beside them, in the same run: the bare spike (`runtime_spike.py`) with the same
component, and a fresh V8 isolate (isolated-vm from npm, installed into .peers/runtime).
`ARGS='--runs 1 --times 500'` for a quick look. Python guests are measured where componentize-py is installed.
"""

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, NamedTuple

from aerofn.build import build
from aerofn.model import Limits, Outcome
from aerofn.runtime import Component, Runtime, RuntimeConfig
from bench.figures import tell
from bench.runtime_spike import Spike

if TYPE_CHECKING:
    from hostile import Case

HERE = Path(__file__).parent
ROOT = HERE.parent
PEER = ROOT / ".peers" / "runtime"
GUESTS = ROOT / "tests" / "guests"
sys.path.insert(0, str(GUESTS))
LIMITS = Limits(timeout_ms=120_000)
BATCH = 100  # ours and the spike's, in turn, so that both meet the same weather
EVENT = json.dumps({"id": "1", "trigger": "http", "request": {"method": "POST", "body": {"name": "World"}}})
QUERY = 'export const handler = async () => (await db.query("SELECT 1 AS n")).rows[0];'
PYTHON_GUEST = """
import json
import wit_world

class WitWorld(wit_world.WitWorld):
    def handle(self, event: str) -> str:
        name = json.loads(event)["request"]["body"]["name"]
        return json.dumps({"message": f"Hello, {name}!"})
"""
ISOLATE = """
const ivm = require("isolated-vm");
const took = [];
for (let i = 0; i < 600; i++) {
  const began = process.hrtime.bigint();
  const isolate = new ivm.Isolate({ memoryLimit: 128 });
  const context = isolate.createContextSync();
  context.evalSync("JSON.stringify({ message: `Hello, ${JSON.parse('{\\"name\\":\\"World\\"}').name}!` })");
  isolate.dispose();
  took.push(Number(process.hrtime.bigint() - began) / 1e6);
}
console.log(JSON.stringify(took.slice(100)));
"""


class Beside(NamedTuple):
    """What a hostile guest did to those beside it, in ms."""

    lag_ms: float
    late_ms: float  # over its time limit


class BenchHost:
    """Answers each query when `reply` does."""

    def __init__(self, reply: Callable[[], Awaitable[None]]) -> None:
        self.reply = reply

    async def db_query(self, sql: str, params: str) -> tuple[bool, bytes]:
        await self.reply()
        return True, b'{"rows":[{"n":1}],"rowCount":1}'

    async def http_fetch(self, request: str) -> tuple[bool, bytes]:
        return False, b'{"code":"none","message":"none"}'

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def log(self, level: str, message: str, at: float) -> None:
        pass

    def env(self, key: str) -> str | None:
        return None


async def at_once() -> None:
    """No wait."""


async def loaded(runtime: Runtime, wasm: bytes) -> Component:
    async def fetch() -> bytes:
        return wasm

    return await runtime.load(await runtime.prepare(wasm), fetch)


async def in_turn(runtime: Runtime, wasm: bytes, event: bytes, times: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each of `times` runs in sequence: ours, and the spike's in between."""
    component, spike, host = await loaded(runtime, wasm), Spike(wasm), BenchHost(at_once)
    ours: list[float] = []
    bare: list[float] = []
    for round_ in range(times // BATCH + 1):
        for _ in range(BATCH):
            began = time.perf_counter()
            run = await runtime.run(component, event, host, LIMITS)
            ours.append((time.perf_counter() - began) * 1000)
            assert run.outcome is Outcome.SUCCESS, run.error
        for _ in range(BATCH):
            began = time.perf_counter()
            spike.run(event)
            bare.append((time.perf_counter() - began) * 1000)
        if round_ == 0:  # warming up
            ours, bare = [], []
    return ours, bare


async def together(runtime: Runtime, component: Component, count: int) -> float:
    """Seconds for `count` runs at once that each wait 50 ms on a query."""
    host = BenchHost(lambda: asyncio.sleep(0.05))
    began = time.perf_counter()
    runs = await asyncio.gather(*(runtime.run(component, EVENT.encode(), host, LIMITS) for _ in range(count)))
    assert {run.outcome for run in runs} == {Outcome.SUCCESS}
    return time.perf_counter() - began


async def in_flight(runtime: Runtime, component: Component, count: int) -> tuple[float, float]:
    """Real memory (MB, shared pages counted once) while `count` runs wait on a query, and RSS (MB)."""
    gate, waiting, all_wait = asyncio.Event(), 0, asyncio.Event()

    async def reply() -> None:
        nonlocal waiting
        waiting += 1
        if waiting == count:
            all_wait.set()
        await gate.wait()

    host = BenchHost(reply)
    running = [
        asyncio.create_task(runtime.run(component, EVENT.encode(), host, LIMITS)) for _ in range(count)
    ]
    await all_wait.wait()
    memory = _kilobytes("smaps_rollup", "Pss") / 1000, _kilobytes("status", "VmRSS") / 1000
    gate.set()
    assert {run.outcome for run in await asyncio.gather(*running)} == {Outcome.SUCCESS}
    return memory


async def hostile_lag(runtime: Runtime, honest: Component, hostile: Component, case: "Case") -> Beside:
    """One hostile guest beside 50 honest ones, over and over: how late the loop's timers are, and how late it ends."""
    host, lags = BenchHost(at_once), []
    running = asyncio.create_task(runtime.run(hostile, case.sent(), host, case.limits))

    async def neighbours() -> None:
        while not running.done():
            runs = [runtime.run(honest, EVENT.encode(), host, LIMITS) for _ in range(50)]
            assert {run.outcome for run in await asyncio.gather(*runs)} == {Outcome.SUCCESS}
            await asyncio.sleep(0.005)

    beside = asyncio.create_task(neighbours())
    while not running.done() or len(lags) < 100:
        due = time.perf_counter() + 0.001
        await asyncio.sleep(0.001)
        lags.append((time.perf_counter() - due) * 1000)
    await beside
    run = await running
    assert run.outcome is case.outcome, run
    late = run.usage.wall_ms - case.timeout_ms if run.outcome is Outcome.TIMEOUT else 0.0
    return Beside(p99(lags), late)


async def hostile_lags(runtime: Runtime, honest: Component, runs: int) -> None:
    """Every hostile guest of the tests, one after another: each one's figures, and the worst."""
    from hostile import CASES  # noqa: PLC0415  the tests' own
    from javascript import js_component  # noqa: PLC0415

    javascript = js_component(GUESTS / "js" / "hostile.js")
    lag: dict[str, float] = {}
    late: dict[str, float] = {}
    for name, case in CASES.items():
        component = await loaded(runtime, case.wasm(javascript))
        each = [await hostile_lag(runtime, honest, component, case) for _ in range(runs)]
        lag[name], late[name] = median(one.lag_ms for one in each), median(one.late_ms for one in each)
    worst, latest = max(lag, key=lag.__getitem__), max(late, key=late.__getitem__)
    tell("hostile_lag_p99_ms", [lag[worst]], "ms", goal=20, more={"worst": worst, "cases": lag})
    tell("time_limit_overrun_ms", [late[latest]], "ms", goal=50, more={"worst": latest, "cases": late})


def _kilobytes(file: str, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self", file).read_text(), re.MULTILINE)
    assert match is not None
    return int(match.group(1))


async def first(cache: Path, wasm: bytes) -> float:
    """Milliseconds from loading to the first result in a new process, the component being compiled already."""
    digest = await _prepared(cache, wasm)
    command = [sys.executable, __file__, "--first", str(cache), digest.hex()]
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await child.communicate()
    return float(output)


async def _prepared(cache: Path, wasm: bytes) -> bytes:
    runtime = Runtime(RuntimeConfig(cache_dir=cache, max_instances=100))
    digest = await runtime.prepare(wasm)
    await runtime.close()
    return digest


async def first_in_this_process(cache: Path, digest: bytes) -> None:
    """The other side of `first`."""

    async def none() -> bytes:
        raise AssertionError("it is in the cache")

    runtime = Runtime(RuntimeConfig(cache_dir=cache))
    began = time.perf_counter()
    component = await runtime.load(digest, none)
    run = await runtime.run(component, EVENT.encode(), BenchHost(at_once), LIMITS)
    took = (time.perf_counter() - began) * 1000
    assert run.outcome is Outcome.SUCCESS, run.error
    print(took)
    await runtime.close()


def isolates() -> list[float]:
    """Milliseconds of each fresh V8 isolate."""
    PEER.mkdir(parents=True, exist_ok=True)
    if not (PEER / "node_modules" / "isolated-vm").exists():
        subprocess.run(["npm", "install", "--prefix", str(PEER), "--no-audit", "isolated-vm@5"], check=True,
                       stdout=sys.stderr)  # fmt: skip
    answer = subprocess.run(["node", "-e", ISOLATE], check=True, capture_output=True, text=True, cwd=PEER)
    return list(json.loads(answer.stdout))


def python_guest(folder: Path) -> Path | None:
    """A Python component, if its builder is installed."""
    tool = shutil.which("componentize-py", path=str(Path(sys.executable).parent)) or shutil.which(
        "componentize-py"
    )
    if tool is None:
        return None
    (folder / "guest.py").write_text(PYTHON_GUEST)
    target = folder / "python.wasm"
    command = [tool, "-d", str(ROOT / "wit"), "-w", "function", "componentize", "guest", "-o", str(target)]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return target


def js_guest(folder: Path, name: str, source: str) -> Path:
    """A JavaScript function, built as authors build theirs."""
    path = folder / f"{name}.js"
    path.write_text(source)
    build(path, folder / f"{name}.wasm")
    return folder / f"{name}.wasm"


def p99(took: list[float]) -> float:
    return quantiles(took, n=100)[98]


async def measure(folder: Path, runs: int, times: int) -> None:
    """All figures, `runs` times over."""
    cache = folder / "cache"
    hello = js_guest(folder, "hello", (HERE / "guests" / "hello.js").read_text())
    plain = (ROOT / "tests" / "guests" / "c" / "hostile.wasm").read_bytes()
    runtime = Runtime(RuntimeConfig(cache_dir=cache, max_instances=10_100))
    await sequences(runtime, hello.read_bytes(), plain, runs, times)
    await hostile_lags(runtime, await loaded(runtime, hello.read_bytes()), runs)
    await crowds(runtime, js_guest(folder, "query", QUERY).read_bytes(), runs)
    await runtime.close()
    tell("first_js_ms", [await first(cache, hello.read_bytes()) for _ in range(runs)], "ms", goal=10)
    python = python_guest(folder)
    if python is not None:
        tell("first_python_ms", [await first(cache, python.read_bytes()) for _ in range(runs)], "ms", goal=30)


async def sequences(runtime: Runtime, hello: bytes, plain: bytes, runs: int, times: int) -> None:
    """Fresh sandboxes one after another, ours and the spike's."""
    js = [await in_turn(runtime, hello, EVENT.encode(), times) for _ in range(runs)]
    compiled = [await in_turn(runtime, plain, b"h", times) for _ in range(runs)]
    v8 = [isolates() for _ in range(runs)]
    peers = [median(took) for took in v8], [p99(took) for took in v8]
    tell(
        "js_p50_ms", [median(ours) for ours, _ in js], "ms", peer="isolated-vm", peer_runs=peers[0], goal=0.35
    )
    tell("js_p99_ms", [p99(ours) for ours, _ in js], "ms", peer="isolated-vm", peer_runs=peers[1], goal=1)
    for figure, took, goal in (("compiled_p50_ms", compiled, 0.12), ("spike_ratio_js_ms", js, None)):
        bare = [median(spike) for _, spike in took]
        tell(figure, [median(ours) for ours, _ in took], "ms", peer="spike", peer_runs=bare, goal=goal)
    ratios = [median(ours) / median(bare) for ours, bare in js]
    tell("spike_ratio", ratios, "x", peer="spike", goal=1.1)


async def crowds(runtime: Runtime, query: bytes, runs: int) -> None:
    """Many runs at a time, all waiting on the host."""
    component = await loaded(runtime, query)
    tell("together_1000_s", [await together(runtime, component, 1000) for _ in range(runs)], "s", goal=1)
    memory = [await in_flight(runtime, component, 10_000) for _ in range(min(runs, 2))]
    rss = {"rss_mb": median(rss for _, rss in memory)}
    tell("in_flight_10000_mb", [pss for pss, _ in memory], "MB", goal=3000, more=rss)


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--times", type=int, default=2000)
    parser.add_argument("--first", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.first:
        cache, digest = options.first
        asyncio.run(first_in_this_process(Path(cache), bytes.fromhex(digest)))
        return
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), options.runs, options.times))


if __name__ == "__main__":
    main()
