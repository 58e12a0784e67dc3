"""Builds C functions: Zig's C compiler makes a core module of the file and `aerofn.h`, and it is wrapped."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from aerofn.build.built import Built, built, silent
from aerofn.build.component import wrap
from aerofn.build.toolchain import toolchain_root
from aerofn.errors import InvalidRequest

EXTENSIONS = frozenset({".c"})
SDK = Path(__file__).with_name("sdk_c")
_FLAGS = (
    "-target", "wasm32-freestanding", "-Oz", "-std=c23", "-mbulk-memory", "-Wall", "-Wno-unused-function",
    "-fno-sanitize=all", "-fno-color-diagnostics", "-Wl,--no-entry", "-Wl,--strip-all", f"-I{SDK}",
)  # fmt: skip


def build_c(source: Path, output: Path, *, progress: Callable[[str], None] = silent) -> Built:
    """Build the component of a C file that includes `aerofn.h`.

    Raises:
        InvalidRequest: the toolchain is missing, or the file does not compile (`code` build_failed; the
            message starts with file:line:column).
    """
    started = time.perf_counter()
    _demand_zig()
    progress(f"compiling {source.name}")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="aerofn-c-") as name:
        module = Path(name) / "module.wasm"
        warnings = _compile(source, module)
        wrap(module, output, progress)
    return built(output, time.perf_counter() - started, warnings)


def _demand_zig() -> None:
    if importlib.util.find_spec("ziglang") is None:
        raise InvalidRequest(
            "C functions are compiled with Zig, and it is not installed beside AeroFn",
            hint=f"install it: {sys.executable} -m pip install 'aerofn[c]'",
            code="toolchain_missing",
        )


def _compile(source: Path, module: Path) -> list[str]:
    command = [sys.executable, "-m", "ziglang", "cc", *_FLAGS, source.name, "-o", str(module)]
    cache = str(toolchain_root() / "zig")
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=False, cwd=source.absolute().parent, env=environment
    )
    said = done.stderr.strip()
    if done.returncode != 0:
        first = next(
            (line for line in said.splitlines() if "error:" in line), f"{source.name} does not compile"
        )
        raise InvalidRequest(first, detail=said[-4000:], code="build_failed")
    return [said] if said else []
