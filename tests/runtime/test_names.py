"""What a guest calls its functions: a trap tells it in a few words, soon, and honest names as they are."""

import re
import time

import pytest
import wat
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_kit import FakeHost, Sandbox
from wasmtime import Engine, Instance, Module, Store, Trap, wat2wasm

from aerofn.errors import InvalidComponent
from aerofn.model import Limits, Outcome
from aerofn.runtime import binary
from aerofn.runtime.names import LONGEST_NAME, MAX_DEPTH, harmless, shown

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TIMES = 19  # the text doubles with each: 1.4 million times, in half a second of the loop
DOUBLED = "1f1AIiiES_IS0_S0_E" + "".join(f"S_IS{DIGITS[n]}_S{DIGITS[n]}_E" for n in range(1, TIMES))
BOMBS = {
    "C++": f"_Z{DOUBLED}",
    "C++ with more underscores": f"____Z{DOUBLED}",
    "a type of C++, which needs no _Z": f"3fooI1AIiiE{DOUBLED.removeprefix('1f1AIiiE').replace('S_I', 'S0_I')}E",
    "a type without digits": "M" * 30 + "P" * 14 + "i" + "SA_" * 30,
    "Rust": "_RIB_" + "B_" * 60 + "E",
    "Rust without underscore": "RIB_" + "B_" * 60 + "E",
    "an operator of C++, which needs no _Z": "plI1AIiiES_IS_S_E"
    + "".join(f"S{n}_IS{n}_S{n}_E" for n in range(8))
    + "E",
    "long": "x" * 500_000,
    "long, of characters that must not be halved": "é" * 300_000,
    "long, of Rust's form": "_ZN" + "1a" * 300_000 + "E",
    "a type that is tried again and again": "R" + "DtL" * 40 + "NDpix",
}


def trapping(name: str, module: str = "") -> bytes:
    """Traps in a function of that name, in a module of that name."""
    return wat.component("(call $x)", fields=f'{module} (func $x (@name "{name}") (unreachable))')


async def told(sandbox: Sandbox, wasm: bytes) -> tuple[str, float]:
    """A trap's stack, and the processor time that a run took this thread: the least of three."""
    guest, taken = await sandbox.load(wasm), []
    for _ in range(3):
        before = time.thread_time()
        run = await sandbox.runtime.run(guest, b"{}", FakeHost(), Limits())
        taken.append(time.thread_time() - before)
    assert run.outcome is Outcome.TRAP
    assert run.error and run.error.message == "wasm `unreachable` instruction executed"
    return run.error.stack or "", min(taken)


@pytest.mark.parametrize("kind", BOMBS)
async def test_no_name_takes_long_or_much_to_tell(sandbox: Sandbox, kind: str) -> None:
    stack, taken = await told(sandbox, trapping(BOMBS[kind]))
    assert len(stack) < 1000
    assert taken < 0.1  # 0.0005 as a rule


HONEST = {
    "_ZN4core3fmt5write17h0123456789abcdefE": "core::fmt::write::h0123456789abcdef",
    **{name: name for name in (
        "main", "__wasm_call_ctors", "_start", "cabi_realloc", "memcpy", "read", "PyObject_Call", "Mutex_lock",
        "SDL_Init", "JS_NewContext", "aerofn:function/host@1.0.0#log", "größe",
    )},
    "f": "$f",  # "float", to wasmtime
    "Mutex": "Mutex",
    "_ZN3foo3barEv": "$_ZN3foo3barEv",
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
async def test_honest_names_are_shown(sandbox: Sandbox, name: str) -> None:
    stack, _ = await told(sandbox, trapping(name))
    assert f"m!{HONEST[name]}\n" in stack


async def test_names_are_cut(sandbox: Sandbox) -> None:
    stack, _ = await told(sandbox, trapping("ab" * 1000))
    assert f"m!{'ab' * (LONGEST_NAME // 2)}\n" in stack


def module(*sections: bytes) -> bytes:
    """A core module that exports a function which traps, with these lists of names."""
    custom = binary.section(0, binary.name(b"name") + b"".join(sections))
    return bytes(wat2wasm('(module (func (export "f") unreachable))')) + custom


def named(name: bytes) -> bytes:
    return binary.section(1, b"\x01\x00" + binary.name(name))


def component(content: bytes, depth: int = 0) -> bytes:
    wasm = b"\0asm\x0d\0\x01\0" + binary.section(1, content)
    for _ in range(depth):
        wasm = b"\0asm\x0d\0\x01\0" + binary.section(4, wasm)
    return wasm


def test_a_component_that_needs_nothing_is_not_copied() -> None:
    wasm = component(module(named(b"main")), 3)
    assert harmless(wasm) is wasm


@pytest.mark.parametrize("depth", [0, 1, MAX_DEPTH])
def test_modules_at_any_depth(depth: int) -> None:
    assert harmless(component(module(named(b"_Z1f")), depth)) == component(module(named(b"$_Z1f")), depth)


def test_a_module_has_a_name_as_well() -> None:
    name = binary.section(0, binary.name(b"m" * 1000))
    cut = binary.section(0, binary.name(b"m" * LONGEST_NAME))
    assert harmless(component(module(name, named(b"_Z1f")))) == component(module(cut, named(b"$_Z1f")))


@pytest.mark.parametrize(
    "wrong",
    [
        named(b"_Z1f") + b"\x01",
        binary.section(1, b"\x02\x00\x01a"),
        binary.section(1, b"\x00\x00"),
        b"\x01\x70",
    ],
)
def test_what_is_no_list_of_names_is_dropped(wrong: bytes) -> None:
    plain = bytes(wat2wasm('(module (func (export "f") unreachable))'))
    assert harmless(component(module(wrong))) == component(plain)


async def test_components_nested_too_deep_are_refused(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidComponent, match="too deep"):
        await sandbox.load(component(module(), MAX_DEPTH + 1))
    with pytest.raises(InvalidComponent, match="too deep"):
        await sandbox.load(component(module(), 5000))


_engine = Engine()
_RUST = re.compile(rb"_ZN.+E")
PARTS = re.findall(
    r"\S+",
    "S_ S0_ S1_ SA_ T_ T0_ St Ss Sa i v I E N P K R O V C G F M A A_ A1_ D Dp Dt DT Dn Dv1_ Do U Ul UlvE_ Ut_ Z L Li0E"
    " X J 1a 2bb Te u1a sr cv pl cl nw Y _ _Z _R RIB_ B_ C1 sZ fp_ gs on dn az h17 ab $ .",
)
mangled = st.lists(st.sampled_from(PARTS), min_size=1, max_size=80).map("".join)
repeated = st.tuples(st.sampled_from(PARTS), mangled, st.integers(1, 40)).map(
    lambda parts: parts[0] + parts[1] * parts[2]
)


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(st.one_of(mangled, repeated))
def test_whatever_is_put_together_from_parts_of_names_is_told_in_a_few_words(name: str) -> None:
    given_name = shown(name.encode())
    store = Store(_engine)
    run = Instance(store, Module(_engine, module(named(given_name))), []).exports(store)["f"]
    with pytest.raises(Trap) as trapped:
        run(store)  # type: ignore[operator]
    assert (
        f"!{given_name.decode()}\n" in str(trapped.value)
        or len(given_name) < 25
        or _RUST.fullmatch(given_name)
    )
    assert len(str(trapped.value)) < 1000
