"""What reads hostile components before wasmtime does: whatever the bytes are, it fails in one way."""

from collections import Counter
from random import Random

import pytest
import wat
from mangling import mangled
from sandbox_kit import GUESTS
from test_cores import shared
from wasmtime import wat2wasm

from aerofn.runtime import section
from aerofn.runtime.binary import Reader, UnsupportedError
from aerofn.runtime.compile_child import _harmless, _operate
from aerofn.runtime.contract import Problem
from aerofn.runtime.cores import split
from aerofn.runtime.growth import Module
from aerofn.runtime.producers import tools

EXAMPLES = 4_000
MEMORIES = """(component (core module $a (memory (export "m") 1 9) (memory 2))
  (core module $b (import "a" "m" (memory 1)) (func (result i32) (memory.grow (i32.const 1))))
  (core instance $i (instantiate $a)) (core instance (instantiate $b (with "a" (instance $i)))))"""


def seeds() -> dict[str, bytes]:
    return {
        "grows": wat.component(wat.GROWTH),
        "tables": wat.component(wat.TABLES, fields="(table $t 1 funcref)"),
        "waits": wat.sleeper(1),
        "wasi": wat.explorer(),
        "sockets": wat.networked(wat.LOOKS_UP),
        "logs": wat.logging_spinner(),
        "memories": bytes(wat2wasm(MEMORIES)),
        "c": (GUESTS / "c" / "hostile.wasm").read_bytes(),
    }


def read(wasm: bytes) -> str:
    """All that the compiler's process does before it hands the bytes over."""
    tools(wasm)
    try:
        scope = _operate(_harmless(wasm))
    except Problem:
        return "refused"
    split(wasm if scope is None else scope.wasm, nested=scope is None or scope.counts["core module"] == 0)
    return "as it came" if scope is None else "operated"


@pytest.mark.parametrize("name", seeds())
def test_mangled_components_are_read_or_left_alone(name: str) -> None:
    wasm, others = seeds()[name], list(seeds().values())
    assert read(wasm) == "operated"
    random, ended = Random(name), Counter[str]()
    for _ in range(EXAMPLES):
        ended[read(mangled(wasm, random.choice(others), random))] += 1
    # the damage is neither so great that nothing is read, nor so small that everything is
    assert min(ended["operated"], ended["as it came"]) > EXAMPLES / 50


def test_mangled_modules_that_would_be_shared_are_too() -> None:
    wasm, random, ended = shared(nested=True), Random("shared"), Counter[bool]()
    for _ in range(1_200):
        found = split(mangled(wasm, wasm[:2000], random), nested=True)
        ended[bool(found.cores)] += 1
    assert min(ended.values()) > 20


def test_a_mangled_javascript_component_is_too(js_wasm: bytes) -> None:
    random = Random("js")
    ended = Counter(read(mangled(js_wasm, js_wasm[:50_000], random)) for _ in range(60))
    assert sum(ended.values()) == 60


@pytest.mark.parametrize("size", range(4, 40))
def test_a_body_that_ends_beyond_its_section_is_nothing_that_is_known(size: int) -> None:
    bodies = b"\x01" + bytes([size]) + b"\x00\x40\x00\x02"  # the last is a block without its type
    if size == 4:
        assert section.bodies(bodies) == [(2, 6)]
    else:
        with pytest.raises(UnsupportedError):
            section.bodies(bodies)
    module = b"\0asm\x01\0\0\0\x0a" + bytes([len(bodies)]) + bodies
    with pytest.raises(UnsupportedError):
        Module(module)


def test_a_reader_ends_with_its_data() -> None:
    with pytest.raises(UnsupportedError):
        Reader(b"123", 0, 4)
