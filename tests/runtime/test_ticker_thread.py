"""The clock's thread: what it sees in the moment it parks, what it takes no notice of, how it begins and ends."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import build_library
import pytest
from sandbox_kit import IDLE_TICKS, ROOT, until_ticks, when_it_stands_still

from aerofn.runtime.ticker import Ticker

NATIVE = ROOT / "aerofn" / "runtime" / "native"
TASKS = Path("/proc/self/task")
SHORT_MS = 0.001  # a slice so short that an idle ticker parks within two milliseconds
on_linux = pytest.mark.skipif(not TASKS.exists(), reason="Linux alone tells of its threads")

HAMMER = r"""
#define _POSIX_C_SOURCE 200809L
#include <time.h>
#define nanosleep(slice, rest) ((void)(slice), 0) /* it parks within a microsecond */
#include "ticker.c"
#include <stdio.h>

enum { ROUNDS = 50000, LEAST = 1000 /* a lost signal shows in the first hundred or two */ };
struct wasmtime api;

/* Advance a guest for two ticks; false if there are none. */
static bool advanced(struct ticker *ticker)
{
    ticker_enter(ticker);
    uint64_t first = aerofn_ticker_ticks(ticker);
    time_t latest = time(NULL) + 20;
    while (aerofn_ticker_ticks(ticker) < first + 2)
        if (time(NULL) > latest)
            return false;
    ticker_leave(ticker);
    return true;
}

int main(void)
{
    struct ticker *ticker = aerofn_ticker_new(1);
    volatile unsigned spins;
    if (!ticker || !aerofn_ticker_start(ticker)) {
        puts("no thread");
        return 1;
    }
    bool seen = true;
    time_t end = time(NULL) + 30; /* on a busy machine each round waits for a processor */
    for (unsigned i = 0; seen && i < ROUNDS && (i < LEAST || time(NULL) < end); i++) {
        seen = advanced(ticker);
        for (spins = (unsigned)rand() % 4096; spins; spins--)
            ;
    }
    aerofn_ticker_stop(ticker);
    aerofn_ticker_free(ticker);
    puts(seen ? "seen" : "overlooked");
}
"""


def test_who_comes_in_the_moment_it_parks_is_not_overlooked(tmp_path: Path) -> None:
    """That takes nanoseconds, and only C without the pauses between ticks comes as near to it."""
    source, program = tmp_path / "hammer.c", tmp_path / "hammer"
    source.write_text(HAMMER)
    command = [*(build_library.compiler() or []), "-std=c11", "-O2", "-pthread", f"-I{NATIVE}", str(source)]
    subprocess.run([*command, str(NATIVE / "thread.c"), "-o", str(program)], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=200)
    assert (done.returncode, done.stdout) == (0, "seen\n"), done.stderr


def test_its_end_in_the_moment_it_parks_is_not_overlooked() -> None:
    ended = 0

    def hammer() -> None:
        nonlocal ended
        for _ in range(500):
            ticker = Ticker(SHORT_MS)
            ticker.start()
            while ticker.ticks <= IDLE_TICKS:
                pass
            ticker.stop()
            ended += 1

    thread = threading.Thread(target=hammer, daemon=True)
    thread.start()
    thread.join(120)
    assert ended == 500


@pytest.mark.parametrize("parked", [False, True])
async def test_nothing_ticks_once_it_is_stopped(parked: bool) -> None:
    ticker = Ticker(slice_ms=5 if parked else 200)
    ticker.start()
    if parked:
        await when_it_stands_still(ticker)
    else:
        await until_ticks(ticker, 1)
    ticker.stop()
    last = ticker.ticks
    await asyncio.sleep(0.5)
    assert ticker.ticks == last


@on_linux
async def test_its_thread_sleeps_takes_no_signals_and_ends() -> None:
    before, mask = _threads(), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    ticker = Ticker(slice_ms=1)
    ticker.start()
    (thread,) = _threads() - before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
    await when_it_stands_still(ticker)
    woken = _status(thread, "voluntary_ctxt_switches")
    await asyncio.sleep(0.5)
    assert _status(thread, "voluntary_ctxt_switches") == woken
    assert _taken(thread) == {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGABRT"}
    ticker.stop()
    async with asyncio.timeout(10):  # /proc may be a moment late
        while thread in _threads():
            await asyncio.sleep(0.001)


def _threads() -> set[str]:
    return {path.name for path in TASKS.iterdir()}


def _status(thread: str, name: str) -> str:
    lines = (TASKS / thread / "status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


def _taken(thread: str) -> set[str]:
    """The names of the signals that it does not block; nobody can block SIGKILL and SIGSTOP."""
    blocked = int(_status(thread, "SigBlk"), 16)
    free = {number for number in signal.valid_signals() if not blocked >> (number - 1) & 1}
    return {signal.Signals(number).name for number in free - {signal.SIGKILL, signal.SIGSTOP}}


NO_ROOM = """
import resource
from aerofn.errors import HostError
from aerofn.runtime.ticker import Ticker
ticker = Ticker(1)
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (1 << 20, hard))
try:
    ticker.start()
except HostError:
    refused = True
resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
assert refused
ticker.start()
while not ticker.ticks:
    pass
ticker.stop()
print("ticked")
"""


@on_linux
def test_without_a_thread_it_can_be_started_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "ticked\n"), done.stderr


LEFT = """
import gc
from aerofn.runtime.tier import Tiers
tiers = Tiers(2, 1)
ticker = tiers.ticker
ticker.start()
del tiers
gc.collect()
while ticker.ticks < 5:
    pass
print("ticked")
"""


def test_one_that_nobody_stops_does_no_harm() -> None:
    """Its engines stay while it ticks, in whatever order Python lets go of them, at its end too."""
    environment = {**os.environ, "MALLOC_PERTURB_": "165"}  # glibc overwrites what is freed
    done = subprocess.run(
        [sys.executable, "-c", LEFT], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "ticked\n"), done.stderr
