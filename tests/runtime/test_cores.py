"""Core modules that components share: taken out, compiled once, and never reached but by those that have them."""

import gc
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sandbox_kit import Sandbox, no_fetch
from wasmtime import wat2wasm

from aerofn.errors import InvalidComponent
from aerofn.model import Outcome
from aerofn.runtime import Runtime, binary
from aerofn.runtime.cores import LARGE, Split, name_of, split
from aerofn.runtime.surgery import Scope

Make = Callable[..., Awaitable[Runtime]]
HOME = r"""
(core module $home
  (memory (export "memory") 1)
  (data (i32.const 16) "\22{answer}\22")
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
(core instance $h (instantiate $home))
"""
CODE = """
(core module $code
  (import "home" "memory" (memory 1))
  (global (export "mutable") (mut i32) (i32.add (i32.const 1) (i32.const 2)))
  (global (export "constant") i64 (i64.const 5))
  (table (export "table") 2 funcref)
  (func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))
  (func (export "handle") (param i32 i32) (result i32)
    {body}
    (i32.store (i32.const 4) (i32.const 16)) (i32.store (i32.const 8) (i32.const 4)) (i32.const 0))
  (func (export "never called") """ + "nop " * LARGE + """))
"""  # fmt: skip
HANDLE = """
(core instance $i (instantiate $code (with "home" (instance $h))))
(func (export "handle") (param "event" string) (result (result string (error string)))
  (canon lift (core func $i "handle") (memory (core memory $h "memory")) (realloc (core func $h "realloc"))))
"""


def shared(answer: str = "ok", body: str = "", *, nested: bool = False, more: str = "") -> bytes:
    """A component whose code imports its memory, as those of language runtimes do."""
    inside = HOME.format(answer=answer) + CODE.format(body=body) + HANDLE
    if nested:
        inside = (
            f'(component $c {inside}) (instance $n (instantiate $c)) (export "handle" (func $n "handle"))'
        )
    return bytes(wat2wasm(f"(component {more} {inside})"))


def parts(wasm: bytes) -> Split:
    scope = Scope(wasm)
    return split(scope.wasm, nested=scope.counts["core module"] == 0)


def core_files(cache: Path) -> list[Path]:
    return [
        label.with_suffix(".cwasm") for label in cache.glob("*.label") if label.read_bytes()[32:] == b"core"
    ]


@pytest.mark.parametrize("nested", [False, True])
async def test_components_share_what_is_the_same(make_runtime: Make, tmp_path: Path, nested: bool) -> None:
    cache = tmp_path / "cache"
    sandbox = Sandbox(await make_runtime(cache_dir=cache))
    one, two = (
        await sandbox.load(shared("1!", nested=nested)),
        await sandbox.load(shared("2!", nested=nested)),
    )
    assert one.anatomy.cores == two.anatomy.cores
    assert len(one.anatomy.cores) == 1
    assert [(await sandbox.run(guest)).output for guest in (one, two, one)] == [b'"1!"', b'"2!"', b'"1!"']
    assert len(core_files(cache)) == 1
    assert len(list(cache.glob("*.cwasm"))) == 3
    assert not list(cache.glob("compiling-*"))
    links = sandbox.runtime._components._links
    assert (len(links._links), len(links._modules)) == (1, 1)


async def test_limits_and_traps_are_those_of_a_whole_component(sandbox: Sandbox) -> None:
    grow = "(loop $a (br_if $a (i32.ne (i32.const -1) (memory.grow (i32.const 16)))))"
    run = await sandbox.run(shared(body=grow), memory_mb=16)
    assert (run.outcome, run.usage.memory_peak) == (Outcome.MEMORY_LIMIT, 16 << 20)
    run = await sandbox.run(shared(body="(drop (memory.grow (i32.const 16)))"), memory_mb=16)
    assert (run.outcome, run.usage.memory_peak) == (Outcome.SUCCESS, 17 << 16)
    run = await sandbox.run(shared(body="(drop (call $deep (i32.const 1)))"))
    assert run.outcome is Outcome.TRAP
    assert "stack" in (run.error.message if run.error else "")
    assert (await sandbox.run(shared(body="(loop $a (br $a))"), timeout_ms=50)).outcome is Outcome.TIMEOUT
    assert (await sandbox.run(shared(body="unreachable"))).outcome is Outcome.TRAP


