"""Bulk operations: done in pieces with the same effect, interrupted, and cheap where they are small."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import msgspec
import pytest
import wat
from sandbox_kit import Sandbox
from wasmtime import Engine, Instance, Memory, Module, Store, Trap, TrapCode, wat2wasm

from aerofn.model import Outcome
from aerofn.runtime import Component, Runtime, binary, bulk, growth, section
from aerofn.runtime.binary import Reader
from aerofn.runtime.bulk import PIECE
from aerofn.runtime.components import HOT
from aerofn.runtime.fiber import Fiber
from aerofn.runtime.instructions import instructions, uncommon

Make = Callable[..., Awaitable[Runtime]]
MEMORY = 40 << 16
SEGMENT = "ab\\00cdefg" * 200_000
EACH = """(module (memory (export "one") 40) (memory (export "two") 40) (data $s "{segment}")
  (func (export "fill") (param i32 i32 i32) (memory.fill 0 {three}))
  (func (export "copy") (param i32 i32 i32) (memory.copy 0 0 {three}))
  (func (export "copy over") (param i32 i32 i32) (memory.copy 1 0 {three}))
  (func (export "init") (param i32 i32 i32) (memory.init 0 $s {three}))
  (func (export "drop") (param i32 i32 i32) (data.drop $s)))
