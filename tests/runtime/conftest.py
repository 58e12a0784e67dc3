"""Real guests and one real runtime for the whole session."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from sandbox_kit import GUESTS, ROOT, Sandbox

from aerofn.build.node import find_node
from aerofn.build.toolchain import QUICKJS, ensure_toolchain
from aerofn.runtime import Component, Runtime, RuntimeConfig
from tests.conftest import compiled


def js_component(source: Path) -> bytes:
    """Build a JavaScript guest, once for each version of its source. The one place that knows the toolchain."""
    wit = ROOT / "wit" / "aerofn.wit"
    digest = hashlib.sha256(source.read_bytes() + wit.read_bytes()).hexdigest()[:16]
    target = ROOT / ".aerofn" / "guests" / f"{source.stem}-{digest}.wasm"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [
            "node",
            str(_componentize()),
            "--wit",
            str(wit),
            "-n",
            "async-function",
            "--js",
            str(source),
        ]
        scratch = target.with_name(f"{os.getpid()}-{target.name}")  # other workers may look
        subprocess.run([*command, "-o", str(scratch)], check=True, capture_output=True)
        scratch.replace(target)
    return target.read_bytes()


def _componentize() -> Path:
    if shutil.which("npm") is None:
        pytest.skip("JavaScript guests need Node and npm")
    toolchain = ensure_toolchain(QUICKJS, find_node(), lambda _message: None)
    return toolchain / "node_modules" / "componentize-qjs" / "cli.mjs"


Make = Callable[..., Awaitable[Runtime]]


@pytest.fixture
def cache_dir() -> Path:
    """Where runtimes keep what they compiled: together, but for the tests of keeping and compiling."""
    return compiled()


@pytest.fixture
async def make_runtime(cache_dir: Path) -> AsyncIterator[Make]:
    """Make runtimes of one's own, closed at the test's end."""
    made: list[Runtime] = []

    async def make(**settings: object) -> Runtime:
        settings.setdefault("cache_dir", cache_dir)
        settings.setdefault("max_instances", 100)
        made.append(Runtime(RuntimeConfig(**settings)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for runtime in made:
        await runtime.close()


@pytest.fixture(scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    """The session's runtime."""
    runtime = Runtime(RuntimeConfig(cache_dir=compiled()))
    yield Sandbox(runtime)
    await runtime.close()


@pytest.fixture(scope="session")
def js_wasm() -> bytes:
    return js_component(GUESTS / "js" / "hostile.js")


@pytest.fixture(scope="session")
async def js_guest(sandbox: Sandbox, js_wasm: bytes) -> Component:
    return await sandbox.load(js_wasm)


@pytest.fixture(scope="session")
def c_wasm() -> bytes:
    return (GUESTS / "c" / "hostile.wasm").read_bytes()


@pytest.fixture(scope="session")
async def c_guest(sandbox: Sandbox, c_wasm: bytes) -> Component:
    return await sandbox.load(c_wasm)
