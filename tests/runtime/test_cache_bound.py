"""The cache directory keeps to its bound, whoever else uses it at the same time, and whatever is left half done."""

import asyncio
import hashlib
import os
import random
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import wat
from sandbox_kit import FakeHost, Sandbox

from aerofn.model import Limits, Outcome
from aerofn.runtime import Runtime
from aerofn.runtime.vault import Vault

Make = Callable[..., Awaitable[Runtime]]
GUESTS = [wat.component(f"(drop (i32.const {n}))") for n in range(5)]


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    """One of the test's own: what is in it is what is tested."""
    return tmp_path / "cache"


def digest(wasm: bytes) -> bytes:
    return hashlib.sha256(wasm).digest()


def kept(cache: Path) -> set[bytes]:
    """Which of the guests are in the directory, code and label."""
    names = {path.name[:64] for path in cache.glob("*.cwasm")}
    assert names == {path.name[:64] for path in cache.glob("*.label")}
    return {wasm for wasm in GUESTS if digest(wasm).hex() in names}


def last_used(cache: Path, wasm: bytes, seconds: float) -> None:
    """Have it used so long ago."""
    path = Vault(cache).path(digest(wasm))
    os.utime(path.with_suffix(".label"), (0, time.time() - seconds))
    os.utime(path, (0, 1))


def size(cache: Path) -> int:
    return sum(path.stat().st_size for pattern in ("*.cwasm", "*.label") for path in cache.glob(pattern))


async def test_what_was_not_used_for_longest_goes_and_runs_on_where_it_is_loaded(
    make_runtime: Make, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    first = await make_runtime()
    held = [await Sandbox(first).load(wasm) for wasm in GUESTS[:3]]
    for age, wasm in enumerate(GUESTS[:3]):  # the first was used last, whichever was made first
        last_used(cache, wasm, 60 * (1 + age))
    other = await make_runtime(cache_bytes=size(cache))
    await other.prepare(GUESTS[3])
    assert kept(cache) == {GUESTS[0], GUESTS[1], GUESTS[3]}
    last_used(cache, GUESTS[3], 30)
    await first.tidy()  # in use there
    await other.prepare(GUESTS[4])
    assert kept(cache) == {GUESTS[0], GUESTS[1], GUESTS[4]}
    small = await make_runtime(cache_bytes=0)
    await small.tidy()
    assert kept(cache) == set()
    # Loaded for the crowd's tier only now: the file has gone, and is open.
    for component in held:
        for tier in (first._tiers.warm, first._tiers.cold):
            assert component.code(tier).plan
        run = await first.run(component, b"{}", FakeHost(), Limits())
        assert run.outcome is Outcome.SUCCESS
    assert await small.prepare(GUESTS[0])  # kept nowhere, and runs
    assert (await Sandbox(small).run(await Sandbox(small).load(GUESTS[0]))).outcome is Outcome.SUCCESS


async def test_what_was_left_half_done_goes_in_time(make_runtime: Make, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    runtime = await make_runtime()
    await runtime.prepare(GUESTS[0])
    left, fresh, orphan = cache / "compiling-left", cache / "compiling-now", cache / f"{'0' * 64}-x.label"
    for path in (left, fresh, orphan):
        path.write_bytes(b"x" * 100)
    for path in (left, orphan):
        os.utime(path, (0, time.time() - 7200))
    Vault(cache).trim(size(cache) - 1)  # as after a crash between the two files of a component
    assert not left.exists()
    assert not orphan.exists()
    assert fresh.exists()
    assert kept(cache) == {GUESTS[0]}
    assert (cache / "key").exists()


async def test_many_that_keep_find_and_trim_are_never_given_what_is_wrong(tmp_path: Path) -> None:
    """As processes that share the directory, each with a vault of its own."""
    until, code = time.monotonic() + 2.0, b"code " * 1000

    def worker(number: int) -> int:
        vault, found = Vault(tmp_path / "cache"), 0
        while time.monotonic() < until:
            for n in random.sample(range(8), 8):
                one = hashlib.sha256(bytes([n])).digest()
                have = vault.find(one)
                if have is None:
                    scratch = vault.scratch()
                    scratch.write_bytes(code + one)
                    file = vault.keep(one, scratch, bytes([n]))
                else:
                    file, text = have
                    found += 1
                    assert text == bytes([n])
                assert file.path.read_bytes() == code + one
                vault.trim(len(code) * 6)
        return found

    with ThreadPoolExecutor(4) as pool:
        loop = asyncio.get_running_loop()
        found = await asyncio.gather(*(loop.run_in_executor(pool, worker, n) for n in range(4)))
    assert sum(found)
    assert size(tmp_path / "cache") <= len(code) * 6
    assert not list((tmp_path / "cache").glob("compiling-*"))
