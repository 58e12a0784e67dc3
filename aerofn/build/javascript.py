"""Builds JavaScript and TypeScript functions: esbuild bundles them with the SDK, componentize-qjs or
componentize-js (SpiderMonkey) snapshots them.

The work is done in Node by `sdk/node/build.mjs`; this module prepares what it needs and tells its outcome.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aerofn.build.built import Built, built, silent
from aerofn.build.contract import contract
from aerofn.build.kept import Kept
from aerofn.build.node import SDK, find_node, run_script
from aerofn.build.toolchain import QUICKJS, SPIDERMONKEY, ensure_toolchain, toolchain_root
from aerofn.errors import InvalidRequest

ENGINES = ("quickjs", "spidermonkey")
TYPES = SDK / "aerofn.d.ts"
EXTENSIONS = frozenset({".js", ".mjs", ".cjs", ".ts", ".mts"})


def build_javascript(
    source: Path,
    output: Path,
    *,
    minify: bool = False,
    engine: str = "quickjs",
    progress: Callable[[str], None] = silent,
) -> Built:
    """Build the component of a JavaScript or TypeScript file, with the npm packages it imports.

    Args:
        source: the author's file; packages come from the `node_modules` beside or above it.
        output: the component's file; its directory is made.
        minify: shorten the author's code too; stacks still point at the source.
        engine: one of ENGINES; `spidermonkey` has the whole web platform and starts slower.
        progress: told what is being done, a few words each time.

    Raises:
        InvalidRequest: the toolchain is missing, or the source does not build (`code` build_failed; the
            message starts with file:line:column where there is one).
    """
    started = time.perf_counter()
    node = find_node()
    if engine not in ENGINES:
        raise InvalidRequest(f"there is no engine {engine!r}", hint=f"engines: {', '.join(ENGINES)}")
    toolchain = ensure_toolchain(QUICKJS, node, progress)
    spidermonkey = ensure_toolchain(SPIDERMONKEY, node, progress) if engine == "spidermonkey" else None
    kept = Kept(toolchain_root() / "built") if spidermonkey is not None else None
    progress(f"building {source.name}")
    output.parent.mkdir(parents=True, exist_ok=True)
    request = {
        "source": str(source.absolute()),
        "output": str(output.absolute()),
        "toolchain": str(toolchain),
        "contract": str(contract()),
        "minify": minify,
        "engine": engine,
        "spidermonkey": None if spidermonkey is None else str(spidermonkey),
        "kept": None if kept is None else str(kept.opened()),
    }
    answer = json.loads(run_script(node, "build.mjs", stdin=json.dumps(request)))
    if kept is not None:
        kept.tidy()
    return built(output, time.perf_counter() - started, _warnings(answer, source))


def _warnings(answer: dict[str, Any], source: Path) -> list[str]:
    if "error" in answer:
        message, detail = answer["error"]["message"], answer["error"].get("detail")
        raise InvalidRequest(message, detail=detail or None, hint=_hint(message, source), code="build_failed")
    warnings: list[str] = answer["ok"]["warnings"]
    return warnings


def _hint(message: str, source: Path) -> str | None:
    if "Could not resolve" in message:
        return (
            f"install the package in {source.parent} with npm; Node's built-in modules (fs, net …) "
            "do not exist in the sandbox"
        )
    return None
