"""Builds real components and runs them through the real runtime, with a host that answers from memory."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from aerofn.build import build
from aerofn.build.node import find_node
from aerofn.errors import InvalidRequest
from aerofn.model import Limits, Run
from aerofn.runtime import Component, Runtime, RuntimeConfig
from tests.conftest import compiled

FUNCTIONS = Path(__file__).parent / "functions"
Answer = tuple[bool, Any]


class FakeHost:
    """Remembers what the guest asked for and answers as it was told to."""

    def __init__(
        self, query: Answer = (True, {"rows": [], "rowCount": 0}), fetch: Answer = (False, {})
    ) -> None:
        self.queries: list[tuple[str, str]] = []
        self.requests: list[dict[str, Any]] = []
        self.logs: list[tuple[str, str]] = []
        self.environment: dict[str, str] = {}
        self.waited_s = 0.0
        self.query, self.fetch = query, fetch

    async def db_query(self, sql: str, params: str) -> tuple[bool, bytes]:
        self.queries.append((sql, params))
        return _answer(self.query)

    async def http_fetch(self, request: str) -> tuple[bool, bytes]:
        self.requests.append(json.loads(request))
        return _answer(self.fetch)

    async def wait(self, seconds: float) -> None:
        self.waited_s += seconds
        await asyncio.sleep(seconds)

    def log(self, level: str, message: str, at: float) -> None:
        self.logs.append((level, message))

    def env(self, key: str) -> str | None:
        return self.environment.get(key)


def _answer(answer: Answer) -> tuple[bool, bytes]:
    ok, value = answer
    return ok, value if isinstance(value, bytes) else json.dumps(value).encode()


@pytest.fixture(scope="session", autouse=True)
def node() -> Path:
    try:
        return find_node()
    except InvalidRequest as missing:
        pytest.skip(f"{missing.message}: {missing.hint}")


@pytest.fixture(scope="session")
async def runtime() -> AsyncIterator[Runtime]:
    runtime = Runtime(RuntimeConfig(cache_dir=compiled(), max_instances=16, compile_timeout_s=600))
    yield runtime
    await runtime.close()


class Functions:
    """Loaded functions by their source file, each built once."""

    def __init__(self, runtime: Runtime, folder: Path) -> None:
        self._runtime, self._folder = runtime, folder
        self._loaded: dict[Path, Component] = {}

    async def load(self, source: Path) -> Component:
        if source not in self._loaded:
            built = build(source, self._folder / f"{len(self._loaded)}.wasm")
            self._loaded[source] = await self.load_bytes(built.output.read_bytes())
        return self._loaded[source]

    async def load_bytes(self, wasm: bytes) -> Component:
        digest = await self._runtime.prepare(wasm)
        return await self._runtime.load(digest, _nothing_to_fetch)

    async def run(
        self, component: Component, event: dict[str, Any], host: FakeHost | None = None, **limits: int
    ) -> Run:
        return await self.run_text(component, json.dumps(event), host, **limits)

    async def run_text(
        self, component: Component, event: str, host: FakeHost | None = None, **limits: int
    ) -> Run:
        return await self._runtime.run(component, event.encode(), host or FakeHost(), Limits(**limits))


async def _nothing_to_fetch() -> bytes:
    raise AssertionError("the component was prepared just now")


@pytest.fixture(scope="session")
def functions(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Functions:
    return Functions(runtime, tmp_path_factory.mktemp("components"))


class Call:
    """Runs a source file of functions/ case by case."""

    def __init__(self, functions: Functions, source: Path) -> None:
        self._functions, self._source = functions, source

    async def __call__(self, case: str, host: FakeHost | None = None, **more: Any) -> Run:
        return await self.event({"trigger": "invoke", "payload": {"case": case, **more}}, host)

    async def event(self, event: dict[str, Any], host: FakeHost | None = None) -> Run:
        return await self._functions.run(await self._functions.load(self._source), event, host)


@pytest.fixture
def language(functions: Functions) -> Call:
    """The cases of functions/language.js."""
    return Call(functions, FUNCTIONS / "language.js")


@pytest.fixture
def platform(functions: Functions) -> Call:
    """The cases of functions/platform.js."""
    return Call(functions, FUNCTIONS / "platform.js")


def output(run: Run) -> Any:
    """The value a successful run returned."""
    assert run.error is None, run.error
    assert run.output is not None
    return json.loads(run.output)


@pytest.fixture
def author(tmp_path: Path) -> Callable[..., Path]:
    """Writes an author's file and gives its path."""

    def write(text: str, name: str = "fn.js") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def without_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """PATH with nothing but the named tools, each a script with the given text."""

    def only(**scripts: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, text in scripts.items():
            (folder / name).write_text(f"#!{shutil.which('sh')}\n{text}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        return folder

    return only
