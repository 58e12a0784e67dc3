"""Builds `aerofn._hashseed`, the module of Python guests that `aerofn/build/hashseed` has the C of, with Zig.

The result is committed, for whoever builds Python functions has no compiler for the guest's CPython; a test builds it
once more and compares. `python tools/build_hashseed.py` after a change of the C.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "aerofn" / "build" / "hashseed"
MODULE = ROOT / "aerofn" / "build" / "sdk_python" / "aerofn" / "_hashseed.cpython-314-wasm32-wasi.so"
_ZIG = (sys.executable, "-m", "ziglang")
_COMPILE = (
    "cc", "-target", "wasm32-wasi", "-mcpu=generic+bulk_memory", "-O2", "-std=c23", "-fPIC", "-fvisibility=hidden",
    "-fno-sanitize=all", "-fno-strict-aliasing", "-Wall", "-Wextra", "-Werror", "-c",
)  # fmt: skip
_LINK = ("wasm-ld", "--shared", "--experimental-pic", "--unresolved-symbols=import-dynamic", "--strip-all")


def build(output: Path) -> None:
    """Compile and link it."""
    sources = sorted(SOURCES.glob("*.c"))
    with tempfile.TemporaryDirectory(prefix="aerofn-hashseed-") as scratch:
        objects = [f"{source.stem}.o" for source in sources]
        for source, compiled in zip(sources, objects, strict=True):
            subprocess.run([*_ZIG, *_COMPILE, str(source), "-o", compiled], check=True, cwd=scratch)  # noqa: S603
        subprocess.run([*_ZIG, *_LINK, *objects, "-o", str(output.absolute())], check=True, cwd=scratch)  # noqa: S603
    output.chmod(0o644)


if __name__ == "__main__":
    build(MODULE)