"""
THREE = "(local.get 0) (local.get 1) (local.get 2)"
PLACES = (0, 1, 65_536, PIECE, MEMORY - PIECE, MEMORY - 1, MEMORY, MEMORY + 1, -1)
SIZES = (0, 1, 100, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 7, MEMORY - 1, MEMORY, MEMORY + 1, -1, -PIECE)


class Twin:
    """An instance of a module, and what calling it does to its memories."""

    def __init__(self, engine: Engine, wasm: bytes) -> None:
        self._store = Store(engine)
        self._exports = Instance(self._store, Module(engine, wasm), []).exports(self._store)
        self._memories: list[Memory] = [self._exports[name] for name in ("one", "two")]  # type: ignore[misc]
        self._memories[0].write(self._store, random.Random(1).randbytes(MEMORY), 0)

    def call(self, name: str, *arguments: int) -> tuple[TrapCode | None, list[bytes]]:
        trap = None
        try:
            self._exports[name](self._store, *arguments)  # type: ignore[operator]
        except Trap as error:
            trap = error.trap_code
        return trap, [bytes(memory.read(self._store)) for memory in self._memories]


def test_pieces_do_what_the_whole_does() -> None:
    plain, engine, dice = (
        bytes(wat2wasm(EACH.format(segment=SEGMENT, three=THREE))),
        Engine(),
        random.Random(3),
    )
    changed = growth.Module(plain).wasm
    assert changed.count(b"memory.copy") == 2  # by their names: one for each pair of memories
    twins = Twin(engine, plain), Twin(engine, changed)
    long = 0
    for name in ("fill", "copy", "copy over", "init", "drop", "init"):
        for _ in range(1 if name == "drop" else 60):
            to, start, size = dice.choice(PLACES), dice.choice(PLACES), dice.choice(SIZES)
            if dice.random() < 0.5:  # else few are within bounds
                to, start, size = (dice.randrange(MEMORY // 3) for _ in range(3))
                size += PIECE
            one, other = (twin.call(name, to, start, size) for twin in twins)
            assert one == other, (name, to, start, size)
            long += one[0] is None and size > PIECE
    assert long > 50


def points(code: str) -> int:
    """How many instructions are replaced."""
    plain = bytes(wat2wasm(f"(module (memory 1) (func (param i32) {code}))"))
    return growth.Module(plain).wasm.count(b"memory.fill")


@pytest.mark.parametrize(
    ("size", "replaced"),
    [
        ("(i32.const 0)", 0),
        (f"(i32.const {bulk.SMALL})", 0),
        (f"(i32.const {bulk.SMALL + 1})", 1),
        ("(i32.const -1)", 1),
        ("(i32.const -64)", 1),
        ("(local.get 0)", 1),
        ("(i32.const 8) (local.set 0) (local.get 0)", 1),
    ],
)
def test_small_constant_sizes_stay_as_they_are(size: str, replaced: int) -> None:
    assert points(f"(i32.const 0) (i32.const 0) {size} memory.fill") == replaced


def test_a_long_way_to_write_the_opcode_hides_nothing() -> None:
    plain = bytes(wat2wasm(f"(module (memory 1) (func (param i32 i32 i32) (memory.fill {THREE})))"))
    body = b"\x00\x20\x00\x20\x01\x20\x02\xfc%s\x00\x0b"
    for opcode in (b"\x0b", b"\x8b\x00", b"\x8b\x80\x80\x80\x00"):
        code = binary.section(section.CODE, b"\x01" + binary.name(body % opcode))
        parts = [
            code if kind == section.CODE else binary.section(kind, content)
            for kind, content in Reader(plain, 8).sections()
        ]
        wasm = plain[:8] + b"".join(parts)
        Module(Engine(), wasm)  # it is valid
        assert b"memory.fill" in growth.Module(wasm).wasm


def test_what_is_uncommon_is_found_as_one_by_one(js_wasm: bytes) -> None:
    found = 0
    for code in _codes(js_wasm):
        for start, end in section.bodies(code):
            every, constant = [], None
            for opcode, at, after in instructions(code, start, end):
                if opcode in (0x40, bulk.MORE):
                    every.append((opcode, at, after, constant))
                constant = at if opcode == 0x41 else None
            assert every == [each for each in uncommon(code, start, end) if each[0] in (0x40, bulk.MORE)]
            found += len(every)
    assert found > 300


def _codes(wasm: bytes) -> list[bytes]:
    """The code of all core modules of a component."""
    found = []
    for kind, content in Reader(wasm, 8).sections():
        if kind == 1:
            found += [code for inner, code in Reader(content, 8).sections() if inner == section.CODE]
        elif kind == 4:
            found += _codes(content)
    return found


def checked(places: dict[int, int]) -> str:
    """Traps unless these bytes are at these places."""
    return "".join(
        f"(if (i32.ne (i32.load8_u (i32.const {at})) (i32.const {byte})) (then unreachable))"
        for at, byte in places.items()
    )


MARKS = "".join(
    f"(i32.store8 (i32.const {(1 << 20) + at}) (i32.const {byte}))"
    for at, byte in ((0, 1), (50_000_000, 2), (99_999_999, 3))
)


@pytest.mark.parametrize("by", [7, 3 * PIECE + 5, -7, -(1 << 19)])
async def test_an_overlapping_copy_of_100_mb_is_right(sandbox: Sandbox, by: int) -> None:
    to = (1 << 20) + by
    body = f"""(drop (memory.grow (i32.const 1700))) {MARKS}
      (memory.copy (i32.const {to}) (i32.const {1 << 20}) (i32.const 100000000))"""
    places = {to: 1, to + 1: 0, to + 50_000_000: 2, to + 50_000_001: 0, to + 99_999_999: 3}
    run = await sandbox.run(wat.component(body + checked(places)), memory_mb=300)
    assert run.outcome is Outcome.SUCCESS, run.error


async def test_a_fill_of_128_mb_is_right(sandbox: Sandbox) -> None:
    start, size = 65_536, 128 << 20
    body = f"""(drop (memory.grow (i32.const 2100)))
      (memory.fill (i32.const {start}) (i32.const 65) (i32.const {size}))"""
    places = {start - 1: 0, start: 65, start + size // 2: 65, start + size - 1: 65, start + size: 0}
    run = await sandbox.run(wat.component(body + checked(places)), memory_mb=300)
    assert run.outcome is Outcome.SUCCESS, run.error


async def test_out_of_bounds_is_told_as_ever(sandbox: Sandbox) -> None:
    body = "(memory.fill (i32.const 65535) (i32.const 65) (i32.const 100000000))"
    run = await sandbox.run(wat.component(body))
    assert run.outcome is Outcome.TRAP
    assert run.error is not None
    assert "out of bounds memory access" in run.error.message


FILLS = """(drop (memory.grow (i32.const 8000)))
  (loop $again (memory.fill (i32.const 65536) (i32.const 65) (i32.const 524000000)) (br $again))"""


CATCHES = "(block $out (try_table (catch_all $out) nop))"
# which wasmtime knows, and `Scope` does not
FROM_OUTSIDE = """(component
  (core module $m {fields})
  (component $c (alias outer 1 $m (core module $inner)) (core instance $i (instantiate $inner))
    (func (export "handle") (param "event" string) (result (result string (error string)))
      (canon lift (core func $i "handle") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
  (instance $n (instantiate $c)) (export "handle" (func $n "handle")))
"""
FIELDS = """(memory (export "memory") 8001)
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
  (func (export "handle") (param i32 i32) (result i32)
    (loop $again (memory.fill (i32.const 65536) (i32.const 65) (i32.const 524000000)) (br $again)) unreachable)"""


@pytest.mark.parametrize("kind", ["exceptions", "a module from outside"])
async def test_nothing_unusual_keeps_a_fill_whole(sandbox: Sandbox, polls: list[int], kind: str) -> None:
    if kind == "exceptions":
        guest = wat.component(CATCHES + FILLS)
    else:
        guest = bytes(wat2wasm(FROM_OUTSIDE.format(fields=FIELDS)))
    run = await sandbox.run(guest, timeout_ms=100, memory_mb=512)
    assert run.outcome is Outcome.TIMEOUT
    assert max(polls) < 50_000_000


@pytest.fixture
def polls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Nanoseconds of a processor's time of each advance on the loop."""
    seen, advance = [], Fiber.advance

    def watched(fiber: Fiber) -> int:
        said = advance(fiber)
        seen.append(fiber.seen().poll_ns)
        return said

    monkeypatch.setattr(Fiber, "advance", watched)
    return seen


async def test_fills_without_end_are_interrupted(
    sandbox: Sandbox, js_guest: Component, polls: list[int]
) -> None:
    filling = [sandbox.run(wat.component(FILLS), timeout_ms=100, memory_mb=512) for _ in range(2)]
    honest = [sandbox.run(js_guest, b'{"do":"greet"}') for _ in range(50)]
    runs = await asyncio.gather(*filling, *honest)
    assert {run.outcome for run in runs[:2]} == {Outcome.TIMEOUT}
    assert {run.outcome for run in runs[2:]} == {Outcome.SUCCESS}
    # a slice is 5 ms; half a gigabyte takes a quarter of a second
    assert max(polls) < 50_000_000


async def test_who_did_what_nothing_interrupts_never_begins_on_the_loop_again(
    make_runtime: Make, polls: list[int]
) -> None:
    own = Sandbox(await make_runtime())
    guest = await own.load(wat.component())
    await own.run(guest)
    assert (len(polls), guest.stubborn) == (1, False)
    own.runtime.config = msgspec.structs.replace(own.runtime.config, slice_ms=0)  # any time is a long time
    await own.run(guest)
    assert (len(polls), guest.stubborn) == (2, True)
    for _ in range(10):  # short ones do not make up for it
        assert (await own.run(guest)).outcome is Outcome.SUCCESS
    assert len(polls) == 2


async def test_a_component_that_nobody_knows_begins_on_a_worker(make_runtime: Make, polls: list[int]) -> None:
    own = Sandbox(await make_runtime())
    guest = await own.load(wat.component())
    guest.heat = HOT  # as it is loaded: the kit takes that back
    await own.run(guest)
    assert len(polls) == 0
    await own.run(guest)
    assert len(polls) == 1
