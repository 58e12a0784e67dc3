"""Compiled components: shared work, bounds, and files that are never trusted without their tag."""

import asyncio
import hashlib
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import wat
from sandbox_kit import FakeHost, Sandbox

from aerofn.errors import InvalidComponent
from aerofn.model import Limits, Outcome
from aerofn.runtime import Runtime

WASM = wat.component()
DIGEST = hashlib.sha256(WASM).digest()
Make = Callable[..., Awaitable[Runtime]]


class Source:
    """Where a component's bytes come from, counting how often."""

    def __init__(self, wasm: bytes = WASM) -> None:
        self.wasm = wasm
        self.fetched = 0

    async def __call__(self) -> bytes:
        self.fetched += 1
        await asyncio.sleep(0)
        return self.wasm


async def run_it(runtime: Runtime, source: Source) -> None:
    component = await runtime.load(DIGEST, source)
    run = await runtime.run(component, b"{}", FakeHost(), Limits())
    assert run.outcome is Outcome.SUCCESS


async def test_what_was_compiled_is_loaded_by_the_next_process(make_runtime: Make) -> None:
    source = Source()
    await run_it(await make_runtime(), source)
    await run_it(await make_runtime(), source)
    assert source.fetched == 1


async def test_those_who_load_at_once_share_the_work(make_runtime: Make) -> None:
    runtime, source = await make_runtime(), Source()
    components = await asyncio.gather(*(runtime.load(DIGEST, source) for _ in range(20)))
    assert source.fetched == 1
    assert len({id(component) for component in components}) == 1


async def test_one_who_gives_up_does_not_stop_the_others(make_runtime: Make) -> None:
    runtime, source = await make_runtime(), Source()
    first, second = (asyncio.create_task(runtime.load(DIGEST, source)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert source.fetched == 1


async def test_memory_holds_no_more_than_its_bound(make_runtime: Make) -> None:
    runtime = await make_runtime(max_loaded=2)
    own = Sandbox(runtime)
    components = [await own.load(wat.component(f"(drop (i32.const {i}))")) for i in range(4)]
    assert runtime.loaded == 2
    # one that was let go still runs for whoever holds it
    assert (await own.run(components[0])).outcome is Outcome.SUCCESS


async def test_the_cache_is_for_its_owner_alone(make_runtime: Make, tmp_path: Path) -> None:
    directory = tmp_path / "shared"
    directory.mkdir(mode=0o777)
    await run_it(await make_runtime(cache_dir=directory), Source())
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {0o600}


def _replace(path: Path, data: bytes) -> None:
    # not in place: a runtime of this process still has the file mapped
    path.unlink()
    path.write_bytes(data)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    _replace(path, bytes(data))


def truncate(path: Path) -> None:
    _replace(path, path.read_bytes()[:-20])


def empty(path: Path) -> None:
    _replace(path, b"")


@pytest.mark.parametrize("damage", [flip, truncate, empty, Path.unlink])
@pytest.mark.parametrize("suffix", [".cwasm", ".label", "key"])
async def test_damaged_files_are_compiled_anew(
    make_runtime: Make, tmp_path: Path, damage: Callable[[Path], None], suffix: str
) -> None:
    source = Source()
    await run_it(await make_runtime(), source)
    (path,) = (file for file in (tmp_path / "cache").iterdir() if file.name.endswith(suffix))
    damage(path)
    await run_it(await make_runtime(), source)
    assert source.fetched == 2


async def test_a_file_of_another_component_is_not_trusted_under_this_name(
    make_runtime: Make, tmp_path: Path
) -> None:
    other = wat.component("unreachable")
    await (await make_runtime()).prepare(other)
    source = Source()
    for path in list((tmp_path / "cache").glob(f"{hashlib.sha256(other).hexdigest()}*")):
        path.rename(path.with_name(path.name.replace(hashlib.sha256(other).hexdigest(), DIGEST.hex())))
    await run_it(await make_runtime(), source)
    assert source.fetched == 1


async def test_a_file_from_another_cache_is_not_trusted(make_runtime: Make, tmp_path: Path) -> None:
    await run_it(await make_runtime(cache_dir=tmp_path / "theirs"), Source())
    mine = await make_runtime(cache_dir=tmp_path / "mine")
    for path in (tmp_path / "theirs").glob(f"{DIGEST.hex()}*"):
        (tmp_path / "mine" / path.name).write_bytes(path.read_bytes())
    source = Source()
    await run_it(mine, source)
    assert source.fetched == 1


async def test_bytes_with_another_digest_are_refused(make_runtime: Make) -> None:
    with pytest.raises(InvalidComponent, match="digest"):
        await (await make_runtime()).load(DIGEST, Source(wat.component("nop nop")))


async def test_a_failed_load_can_be_tried_again(make_runtime: Make) -> None:
    runtime, source = await make_runtime(), Source(b"not it")
    with pytest.raises(InvalidComponent):
        await runtime.load(DIGEST, source)
    source.wasm = WASM
    await run_it(runtime, source)
