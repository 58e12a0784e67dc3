"""That our way to a QuickJS component gives what componentize-qjs gives, and stops what does not end."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasmtime import Engine, Global, Instance, Module, Store

from aerofn.build import build
from aerofn.build.contract import contract
from aerofn.build.node import find_node, run_script, workshop
from aerofn.build.quickjs import base, base_for, module, nest
from aerofn.build.quickjs.snapshot import spans
from aerofn.build.toolchain import QUICKJS, ensure_toolchain
from aerofn.errors import InvalidRequest
from aerofn.runtime import binary, initial, section
from tests.build.conftest import FUNCTIONS

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], bytes]:
    """Builds with componentize-qjs."""
    toolchain = ensure_toolchain(QUICKJS, find_node(), lambda _message: None)

    def make(source: Path) -> bytes:
        request = {"do": "bundle", "source": str(source), "minify": False, "engine": "quickjs"}
        bundle: dict[str, Any] = workshop(find_node()).ask({**request, "toolchain": str(toolchain)})
        output = tmp_path_factory.mktemp("official") / "component.wasm"
        paths = (str(toolchain), str(contract()), str(toolchain / "runtime.wasm"), str(output))
        run_script(find_node(), "componentize.mjs", *paths, stdin=bundle["code"])
        return output.read_bytes()

    return make


def _memory(component: bytes) -> bytes:
    home = nest.core_module(component, nest.HOME)
    memory = bytearray(module.content_of(home, section.MEMORY)[2] << 16)
    for at, data in module.segments(home):
        memory[at : at + len(data)] = data
    return bytes(memory)


def _without_data(component: bytes) -> bytes:
    return nest.rewritten(component, lambda _, kind, content: b"" if kind == section.DATA else content)


def test_the_component_is_the_one_that_componentize_qjs_makes(
    author: Write, official: Callable[[Path], bytes], tmp_path: Path
) -> None:
    text = "const known = new Map([['a', [1.5, 'é', 10n]]]);\nexport const handler = (x) => known.get(x);\n"
    source = author(text)
    assert build(source).output.read_bytes() == official(source)


def test_a_large_component_has_the_same_state_in_as_many_segments(
    official: Callable[[Path], bytes], tmp_path: Path
) -> None:
    """Which of equally narrow gaps are closed is up to the order that Rust's sorting leaves."""
    source = FUNCTIONS / "platform.js"
    ours, theirs = build(source, tmp_path / "ours.wasm").output.read_bytes(), official(source)
    assert _without_data(ours) == _without_data(theirs)
    assert _memory(ours) == _memory(theirs)
    counts = [len(module.segments(nest.core_module(made, nest.HOME))) for made in (ours, theirs)]
    assert counts == [10_000, 10_000]


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


def test_a_base_depends_on_all_that_makes_it() -> None:
    """All that its modules import of the runtime, and what that imports."""
    made_by = {path.name for path in base._makers()}
    assert {"componentize.mjs", "initial.py", "probe.py"} <= made_by
    for path in base._makers():
        imported = re.findall(r"^from aerofn\.runtime\.(\w+) import", path.read_text(), re.MULTILINE)
        assert {f"{name}.py" for name in imported} - {"ffi.py"} <= made_by


def test_a_machine_that_cannot_run_the_engine_is_not_the_authors_fault(
    author: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initial, "MEMORY", 1 << 16)
    with pytest.raises(InvalidRequest, match="this machine cannot start the JavaScript engine") as caught:
        build(author("export default () => 1;"))
    assert "ulimit -v" in (caught.value.hint or "")
    assert "memory" in (caught.value.detail or "")


def test_a_top_level_that_does_not_end_is_ended(author: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initial, "SECONDS", 0.2)
    with pytest.raises(InvalidRequest) as caught:
        build(author("for (;;) {}\nexport default () => 1;"))
    assert caught.value.message == "the top level still runs after 0.2 seconds"
    monkeypatch.undo()
    assert build(author("export default () => 1;")).size > 1_000_000


def test_a_toolchain_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    toolchain = tmp_path / "toolchain"
    toolchain.write_text("no directory")
    with pytest.raises(InvalidRequest) as caught:
        base_for(toolchain, contract(), find_node(), lambda _message: None)
    assert "AEROFN_TOOLCHAIN_DIR" in (caught.value.hint or "")


def test_code_of_another_wasmtime_is_made_anew(tmp_path: Path) -> None:
    code = tmp_path / "code.cwasm"
    code.write_bytes(b"\x7fELF of something else")
    made = initial.Initial(b"\0asm\x0d\0\x01\0", code)
    with pytest.raises(initial.NotInitialised, match="does not export init"):
        made.state_after("init")
    assert code.read_bytes()[:4] == b"\x7fELF"
    assert code.stat().st_size > 100
