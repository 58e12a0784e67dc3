"""Builds JavaScript and TypeScript functions: esbuild bundles them with the SDK, and the code's first state becomes
the component's, by QuickJS (`quickjs/`) or by componentize-js (SpiderMonkey).

What needs Node is done by `sdk/node/build.mjs`; this module prepares what it needs and tells its outcome.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aerofn.build.built import Built, built, silent
from aerofn.build.contract import contract
from aerofn.build.kept import Kept
from aerofn.build.node import SDK, find_node, workshop
from aerofn.build.quickjs import base_for, snapshot
from aerofn.build.toolchain import QUICKJS, SPIDERMONKEY, ensure_toolchain, toolchain_root
from aerofn.errors import InvalidRequest
from aerofn.runtime.initial import NotInitialised

ENGINES = ("quickjs", "spidermonkey")
TYPES = SDK / "aerofn.d.ts"
_SPIDERMONKEY_SCRIPT = SDK / "node" / "spidermonkey.mjs"
Freeze = Callable[[str], bytes]  # from code to the component whose first state it made
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
    prepare = _quickjs if engine == "quickjs" else _spidermonkey
    freeze = prepare(node, toolchain, progress)
    progress(f"building {source.name}")
    request = {"do": "bundle", "source": str(source.absolute()), "minify": minify, "engine": engine}
    bundle = _bundled(node, {**request, "toolchain": str(toolchain)}, source)
    try:
        component = freeze(bundle["code"])
    except NotInitialised as failure:
        raise _explained(node, str(failure), bundle["map"]) from None
    output.parent.mkdir(parents=True, exist_ok=True)
    _write_whole(output, component)
    return built(output, time.perf_counter() - started, bundle["warnings"])


def _bundled(node: Path, request: dict[str, Any], source: Path) -> dict[str, Any]:
    try:
        return workshop(node).ask(request)
    except InvalidRequest as error:
        if "Could not resolve" in error.message:
            error.hint = (
                f"install the package in {source.parent} with npm; Node's built-in modules (fs, net …) "
                "do not exist in the sandbox"
            )
        raise


def _quickjs(node: Path, toolchain: Path, progress: Callable[[str], None]) -> Freeze:
    base = base_for(toolchain, contract(), node, progress)
    return lambda code: snapshot(base, code)


def _spidermonkey(node: Path, _toolchain: Path, progress: Callable[[str], None]) -> Freeze:
    """SpiderMonkey seeds itself, so that no two snapshots are the same: a source's first one is kept."""
    toolchain = ensure_toolchain(SPIDERMONKEY, node, progress)
    kept = Kept(toolchain_root() / "built")

    def freeze(code: str) -> bytes:
        key = _key(
            toolchain.name.encode(), contract().read_bytes(), _SPIDERMONKEY_SCRIPT.read_bytes(), code.encode()
        )
        with tempfile.TemporaryDirectory(prefix="aerofn-spidermonkey-") as name:
            made = Path(name) / "component.wasm"
            if kept.take(key, made) is None:
                request = {"do": "freeze", "spidermonkey": str(toolchain), "contract": str(contract())}
                told = workshop(node).ask({**request, "code": code, "output": str(made)})
                if "failure" in told:
                    raise NotInitialised(told["failure"])
                kept.keep(key, made)
            return made.read_bytes()

    return freeze


def _key(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _explained(node: Path, failure: str, source_map: Any) -> InvalidRequest:
    """What the top level of the author's file threw, at the author's line."""
    told = workshop(node).ask({"do": "explain", "failure": failure, "map": source_map})
    return InvalidRequest(told["message"], detail=told["detail"] or None, code="build_failed")


def _write_whole(output: Path, component: bytes) -> None:
    partial = output.with_name(f"{output.name}.{os.getpid()}.partial")
    partial.write_bytes(component)
    partial.rename(output)
