"""That our QuickJS components do what those of componentize-qjs do, and start with less; what has no end is stopped."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from aerofn.build import build
from aerofn.build.contract import contract
from aerofn.build.node import find_node, run_script, workshop
from aerofn.build.quickjs import base, base_for, module
from aerofn.build.quickjs.definitions import Definitions, Ref
from aerofn.build.quickjs.known import imports_of
from aerofn.build.toolchain import QUICKJS, ensure_toolchain
from aerofn.errors import InvalidRequest
from aerofn.model import Outcome, Run
from aerofn.runtime import initial, section
from aerofn.runtime.binary import Reader
from tests.build.conftest import FUNCTIONS, FakeHost, Functions, output

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], bytes]:
    """Builds with componentize-qjs, each source once."""
    toolchain = ensure_toolchain(QUICKJS, find_node(), lambda _message: None)

    @cache
    def make(source: Path) -> bytes:
        request = {"do": "bundle", "source": str(source), "minify": False, "engine": "quickjs"}
        bundle: dict[str, Any] = workshop(find_node()).ask({**request, "toolchain": str(toolchain)})
        output = tmp_path_factory.mktemp("official") / "component.wasm"
        paths = (str(toolchain), str(contract()), str(toolchain / "runtime.wasm"), str(output))
        run_script(find_node(), "componentize.mjs", *paths, stdin=bundle["code"])
        return output.read_bytes()

    return make


@pytest.mark.parametrize(
    "case", ["log", "parameters", "throwError", "throwText", "returnBig", "timers", "env"]
)
async def test_the_component_does_what_the_one_that_componentize_qjs_makes_does(
    functions: Functions, official: Callable[[Path], bytes], case: str
) -> None:
    source = FUNCTIONS / "language.js"
    done = []
    for component in (await functions.load_bytes(official(source)), await functions.load(source)):
        host = FakeHost()
        host.environment["KEY"] = "value"
        run = await functions.run(component, {"trigger": "invoke", "payload": {"case": case}}, host)
        failure = run.error and (run.error.name, run.error.message, run.error.stack)
        done.append((run.outcome, run.output, failure, host.logs, host.queries))
    assert done[0] == done[1]


def test_what_a_component_starts_with(author: Write) -> None:
    """Two modules; the table is the runtime's own, so that a function is put there when it is first called."""
    wasm = build(author("export const handler = () => 1;")).output.read_bytes()
    home, runtime = module.core_modules(wasm)
    kinds = [{kind for kind, _ in Reader(core, 8).sections()} for core in (home, runtime)]
    assert {section.MEMORY, section.DATA} <= kinds[0]
    assert section.TABLE in kinds[1]
    assert not {section.MEMORY, section.GLOBAL, section.DATA, section.START} & kinds[1]
    assert not imports_of(home)
    imported = {each.key for each in imports_of(runtime)}
    assert {name for giver, name in imported if giver == b"env"} == {b"memory", b"__stack_pointer", b"cell"}
    assert {giver.partition(b"@")[0] for giver, _ in imported} == {
        b"$root", b"[export]$root", b"env", b"aerofn:function/clock", b"aerofn:function/host",
        b"wasi:clocks/monotonic-clock", b"wasi:clocks/wall-clock", b"wasi:random/random",
    }  # fmt: skip
    found = Definitions(wasm)
    assert [each.module for each in found.core_instances().values() if each.module] == [
        Ref("core module", index) for index in range(2)
    ]
    assert sorted(name.partition(b"@")[0] for name in found.imports()) == [
        b"aerofn:function/clock",
        b"aerofn:function/host",
        b"wasi:clocks/monotonic-clock",
        b"wasi:clocks/wall-clock",
        b"wasi:random/random",
    ]


async def test_recursion_ends_with_its_stack(author: Write, functions: Functions) -> None:
    """The machine's stack for most, the memory's for a function with many variables; nothing is overwritten."""
    variables = " ".join(f"let v{i} = depth;" for i in range(200))
    wide = f"const wide = (depth) => {{ {variables} return depth ? wide(depth - 1) + v199 - v199 : 0; }};"
    source = author(f"{wide}\nexport const handler = ({{ depth }}) => wide(depth);")
    component = await functions.load(source)

    async def run(depth: int) -> Run:
        return await functions.run(component, {"trigger": "invoke", "payload": {"depth": depth}})

    assert output(await run(100)) == 0
    deep = await run(400)
    assert deep.outcome is Outcome.TRAP
    assert deep.error and deep.error.message == "out of bounds memory access"


@pytest.mark.parametrize("kept", [1000, 1500, 2000])
async def test_an_invocation_has_room_before_garbage_is_looked_for(
    author: Write, functions: Functions, kept: int
) -> None:
    """Whatever the heap was when the function was built; and later it is looked for."""
    source = author(
        """
      const kept = Array.from({ length: KEPT }, (_, i) => ({ i }));
      const ring = () => {
        const one = {};
        one.self = one;
        return new WeakRef(one);
      };
      export const handler = ({ more }) => {
        const lost = ring();
        const grown = Array.from({ length: more }, (_, i) => ({ i }));
        return [kept.length + grown.length, lost.deref() === undefined];
      };""".replace("KEPT", str(kept))
    )
    component = await functions.load(source)
    for more, looked in ((3000, False), (100_000, True)):
        run = await functions.run(component, {"trigger": "invoke", "payload": {"more": more}})
        assert output(run) == [kept + more, looked]


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


@pytest.mark.parametrize(
    ("body", "limits", "outcome"),
    [
        ("const all = []; for (;;) all.push('x'.repeat(1e6) + all.length);", {}, Outcome.MEMORY_LIMIT),
        ("for (;;) {}", {"timeout_ms": 300}, Outcome.TIMEOUT),
    ],
)
async def test_limits_hold_for_what_is_linked(
    author: Write, functions: Functions, body: str, limits: dict[str, int], outcome: Outcome
) -> None:
    component = await functions.load(author(f"export const handler = () => {{ {body} }};"))
    run = await functions.run(component, {"trigger": "invoke"}, **limits)
    assert run.outcome is outcome
