"""Memory: all of a guest's together stay within its limit, and how much it was is told."""

import pytest
import wat
from sandbox_kit import Sandbox
from wasmtime import wat2wasm

from aerofn.model import Outcome, Run
from aerofn.runtime import binary
from aerofn.runtime.binary import Reader

PAGES_OF_64_MIB = 1024
# four modules with a memory each, and a fifth that grows them all as far as it can and tells their sizes, added up
GROWER = """(component {homes}
  (core module $grower {imports}
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
    (func (export "handle") (param i32 i32) (result i32)
      (local $sum i32) (local $at i32)
      {growth}
      (local.set $at (i32.const 24))
      (loop $digits
        (local.set $at (i32.sub (local.get $at) (i32.const 1)))
        (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $sum) (i32.const 10))))
        (br_if $digits (local.tee $sum (i32.div_u (local.get $sum) (i32.const 10)))))
      (i32.store (i32.const 4) (local.get $at))
      (i32.store (i32.const 8) (i32.sub (i32.const 24) (local.get $at)))
      (i32.const 0)))
  (core instance $i (instantiate $grower {arguments}))
  (func (export "handle") (param "event" string) (result (result string (error string)))
    (canon lift (core func $i "handle") (memory (core memory $h0 "m")) (realloc (core func $i "realloc")))))
"""


def grower(memories: int = 4) -> bytes:
    each = range(memories)
    growth = """(loop $more{n} (br_if $more{n} (i32.ne (i32.const -1) (memory.grow $m{n} (i32.const 1)))))
      (local.set $sum (i32.add (local.get $sum) (memory.size $m{n})))"""
    parts = {
        "homes": '(core module $c{n} (memory (export "m") 1)) (core instance $h{n} (instantiate $c{n}))',
        "imports": '(import "h{n}" "m" (memory $m{n} 1))',
        "growth": growth,
        "arguments": '(with "h{n}" (instance $h{n}))',
    }
    filled = {name: " ".join(part.format(n=n) for n in each) for name, part in parts.items()}
    return bytes(wat2wasm(GROWER.format(**filled)))


def static(*pages: int, body: str = "") -> bytes:
    """A guest whose memories cannot grow."""
    more = " ".join(f"(memory {size})" for size in pages[1:])
    return bytes(
        wat2wasm(f"""(component
  (core module $m (memory (export "memory") {pages[0]})
    (data (i32.const 16) "\\22ok\\22")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
    (func (export "handle") (param i32 i32) (result i32)
      {body}
      (i32.store (i32.const 4) (i32.const 16)) (i32.store (i32.const 8) (i32.const 4)) (i32.const 0)))
  (core module $more {more})
  (core instance $i (instantiate $m))
  (core instance (instantiate $more))
  (func (export "handle") (param "event" string) (result (result string (error string)))
    (canon lift (core func $i "handle") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))""")
    )


def rewritten(wasm: bytes, old: bytes, new: bytes) -> bytes:
    """A component with other bytes in the code of its core modules."""
    parts = [wasm[:8]]
    for kind, content in Reader(wasm, 8).sections():
        parts.append(binary.section(kind, _module(content, old, new) if kind == 1 else content))
    return b"".join(parts)


def _module(wasm: bytes, old: bytes, new: bytes) -> bytes:
    parts = [wasm[:8]]
    for kind, content in Reader(wasm, 8).sections():
        changed = content
        if kind == 10:
            reader = Reader(content)
            count = reader.number()
            bodies = [binary.name(reader.name().replace(old, new)) for _ in range(count)]
            changed = binary.number(count) + b"".join(bodies)
        parts.append(binary.section(kind, changed))
    return b"".join(parts)


@pytest.mark.parametrize("memories", [2, 4])
async def test_another_modules_memories_grow_within_the_limit(sandbox: Sandbox, memories: int) -> None:
    run = await sandbox.run(grower(memories), memory_mb=64)
    assert run.outcome is Outcome.SUCCESS, run.error
    assert run.output is not None
    assert PAGES_OF_64_MIB - memories < int(run.output) <= PAGES_OF_64_MIB
    assert run.usage.memory_peak is None  # nobody tells which of them grew


@pytest.mark.parametrize("index", [b"\x80\x00", b"\x80\x80\x80\x80\x00"])
async def test_a_long_way_to_write_an_index_hides_no_growth(sandbox: Sandbox, index: bytes) -> None:
    plain = wat.component(wat.GROWTH)
    # in `handle`: i32.const 16, memory.grow
    guest = rewritten(plain, b"\x41\x10\x40\x00", b"\x41\x10\x40" + index)
    assert guest != plain
    run = await sandbox.run(guest, memory_mb=64)
    assert (run.outcome, run.usage.memory_peak) == (Outcome.MEMORY_LIMIT, 64 << 20)


async def run_static(sandbox: Sandbox, *mib: int, body: str = "") -> Run:
    return await sandbox.run(static(*(16 * size for size in mib), body=body), memory_mb=128)


@pytest.mark.parametrize("mib", [(69,), (128,), (60, 68)])
async def test_memory_that_cannot_grow_may_be_all_of_the_limit(
    sandbox: Sandbox, mib: tuple[int, ...]
) -> None:
    run = await run_static(sandbox, *mib)
    assert run.outcome is Outcome.SUCCESS, run.error
    assert run.usage.memory_peak == sum(mib) << 20


@pytest.mark.parametrize("mib", [(129,), (100, 100), (127, 2)])
async def test_memory_above_the_limit_is_refused_though_each_is_below(
    sandbox: Sandbox, mib: tuple[int, ...]
) -> None:
    run = await run_static(sandbox, *mib)
    assert (run.outcome, run.usage.memory_peak) == (Outcome.MEMORY_LIMIT, 128 << 20)


@pytest.mark.parametrize(
    ("body", "outcome"), [("unreachable", Outcome.TRAP), ("(loop $a (br $a))", Outcome.TIMEOUT)]
)
async def test_the_peak_of_what_cannot_grow_is_known_however_it_ends(
    sandbox: Sandbox, body: str, outcome: Outcome
) -> None:
    run = await sandbox.run(static(32, body=body), timeout_ms=50)
    assert (run.outcome, run.usage.memory_peak) == (outcome, 2 << 20)
