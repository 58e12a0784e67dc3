"""Building: what is accepted, what is refused with which words, and that it is reproducible."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aerofn.build import build
from aerofn.build import toolchain as toolchain_module
from aerofn.build.contract import contract
from aerofn.build.node import SDK, find_node
from aerofn.build.toolchain import QUICKJS, ensure_toolchain
from aerofn.errors import InvalidRequest
from tests.build.conftest import Functions, output

Write = Callable[..., Path]
ECHO = "export const handler = (input) => input;"


def failure(source: Path) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        build(source)
    return caught.value


def test_same_source_same_digest_wherever_it_lies(author: Write, tmp_path: Path) -> None:
    text = (
        "const start = Date.now(), r = Math.random();\nexport const handler = () => [start, r, new Date()];\n"
    )
    first = build(author(text))
    again = build(author(text), tmp_path / "again.wasm")
    moved = build(author(text, "some/where/else/fn.js"))
    other = build(author(text.replace("start, r", "r, start"), "other.js"))
    assert first.digest == again.digest == moved.digest != other.digest
    assert first.output == tmp_path / "fn.wasm"
    assert first.size == first.output.stat().st_size


async def test_typescript_and_packages_beside_it(author: Write, functions: Functions) -> None:
    author("module.exports = (a, b) => a + b;\n", "node_modules/sums/index.js")
    author("export const twice = (n: number): number => sum(n, n);\nimport sum from 'sums';", "lib/twice.ts")
    source = author(
        "import { twice } from './lib/twice';\ninterface Input { n: number }\n"
        "export default async (input: Input): Promise<number> => twice(input.n);\n",
        "fn.ts",
    )
    run = await functions.run(await functions.load(source), {"trigger": "invoke", "payload": {"n": 21}})
    assert output(run) == 42


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "export function handler() { return 1 }\nexport function other() { return 2 }\nexport default () => 3",
            "a.js",
        ),
        ("export async function onOrderCreated() { return 1 }\nexport const limit = 5", "c.js"),
        ("module.exports = () => 1", "e.cjs"),
    ],
)
async def test_entry(author: Write, functions: Functions, text: str, name: str) -> None:
    assert output(await functions.run(await functions.load(author(text, name)), {"trigger": "invoke"})) == 1


async def test_minified_code_still_points_at_the_source(
    author: Write, functions: Functions, tmp_path: Path
) -> None:
    source = author("export function handler(input) {\n  // a comment\n  return input.missing.field;\n}\n")
    built = build(source, tmp_path / "min.wasm", minify=True)
    run = await functions.run(await functions.load_bytes(built.output.read_bytes()), {"trigger": "invoke"})
    assert run.error is not None
    assert "fn.js:3:" in (run.error.stack or "")


def test_syntax_error(author: Write) -> None:
    error = failure(author("export function handler() {\n  return 1 +;\n}\n"))
    assert error.message == 'fn.js:2:13: Unexpected ";"'
    assert error.detail == "      return 1 +;\n                ^"
    assert error.code == "build_failed"


def test_package_that_is_not_there(author: Write) -> None:
    error = failure(author("import fs from 'fs';\nexport const handler = () => fs;\n"))
    assert error.message == 'fn.js:1:16: Could not resolve "fs"'
    assert "built-in modules" in (error.hint or "")
    assert (error.detail or "").count("\n") == 1, "the line and a caret"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("export const limit = 1", "no function to run was found: export one"),
        ("export function a() {}\nexport function b() {}", "a, b are exported and none is called `handler`"),
        (
            "const x = 1;\nthrow new Error('at the top');\nexport const handler = () => x;",
            "fn.js:2:11: at the top",
        ),
        (
            "export const key = env.KEY;\nexport const handler = () => key;",
            "fn.js:1:20: env cannot be used at the top",
        ),
        (
            "db.query('select 1').then(() => 1);\nawait db.query('select 1');\nexport default () => 1;",
            "fn.js:2:10: db.query",
        ),
        ("const id = crypto.randomUUID();\nexport default () => id;", "fn.js:1:19: crypto cannot be used"),
        (
            "await new Promise(() => {});\nexport default () => 1;",
            "the top level awaits a promise that nothing",
        ),
        ("throw 7;\nexport default () => 1;", "the top level threw what is no Error: "),
        ("const f = () => f() + 1;\nf();\nexport default () => 1;", "the top level exhausts the call stack"),
    ],
)
def test_top_level_that_cannot_work(author: Write, text: str, message: str) -> None:
    assert failure(author(text)).message.startswith(message)


def test_other_languages(author: Write, tmp_path: Path) -> None:
    error = failure(author("package main", "fn.go"))
    assert error.message == "fn.go is in no language that AeroFn can build"
    assert (error.hint or "").startswith(
        "supported extensions: .c, .cjs, .js, .mjs, .mts, .py, .ts, .wasm; others"
    )
    assert "Cargo" in (failure(author("fn main() {}", "fn.rs")).hint or "")
    assert "is not a file" in failure(tmp_path / "nothing.js").message


def test_node_missing(author: Write, without_tools: Callable[..., Path]) -> None:
    without_tools()
    error = failure(author(ECHO))
    assert (error.code, error.message) == (
        "toolchain_missing",
        "JavaScript functions are built with Node.js, and there is no `node` on PATH",
    )
    assert "nvm install" in (error.hint or "")


def test_node_too_old(author: Write, without_tools: Callable[..., Path]) -> None:
    folder = without_tools(node="echo v18.19.0")
    assert (
        failure(author(ECHO)).message
        == f"{folder / 'node'} is v18.19.0, and JavaScript functions need v20 or later"
    )


def test_toolchain_is_installed_once_and_whole(
    author: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = ensure_toolchain(QUICKJS, find_node(), lambda _: None)
    monkeypatch.setenv(toolchain_module.DIRECTORY_KEY, str(tmp_path / "tools"))
    said: list[str] = []
    monkeypatch.setattr(toolchain_module, "_npm_ci", lambda _, folder: _copy_packages(installed, folder))
    first = ensure_toolchain(QUICKJS, find_node(), said.append)
    assert first == QUICKJS.home == ensure_toolchain(QUICKJS, find_node(), said.append)
    assert said == ["installing the JavaScript toolchain (once)"]
    assert [path.name for path in (tmp_path / "tools").iterdir()] == [first.name]
    assert build(author(ECHO)).size > 1_000_000


def _copy_packages(installed: Path, folder: Path) -> None:
    shutil.copytree(installed / "node_modules", folder / "node_modules", symlinks=True)


def test_failed_installation_leaves_nothing(
    author: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_tools: Callable[..., Path]
) -> None:
    monkeypatch.setenv(toolchain_module.DIRECTORY_KEY, str(tmp_path / "tools"))
    without_tools(node="echo v22.0.0", npm="echo no network >&2; exit 1")
    error = failure(author(ECHO))
    assert (error.message, error.detail) == ("the JavaScript toolchain could not be installed", "no network")
    assert list((tmp_path / "tools").iterdir()) == []


def test_lock_file_names_no_registry() -> None:
    for folder in (SDK, SDK / "spidermonkey"):
        assert '"resolved"' not in (folder / "package-lock.json").read_text()
    assert contract().read_text().count("package aerofn:function@1.0.0;") == 1
