"""Real guests and one real runtime for the whole session."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from sandbox_kit import GUESTS, Sandbox, js_component

from aerofn.runtime import Component, Runtime, RuntimeConfig
from tests.conftest import compiled

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
    if shutil.which("npm") is None:
        pytest.skip("JavaScript guests need Node and npm")
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
