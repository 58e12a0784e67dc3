"""How the modules of a QuickJS component are linked: pruned, known, merged, written again, their memory in segments."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasmtime import (
    Config,
    Engine,
    Func,
    FuncType,
    Global,
    GlobalType,
    Instance,
    Limits,
    Memory,
    MemoryType,
    Module,
    Store,
    Table,
    TableType,
    Val,
    ValType,
    wat2wasm,
)
from wasmtime.component import Component, Linker

from aerofn.build.quickjs import module
from aerofn.build.quickjs.definitions import Definitions
from aerofn.build.quickjs.known import bodies_of, known
from aerofn.build.quickjs.merge import merged
from aerofn.build.quickjs.prune import exporting, pruned
from aerofn.build.quickjs.snapshot import spans
from aerofn.runtime import binary, section
from aerofn.runtime.binary import UnsupportedError


def test_a_component_is_written_again_with_what_it_needs() -> None:
    wasm = bytes(
        wat2wasm("""(component
          (import "needless" (instance $needless (export "r" (type (sub resource))) (export "f" (func))))
          (alias export $needless "r" (type $r))
          (import "also" (instance (alias outer 1 $r (type $r)) (export "g" (func (param "r" (borrow $r))))))
          (import "wanted" (instance $wanted (export "n" (func (result u32)))))
          (core module $unused)
          (core instance (instantiate $unused))
          (core module $adds (import "w" "n" (func $n (result i32)))
            (func (export "f") (result i32) call $n i32.const 2 i32.add))
          (alias export $wanted "n" (func $n))
          (core func $n (canon lower (func $n)))
          (core instance $w (export "n" (func $n)))
          (core instance $made (instantiate $adds (with "w" (instance $w))))
          (alias core export $made "f" (core func $f))
          (func (export "sum") (result u32) (canon lift (core func $f))))""")
    )
    again = Definitions(wasm).written([])
    assert list(Definitions(again).imports()) == [b"wanted"]
    assert len(module.core_modules(again)) == 1
    config = Config()
    config.wasm_component_model = True
    engine = Engine(config)
    linker = Linker(engine)
    with linker.root() as root, root.add_instance("wanted") as wanted:
        wanted.add_func("n", lambda _store: 40)
    store = Store(engine)
    made = linker.instantiate(store, Component(engine, again))
    total = made.get_func(store, "sum")
    assert total is not None
    assert total(store) == 42


def test_functions_that_are_not_referred_to_are_not_imported() -> None:
    wasm = bytes(
        wat2wasm("""(module
          (import "i" "unused" (func (result i32)))
          (import "i" "called" (func $called (result i32)))
          (import "i" "memory" (memory 1))
          (import "i" "unused too" (func (param i64)))
          (import "i" "in the table" (func $listed (result i32)))
          (import "i" "told" (func $told (result i32)))
          (import "i" "given" (func $given (result i32)))
          (table 3 funcref)
          (elem (i32.const 0) func $own)
          (elem (table 0) (i32.const 1) func $listed)
          (func $own (result i32) (local i64) i32.const 4096 memory.size i32.add call $called i32.add)
          (func (export "sum") (result i32)
            (table.set (i32.const 2) (ref.func $told))
            (call_indirect (result i32) (i32.const 0))
            (call_indirect (result i32) (i32.const 1)) i32.add
            (call_indirect (result i32) (i32.const 2)) i32.add)
          (export "told" (func $told))
          (export "given" (func $given)))""")
    )
    engine = Engine()
    found = Module(engine, pruned(wasm))
    assert [each.name for each in found.imports] == ["called", "memory", "in the table", "told", "given"]
    store = Store(engine)
    memory = Memory(store, MemoryType(Limits(1, None)))
    called, listed, told, given = (
        Func(store, FuncType([], [ValType.i32()]), lambda value=value: value) for value in (8, 16, 32, 64)
    )
    exports = Instance(store, found, [called, memory, listed, told, given]).exports(store)
    results = [each(store) for name in ("sum", "given") if isinstance(each := exports[name], Func)]
    assert results == [4096 + 1 + 8 + 16 + 32, 64]


def test_imports_that_are_known_become_numbers_and_functions_of_its_own() -> None:
    wasm = bytes(
        wat2wasm("""(module
          (import "env" "base" (global $base i32))
          (import "i" "ten" (func $ten (result i32)))
          (import "i" "given" (func $given (result i32)))
          (import "env" "top" (global $top (mut i32)))
          (import "GOT" "place" (global $place (mut i32)))
          (import "env" "memory" (memory 1))
          (global $behind i32 (i32.add (global.get $base) (i32.const 4)))
          (table 4 funcref)
          (elem (global.get $base) func $own $ten)
          (data (global.get $behind) "\\2a")
          (data "passive")
          (func $own (result i32) (i32.load8_u (global.get $behind)))
          (func $begin (global.set $top (i32.add (global.get $top) (global.get $place))))
          (start $begin)
          (func (export "sum") (result i32)
            (call_indirect (result i32) (i32.const 1))
            (call_indirect (result i32) (i32.const 2)) i32.add
            call $given i32.add call $ten i32.add))""")
    )
    answers = bytes(
        wat2wasm("""(module (import "env" "memory" (memory 0))
          (func (export "other") (result i32) unreachable)
          (func (export "ten") (result i32) (local i32) i32.const 10))""")
    )
    numbers = {(b"env", b"base"): 1, (b"GOT", b"place"): 70_000}
    engine = Engine()
    found = Module(engine, exporting(known(wasm, numbers, bodies_of(answers)), [b"sum"]))
    assert [each.name for each in found.imports] == ["given", "top", "memory"]
    store = Store(engine)
    given = Func(store, FuncType([], [ValType.i32()]), lambda: 100)
    top = Global(store, GlobalType(ValType.i32(), True), Val.i32(5))
    exports = Instance(store, found, [given, top, Memory(store, MemoryType(Limits(1, None)))]).exports(store)
    assert top.value(store) == 70_005
    total = exports["sum"]
    assert isinstance(total, Func)
    assert total(store) == 0x2A + 10 + 100 + 10
    assert not Module(engine, exporting(wasm, [])).exports


def test_two_modules_become_one() -> None:
    first = bytes(
        wat2wasm("""(module
          (import "env" "top" (global $top (mut i32)))
          (import "env" "memory" (memory 1))
          (import "i" "one" (func $one (result i32)))
          (type $sum (func (param i32 i32) (result i32)))
          (table (export "table") 4 funcref)
          (elem (i32.const 1) func $one $add)
          (data (i32.const 8) "\\07")
          (func $add (export "add") (type $sum) local.get 0 local.get 1 i32.add)
          (func (export "by table") (param i32) (result i32) (call_indirect (result i32) (local.get 0)))
          (func (export "needless")))""")
    )
    many = "(type (func))" * 64  # an index beyond them takes two bytes
    second = bytes(
        wat2wasm(f"""(module {many}
          (import "env" "memory" (memory 1))
          (import "env" "cell" (table $cell 1 funcref))
          (import "env" "table" (table $table 4 funcref))
          (import "i" "two" (func $two (param i64) (result i32)))
          (import "env" "add" (func $add (param i32 i32) (result i32)))
          (import "env" "by table" (func $by_table (param i32) (result i32)))
          (import "env" "top" (global $top (mut i32)))
          (type $none (func (result i32)))
          (elem (table $cell) (i32.const 0) func $seven)
          (elem (table $table) (i32.const 3) func $seven)
          (func $seven (type $none) (i32.load8_u (i32.const 8)))
          (func (export "sum") (result i32)
            (global.set $top (call $two (i64.const 5)))
            (call $by_table (i32.const 3))
            (call $by_table (i32.const 1))
            (block (param i32 i32) (result i32) call $add)
            (call_indirect $cell (type $none) (i32.const 0))
            (call_indirect $table (param i32 i32) (result i32) (i32.const 2))))""")
    )
    engine = Engine()
    store = Store(engine)
    found = Module(engine, merged(first, second, {b"needless": b"kept"}))
    assert [each.name for each in found.imports] == ["top", "memory", "one", "cell", "two"]
    assert [each.name for each in found.exports] == ["sum", "kept"]
    top = Global(store, GlobalType(ValType.i32(), True), Val.i32(0))
    one = Func(store, FuncType([], [ValType.i32()]), lambda: 100)
    two = Func(store, FuncType([ValType.i64()], [ValType.i32()]), lambda value: value + 1)
    cell = Table(store, TableType(ValType.funcref(), Limits(1, None)), None)
    memory = Memory(store, MemoryType(Limits(1, None)))
    given: list[Func | Table | Memory | Global] = [top, memory, one, cell, two]
    total = Instance(store, found, given).exports(store)["sum"]
    assert isinstance(total, Func)
    assert total(store) == 7 + 100 + 7
    assert top.value(store) == 6


@pytest.mark.parametrize("own", ["(global (mut i32) (i32.const 1))", "(func (global.set 0 (i32.const 1)))"])
def test_what_may_change_is_not_known(own: str) -> None:
    wasm = bytes(wat2wasm(f'(module (import "env" "base" (global (mut i32))) {own})'))
    with pytest.raises(UnsupportedError):
        known(wasm, {(b"env", b"base"): 1}, {})


@pytest.mark.parametrize(
    "inside",
    [
        "(component)",
        "(core type (func))",
        '(import "x" (type (sub resource)))',
        '(type $t u8) (export "t" (type $t))',
    ],
)
def test_what_is_not_known_is_not_written_wrongly(inside: str) -> None:
    with pytest.raises(UnsupportedError):
        Definitions(bytes(wat2wasm(f"(component {inside})")))


def test_segments_hold_all_that_is_not_zero() -> None:
    memory = b"\0\0ab\0\0\0\0c\0\0\0\0\0d" + bytes(70_000) + b"e"
    assert [memory[a:b] for a, b in spans(memory)] == [b"ab\0\0\0\0c", b"d", b"e"]
    assert spans(bytes(100)) == []
    many = (b"x" + bytes(5)) * 10_002 + b"x" + bytes(9) + b"x"
    found = spans(many)
    assert len(found) == 10_000
    assert found[-1] == (len(many) - 1, len(many))


def _spans_as_defined(memory: bytes, most: int) -> list[tuple[int, int]]:
    """The definition: no zeros at their ends nor five within, then the narrowest gaps, the first of equal ones."""
    found = [match.span() for match in re.finditer(rb"[^\0]+(?:\0{1,4}[^\0]+)*", memory)]
    while len(found) > most:
        gaps = [after[0] - before[1] for before, after in itertools.pairwise(found)]
        at = gaps.index(min(gaps))
        found[at : at + 2] = [(found[at][0], found[at + 1][1])]
    return found


@given(st.lists(st.tuples(st.integers(0, 12), st.binary(max_size=3))), st.integers(1, 8))
def test_segments_are_those_of_their_definition(runs: list[tuple[int, bytes]], most: int) -> None:
    memory = b"".join(bytes(zeros) + data for zeros, data in runs)
    assert spans(memory, most) == _spans_as_defined(memory, most)


def test_globals_of_32_bits_are_written_as_they_are() -> None:
    content = b"\x03" + b"\x7f\x01\x41\x00\x0b" * 3
    values = [0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
    exported = b"\x03" + b"".join(binary.name(b"%d" % i) + b"\x03" + bytes([i]) for i in range(3))
    wasm = b"\0asm\x01\0\0\0" + binary.section(section.GLOBAL, module.with_globals(content, values))
    store = Store(Engine())
    made = Instance(store, Module(store.engine, wasm + binary.section(section.EXPORT, exported)), [])
    found = [made.exports(store)[str(i)] for i in range(3)]
    assert [each.value(store) & 0xFFFFFFFF for each in found if isinstance(each, Global)] == values
