"""Components of any toolchain: checks what a `.wasm` file imports and exports, and wraps core modules.

A core module is wrapped for the world `guest` (guest.wit). One that calls WASI preview 1 (from TinyGo,
wasi-libc, Rust's wasm32-wasip1) gets the adapter for it, which comes with npm's `@bytecodealliance/jco`.
"""

import asyncio
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aerofn.build.built import Built, built, silent
from aerofn.build.contract import lay_world
from aerofn.build.toolchain import toolchain_root
from aerofn.build.wasm_tools import wasm_tools
from aerofn.errors import InvalidRequest
from aerofn.runtime import RuntimeConfig
from aerofn.runtime.compiler import Compiler

EXTENSIONS = frozenset({".wasm"})
_MODULE = b"\0asm\x01\0\0\0"
_PREVIEW1 = b"wasi_snapshot_preview1"
_JCO = "@bytecodealliance/jco@1.35.0"
_ADAPTER = "package/lib/wasi_snapshot_preview1.reactor.wasm"
_ADAPTER_DIGEST = "b857310c4753c8fafaa0f890e9ccf978dc3d9dbe8804b1125291a627485041d0"


def build_component(source: Path, output: Path, *, progress: Callable[[str], None] = silent) -> Built:
    """Check a component, or make one of a core module; `output` is a function that can be deployed.

    Raises:
        InvalidRequest: it cannot be wrapped, or what is needed for that is missing.
        InvalidComponent: it is not what the contract asks for; says what it imports or lacks.
    """
    started = time.perf_counter()
    output.parent.mkdir(parents=True, exist_ok=True)
    if is_module(source):
        progress(f"wrapping {source.name}")
        wrap(source, output, progress)
    elif source.absolute() != output.absolute():
        shutil.copyfile(source, output)
    progress(f"checking {output.name}")
    check(output.read_bytes())
    return built(output, time.perf_counter() - started, [])


def is_module(file: Path) -> bool:
    """Whether it is a core module, and no component."""
    with file.open("rb") as opened:
        return opened.read(len(_MODULE)) == _MODULE


def wrap(module: Path, output: Path, progress: Callable[[str], None] = silent) -> None:
    """Make a component of a core module.

    Raises:
        InvalidRequest: see `build_component`.
    """
    wasm = module.read_bytes()
    adapters = ["--adapt", f"{_PREVIEW1.decode()}={_adapter(progress)}"] if _PREVIEW1 in wasm else []
    with tempfile.TemporaryDirectory(prefix="aerofn-wrap-") as name:
        typed, made = Path(name) / "typed.wasm", Path(name) / "component.wasm"
        if b"component-type" in wasm:  # wit-bindgen has put it in
            typed = module
        else:
            wasm_tools("component", "embed", lay_world(Path(name)), "--world", "guest", module, "-o", typed)
        wasm_tools("component", "new", typed, *adapters, "-o", made)
        shutil.copyfile(made, output)


def check(wasm: bytes) -> None:
    """See that the service would take the component.

    Raises:
        InvalidComponent, CompileFailed: it would not; says why.
    """
    with tempfile.TemporaryDirectory(prefix="aerofn-check-") as name, ThreadPoolExecutor(1) as thread:
        compiler = Compiler(RuntimeConfig(cache_dir=Path(name)))
        # in a thread of its own: whoever builds may have a loop running
        thread.submit(asyncio.run, compiler.compile(wasm, Path(name) / "code")).result()


def _adapter(progress: Callable[[str], None]) -> Path:
    """The adapter from WASI preview 1; fetched with npm the first time."""
    file = toolchain_root() / f"preview1-{_ADAPTER_DIGEST[:16]}.wasm"
    if not file.exists():
        progress("fetching the adapter for WASI preview 1 (once)")
        adapter = _fetched()
        if hashlib.sha256(adapter).hexdigest() != _ADAPTER_DIGEST:
            raise InvalidRequest(f"the adapter in {_JCO} is not the one that is known", code="build_failed")
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.write_bytes(adapter)
        partial.rename(file)
    return file


def _fetched() -> bytes:
    npm = shutil.which("npm")
    missing = InvalidRequest(
        "the module calls WASI preview 1, and the adapter for it is fetched with npm",
        hint="install Node.js from https://nodejs.org and check: npm ping",
        code="toolchain_missing",
    )
    if npm is None:
        raise missing
    with tempfile.TemporaryDirectory(prefix="aerofn-adapter-") as folder:
        command = [npm, "pack", _JCO, "--silent", "--pack-destination", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)  # noqa: S603
        if done.returncode != 0:
            missing.detail = done.stderr.strip()[-2000:] or None
            raise missing
        packed = next(Path(folder).glob("*.tgz")).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        member = archive.extractfile(_ADAPTER)
        assert member is not None
        return member.read()