async def test_what_is_kept_is_found_again(make_runtime: Make, tmp_path: Path) -> None:
    cache, wasm = tmp_path / "cache", shared()
    digest = await (await make_runtime(cache_dir=cache)).prepare(wasm)
    assert len(core_files(cache)) == 1
    later = await make_runtime(cache_dir=cache)
    assert (await later.load(digest, no_fetch)).anatomy.cores


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?")])
async def test_a_lost_or_damaged_core_is_compiled_again(
    make_runtime: Make, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    cache, wasm = tmp_path / "cache", shared()
    digest = await (await make_runtime(cache_dir=cache)).prepare(wasm)
    (core,) = core_files(cache)
    harm(core)
    fetched: list[int] = []

    async def fetch() -> bytes:
        fetched.append(1)
        return wasm

    sandbox = Sandbox(await make_runtime(cache_dir=cache))
    assert (await sandbox.run(await sandbox.runtime.load(digest, fetch))).output == b'"ok"'
    assert fetched == [1]
    assert core_files(cache) == [core]


async def test_a_core_of_another_processor_is_compiled_again(make_runtime: Make, tmp_path: Path) -> None:
    """Its tag is right, and wasmtime does not take it: who comes next must not do without for good."""
    cache, runtime = tmp_path / "cache", await make_runtime(cache_dir=tmp_path / "cache")
    (digest,) = parts(shared()).cores
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"machine code of another machine")
    runtime._components._vault.keep(bytes.fromhex(digest), foreign, b"core")
    sandbox = Sandbox(runtime)
    guest = await sandbox.load(shared())
    assert guest.anatomy.cores == (digest,)
    assert (await sandbox.run(guest)).output == b'"ok"'
    (core,) = core_files(cache)
    assert core.read_bytes()[:4] == b"\x7fELF"  # wasmtime's machine code


def test_a_module_that_exports_nothing_is_left_alone() -> None:
    body = b"\x00" + b"\x01" * LARGE + b"\x0b"
    export = binary.section(7, b"\x01" + binary.name(b"f") + b"\x00\x05")
    module = (
        b"\0asm\x01\0\0\0"
        + binary.section(1, b"\x01\x60\x00\x00")
        + binary.section(3, b"\x01\x00")
        + export
        + binary.section(10, b"\x01" + binary.name(body))
    )
    wasm = b"\0asm\x0d\0\x01\0" + binary.section(1, module)
    assert split(wasm, nested=False) == Split(wasm)


async def test_nobody_imports_anothers_core(sandbox: Sandbox) -> None:
    """Not by its name, neither one that is kept nor the one that is taken out of the component itself."""
    ours = await sandbox.load(shared())
    (digest,) = ours.anatomy.cores
    for guest in (shared, lambda more: bytes(wat2wasm(f"(component {more})"))):
        with pytest.raises(InvalidComponent) as refused:
            await sandbox.load(guest(more=f'(import "{name_of(digest)}" (core module))'))
        assert name_of(digest) in f"{refused.value.message} {refused.value.detail}"


async def test_code_is_freed_with_the_last_component(make_runtime: Make, tmp_path: Path) -> None:
    sandbox = Sandbox(await make_runtime(cache_dir=tmp_path / "cache", max_loaded=1))
    await sandbox.run(shared())
    await sandbox.run(shared("no"))
    links = sandbox.runtime._components._links
    gc.collect()
    assert len(links._modules) == 1
    await sandbox.run(
        bytes(wat2wasm(f"(component {HOME.format(answer='x')})")) and shared(body="(drop (i32.const 1))")
    )
    gc.collect()
    assert len(links._modules) == 1  # of another code; the first one's is gone


def test_only_large_code_that_imports_its_memory_is_taken_out() -> None:
    wasm = shared()
    found = parts(wasm)
    (core,) = found.cores.values()
    assert list(found.cores) == [hashlib.sha256(core).hexdigest()]
    assert len(found.wasm) < LARGE
    own_memory = CODE.replace('(import "home" "memory" (memory 1))', "(memory 1)").format(body="")
    assert parts(bytes(wat2wasm(f"(component {own_memory})"))).cores == {}
    assert parts(bytes(wat2wasm(f"(component {HOME.format(answer='ok')})"))).cores == {}


@pytest.mark.parametrize(
    "more",
    ["(core type (module))", CODE.format(body="").replace("$code", '$again (@name "code")')],
    ids=["core types", "the same module twice"],
)
async def test_what_would_change_other_indices_is_compiled_whole(sandbox: Sandbox, more: str) -> None:
    guest = await sandbox.load(shared(more=more))
    assert guest.anatomy.cores == ()
    assert (await sandbox.run(guest)).output == b'"ok"'


async def test_a_component_around_with_modules_of_its_own_is_compiled_whole(sandbox: Sandbox) -> None:
    guest = await sandbox.load(shared(nested=True, more="(core module $m) (core instance (instantiate $m))"))
    assert guest.anatomy.cores == ()
    assert (await sandbox.run(guest)).output == b'"ok"'
