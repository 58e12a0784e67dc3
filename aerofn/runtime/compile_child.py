"""The compiler's process: checks and compiles one component under limits, then ends.

    python -m aerofn.runtime.compile_child TARGET CPU_SECONDS MEMORY_BYTES

It reads the component, its size before it, and writes a line: a JSON list of the core modules that the component may
share with others (`cores`), by their SHA-256 in hex. The answer, a line too, is an object with the files of those that
are compiled already, or null for compiling the component whole. Then it writes the machine code to TARGET, that of each
other core module beside it (`core_file`), and at last one JSON object: {"anatomy": {…}}, {"problem": {"message",
"detail", "hint"}}, or {"unwritten": why a file could not be written}. The component is hostile until proven otherwise,
and compilers have bugs: so this process has nothing but the bytes, and dies alone.
"""

import contextlib
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from wasmtime import Engine, Module, WasmtimeError
from wasmtime.component import Component

from aerofn.runtime.binary import UnsupportedError
from aerofn.runtime.config import MAX_MEMORIES
from aerofn.runtime.contract import Problem, check, check_links
from aerofn.runtime.cores import SIZE_BYTES, Split, core_file, split
from aerofn.runtime.engine import compiling_engine
from aerofn.runtime.names import MAX_DEPTH, TooDeepError, harmless
from aerofn.runtime.surgery import PAGE, Scope, with_modules_rewritten

Ask = Callable[[list[str]], dict[str, str] | None]


def _confine(cpu_seconds: int, memory: int) -> None:
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, memory),
    ):
        resource.setrlimit(limit, (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))  # SIGXCPU first: it tells why
    os.nice(5)  # running functions go first


def _harmless(wasm: bytes) -> bytes:
    """With names that wasmtime can show; raises Problem. What cannot be read for that is not compiled either."""
    try:
        return harmless(wasm)
    except UnsupportedError as error:
        raise Problem("The component is not valid.", detail=str(error)) from None
    except TooDeepError:
        raise Problem(
            "The component has components within components, too deep.", detail=f"The limit is {MAX_DEPTH}."
        ) from None


def _operate(wasm: bytes) -> Scope | None:
    try:
        scope = Scope(wasm)
    except UnsupportedError:
        return None
    if len(scope.memories) > MAX_MEMORIES:
        raise Problem(
            f"The component has {len(scope.memories)} memories.", detail=f"The limit is {MAX_MEMORIES}."
        )
    return scope


class _Parts:
    """A component to compile, and the core modules that are compiled apart from it."""

    def __init__(self, engine: Engine, found: Split, compiled: dict[str, str]) -> None:
        self.fresh: dict[str, Module] = {}
        self.cores: dict[str, Module] = {}
        for name, wasm in found.cores.items():
            core = _loaded(engine, compiled[name]) if name in compiled else None
            if core is None:
                core = self.fresh[name] = Module(engine, wasm)
            self.cores[name] = core
        self.component = Component(engine, found.wasm)


def _loaded(engine: Engine, path: str) -> Module | None:
    """What was compiled already, unless it has gone meanwhile, or is of another processor."""
    try:
        return Module.deserialize_file(engine, path)
    except WasmtimeError:
        return None


def _compile(engine: Engine, wasm: bytes, ask: Ask) -> tuple[_Parts, Scope | None]:
    """Compile the operated component in parts, or whole; where that does not suit it, with its modules alone rewritten.

    One that wasmtime accepts only as it came is refused: nothing would keep its memory and its time in bounds.
    """
    scope = _operate(wasm)
    found = Split(wasm) if scope is None else split(scope.wasm, nested=scope.counts["core module"] == 0)
    compiled = ask(list(found.cores))
    if found.cores and compiled is not None and scope is not None:
        with contextlib.suppress(WasmtimeError):
            return _Parts(engine, found, compiled), scope
    if scope is not None:
        with contextlib.suppress(WasmtimeError):
            return _Parts(engine, Split(scope.wasm), {}), scope
    with contextlib.suppress(UnsupportedError, WasmtimeError):
        return _Parts(engine, Split(with_modules_rewritten(wasm)), {}), None
    try:
        Component(engine, wasm)
    except WasmtimeError as error:
        raise Problem("The component is not valid.", detail=str(error)) from None
    raise Problem(
        "The component has what AeroFn cannot keep in bounds.",
        detail="AeroFn rewrites how its modules grow and fill memory; wasmtime refuses it then, as at its own limits.",
    )


def compile_component(wasm: bytes, target: Path, ask: Ask) -> dict[str, object]:
    """Check `wasm`, write its machine code to `target` and beside it, and give its `Anatomy`; raises Problem."""
    wasm = _harmless(wasm)
    engine = compiling_engine()
    parts, scope = _compile(engine, wasm, ask)
    wasi = check(engine, parts.component, wasm, parts.cores)
    check_links(engine, parts.component, parts.cores)
    target.write_bytes(parts.component.serialize())
    for digest, core in parts.fresh.items():
        core_file(target, digest).write_bytes(core.serialize())
    memories = [(0, True)] if scope is None else scope.memories
    return {
        "wasi": wasi,
        "memories": len(memories),
        "growable": sum(grows for _, grows in memories),
        "static_bytes": sum(pages for pages, grows in memories if not grows) * PAGE,
        "tells_pages": scope is not None and scope.tells_pages,
        "cores": list(parts.cores),
    }


def _asked(digests: list[str]) -> dict[str, str] | None:
    sys.stdout.write(json.dumps(digests) + "\n")
    sys.stdout.flush()
    answer: dict[str, str] | None = json.loads(sys.stdin.buffer.readline())
    return answer


def main(arguments: list[str]) -> None:
    """Run as the compiler's process."""
    target, cpu_seconds, memory = arguments
    _confine(int(cpu_seconds), int(memory))
    size = int.from_bytes(sys.stdin.buffer.read(SIZE_BYTES))
    wasm = sys.stdin.buffer.read(size)
    try:
        answer: dict[str, object] = {"anatomy": compile_component(wasm, Path(target), _asked)}
    except Problem as problem:
        answer = {"problem": vars(problem)}
    except OSError as error:  # of the file: nothing else here does what could raise one
        answer = {"unwritten": str(error)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
