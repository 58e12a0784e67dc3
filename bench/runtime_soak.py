"""Hostile and honest invocations side by side, by the hundred thousand: the process lives and its memory is flat.

`python -X faulthandler -m bench.runtime_soak --invocations 200000`. Prints one JSON line each tenth; fails if an
invocation ends otherwise than it should, or if memory grows in the second half.
"""

import argparse
import asyncio
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from aerofn.build import build
from aerofn.model import Limits, Outcome
from aerofn.runtime import Component, Runtime, RuntimeConfig

ROOT = Path(__file__).parents[1]
GUESTS = ROOT / "tests" / "guests"
sys.path.insert(0, str(GUESTS))
from hostile import CASES  # noqa: E402  the tests' own
from javascript import js_component  # noqa: E402

AT_ONCE = 40
GROWTH_MB = 4  # what the allocators may take in the second half
GROWTH_BYTES = 50  # and each invocation in it

# what the guest in C is sent, how often, and how that ends
DEEDS: list[tuple[bytes, int, Outcome]] = [
    (b"h", 40, Outcome.SUCCESS),
    (b"q", 40, Outcome.SUCCESS),
    (b"e" * 5000, 10, Outcome.SUCCESS),
    (b"t", 5, Outcome.TRAP),
    (b"a", 5, Outcome.TRAP),
    (b"u", 5, Outcome.TRAP),
    (b"p", 5, Outcome.TRAP),
    (b"l", 5, Outcome.TRAP),
    (b"r", 5, Outcome.TRAP),
    (b"b", 3, Outcome.MEMORY_LIMIT),
    (b"g", 3, Outcome.MEMORY_LIMIT),
    (b"s", 1, Outcome.TIMEOUT),
]


# likewise of the tests' other guests: JavaScript's own hostile one, WASI's clock and initialisers in C
HOSTILE = (
    "js endless recursion", "js memory bomb", "promise that never resolves", "sleeps through a WASI clock",
    "c sleeps through a WASI clock", "c initialiser loops", "start function loops", "host calls without end",
)  # fmt: skip


class SoakHost:
    """Answers after a pass of the loop."""

    async def db_query(self, sql: str, params: str) -> tuple[bool, bytes]:
        await asyncio.sleep(0)
        return True, b'{"rows":[{"n":1}],"rowCount":1}'

    async def http_fetch(self, request: str) -> tuple[bool, bytes]:
        return False, b"{}"

    def log(self, level: str, message: str, at: float) -> None:
        pass

    def env(self, key: str) -> str | None:
        return None


class Soak:
    """The mix, and what came of it."""

    def __init__(
        self,
        runtime: Runtime,
        compiled: Component,
        javascript: Component,
        hostile: list[tuple[Component, Any]],
    ) -> None:
        self.runtime = runtime
        self.compiled = compiled
        self.javascript = javascript
        self.hostile = hostile  # with their cases
        self.outcomes: Counter[str] = Counter()

    async def some(self, count: int) -> None:
        """`count` invocations, `AT_ONCE` at a time."""
        left = iter(range(count))
        await asyncio.gather(*(self._one_after_another(left) for _ in range(AT_ONCE)))

    async def _one_after_another(self, left: "object") -> None:
        for number in left:  # type: ignore[attr-defined]
            if number % 50 == 0:
                await self._cancelled()
            else:
                await (self._hostile() if number % 50 == 25 else self._one())

    async def _one(self) -> None:
        if random.random() < 0.2:
            event, expected, guest = (
                b'{"trigger":"http","request":{"body":{}}}',
                Outcome.SUCCESS,
                self.javascript,
            )
        else:
            weights = [weight for _, weight, _ in DEEDS]
            event, _, expected = random.choices(DEEDS, weights)[0]
            guest = self.compiled
        spins = expected is Outcome.TIMEOUT
        limits = Limits(timeout_ms=20 if spins else 60_000, memory_mb=16)
        run = await self.runtime.run(guest, event, SoakHost(), limits)
        assert run.outcome is expected, (event[:10], run)
        self.outcomes[run.outcome] += 1

    async def _hostile(self) -> None:
        guest, case = random.choice(self.hostile)
        ends = case.outcome is Outcome.TIMEOUT
        limits = Limits(timeout_ms=20 if ends else 60_000, memory_mb=case.memory_mb)
        run = await self.runtime.run(guest, case.sent(), SoakHost(), limits)
        assert run.outcome is case.outcome, run
        self.outcomes[run.outcome] += 1

    async def _cancelled(self) -> None:
        run = self.runtime.run(self.compiled, b"s", SoakHost(), Limits(timeout_ms=60_000))
        task = asyncio.create_task(run)
        for _ in range(random.randrange(5)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.outcomes["cancelled"] += 1


def private_mb() -> float:
    """This process's own memory."""
    match = re.search(r"Private_Dirty:\s+(\d+) kB", Path("/proc/self/smaps_rollup").read_text())
    assert match is not None
    return int(match.group(1)) / 1024


async def soak(invocations: int) -> None:
    """Run the mix in tenths, watching memory."""
    with tempfile.TemporaryDirectory() as folder:
        runtime = Runtime(RuntimeConfig(cache_dir=Path(folder), max_instances=1000))
        build(ROOT / "bench" / "guests" / "hello.js", Path(folder) / "hello.wasm")
        guests = []
        for path in (ROOT / "tests" / "guests" / "c" / "hostile.wasm", Path(folder) / "hello.wasm"):
            guests.append(await _load(runtime, path.read_bytes()))
        mix = Soak(runtime, guests[0], guests[1], await _hostile(runtime))
        memory, began = [], time.perf_counter()
        for tenth in range(10):
            await mix.some(invocations // 10)
            memory.append(private_mb())
            seconds = time.perf_counter() - began
            line = {
                "tenth": tenth + 1,
                "seconds": seconds,
                "private_mb": memory[-1],
                "outcomes": mix.outcomes,
            }
            print(json.dumps(line), flush=True)
        await runtime.close()
    most = GROWTH_MB + GROWTH_BYTES * invocations / 2 / (1 << 20)
    assert memory[-1] - memory[4] < most, memory


async def _hostile(runtime: Runtime) -> list[tuple[Component, Any]]:
    javascript = js_component(GUESTS / "js" / "hostile.js")
    return [(await _load(runtime, CASES[name].wasm(javascript)), CASES[name]) for name in HOSTILE]


async def _load(runtime: Runtime, wasm: bytes) -> Component:
    async def fetch() -> bytes:
        return wasm

    return await runtime.load(await runtime.prepare(wasm), fetch)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--invocations", type=int, default=200_000)
    asyncio.run(soak(parser.parse_args().invocations))
