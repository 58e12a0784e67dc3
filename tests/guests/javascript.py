"""Builds guests in JavaScript from their source, as the tests and the benchmarks of the runtime need them."""

import hashlib
import os
import subprocess
from pathlib import Path

from aerofn.build.node import find_node
from aerofn.build.toolchain import QUICKJS, ensure_toolchain

ROOT = Path(__file__).parents[2]


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
    toolchain = ensure_toolchain(QUICKJS, find_node(), lambda _message: None)
    return toolchain / "node_modules" / "componentize-qjs" / "cli.mjs"
