"""Compiled components: shared work, bounds, and files that are never trusted without their tag."""

import asyncio
import gc
import hashlib
import shutil
import stat
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import wat
from sandbox_kit import ROOT, FakeHost, Sandbox

from aerofn.errors import HostError, InvalidComponent
from aerofn.model import Limits, Outcome
from aerofn.runtime import Runtime, config

WASM = wat.component()
DIGEST = hashlib.sha256(WASM).digest()
Make = Callable[..., Awaitable[Runtime]]


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    """One of the test's own: what is in it is what is tested."""
    return tmp_path / "cache"


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


CODE_SHAPE = {
    "WASMTIME_VERSION": "45.0.1",
    "CODE_FORMAT": "aerofn-2",
    "WASM_STACK": 1 << 20,
    "FIBER_STACK": 2 << 20,
    "RESERVED": 2 << 30,
    "MAX_MEMORIES": 5,
    "MAX_TABLES": 9,
    "MAX_TABLE_ELEMENTS": 9,
    "MAX_CORE_INSTANCES": 101,
}


@pytest.mark.parametrize("name", CODE_SHAPE)
async def test_code_of_another_wasmtime_or_configuration_is_not_loaded(
    make_runtime: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Neither as it is, nor under the name that it would have here."""
    cache, source = tmp_path / "cache", Source()
    with monkeypatch.context() as other:
        other.setattr(config, name, CODE_SHAPE[name])
        await run_it(await make_runtime(), source)
    (theirs,) = cache.glob("*.cwasm")
    runtime = await make_runtime()
    await run_it(runtime, source)
    assert source.fetched == 2
    (ours,) = set(cache.glob("*.cwasm")) - {theirs}
    assert runtime._components._vault.path(DIGEST) == ours
    for suffix in (".cwasm", ".label"):
        theirs.with_suffix(suffix).replace(ours.with_suffix(suffix))
    await run_it(await make_runtime(), source)
    assert source.fetched == 3


async def test_bytes_with_another_digest_are_refused(make_runtime: Make) -> None:
    with pytest.raises(InvalidComponent, match="digest"):
        await (await make_runtime()).load(DIGEST, Source(wat.component("nop nop")))


async def test_a_failed_load_can_be_tried_again(make_runtime: Make) -> None:
    runtime, source = await make_runtime(), Source(b"not it")
    with pytest.raises(InvalidComponent):
        await runtime.load(DIGEST, source)
    source.wasm = WASM
    await run_it(runtime, source)


async def test_a_component_is_not_loaded_when_there_is_no_memory_for_its_plan(
    make_runtime: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runtime, source = await make_runtime(), Source()
    with monkeypatch.context() as scarce:
        scarce.setattr("aerofn.runtime.sandbox.plan_new", lambda *_: None)  # what ctypes makes of C's NULL
        with pytest.raises(HostError, match="cannot be loaded"):
            await runtime.load(DIGEST, source)
    assert "no memory for it" in caplog.text
    await run_it(runtime, source)


async def test_a_cache_directory_that_takes_nothing_costs_memory_only(
    make_runtime: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk, or one that was taken away: neither a deploy nor an invocation fails for it."""
    directory = tmp_path / "cache"
    runtime, source = await make_runtime(cache_dir=directory), Source()
    shutil.rmtree(directory)
    directory.write_text("no directory any more")
    await run_it(runtime, source)
    assert await runtime.prepare(wat.component("(drop (i32.const 7))"))
    assert "the cache directory takes nothing" in caplog.text
    before = len(list(Path("/proc/self/fd").iterdir()))
    await runtime.close()
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before - 2
    directory.unlink()
    await run_it(await make_runtime(cache_dir=directory), source)
    assert source.fetched == 2


async def test_a_load_that_fails_for_nobody_is_no_error_of_the_loop(make_runtime: Make) -> None:
    runtime, said = await make_runtime(), []
    gc.collect()  # what other tests have left speaks before
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    loading = asyncio.create_task(runtime.load(DIGEST, Source(b"something else")))
    await asyncio.sleep(0)
    loading.cancel()
    async with asyncio.timeout(30):
        while runtime._components._loading:
            await asyncio.sleep(0.01)
    gc.collect()
    asyncio.get_running_loop().set_exception_handler(None)
    assert said == []


async def test_nodes_on_one_machine_compile_a_component_once(tmp_path: Path) -> None:
    """Each says which file it found: a second compilation would have put another one there."""
    guest, cache = tmp_path / "guest.wasm", tmp_path / "cache"
    guest.write_bytes(wat.component("(drop (i32.const 11))"))
    cache.mkdir(mode=0o700)
    said = await asyncio.gather(*(_prepared_elsewhere(guest, cache) for _ in range(3)))
    (compiled,) = cache.glob("*.cwasm")
    assert said == [str(compiled.stat().st_ino)] * 3


async def _prepared_elsewhere(guest: Path, cache: Path) -> str:
    code = """
import asyncio, sys
from pathlib import Path
from aerofn.runtime import Runtime, RuntimeConfig
cache = Path(sys.argv[2])
asyncio.run(Runtime(RuntimeConfig(cache_dir=cache)).prepare(Path(sys.argv[1]).read_bytes()))
print(next(cache.glob("*.cwasm")).stat().st_ino)
"""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(guest), str(cache), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    out, _ = await child.communicate()
    return out.decode().strip()
