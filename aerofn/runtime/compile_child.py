"""The compiler's process: checks and compiles one component under limits, then ends.

    python -m aerofn.runtime.compile_child TARGET CPU_SECONDS MEMORY_BYTES  < component

Writes the machine code to TARGET, and to stdout one JSON object: {"anatomy": {…}}, {"problem":
{"message", "detail", "hint"}}, or {"unwritten": why TARGET could not be written}. The component is hostile until
proven otherwise, and compilers have bugs: so this process has nothing but the bytes, and dies alone.
"""

import contextlib
import json
import os
import resource
import sys
from pathlib import Path

from wasmtime import Engine, WasmtimeError
from wasmtime.component import Component

from aerofn.runtime.binary import UnsupportedError
from aerofn.runtime.config import MAX_MEMORIES
from aerofn.runtime.contract import Problem, check, check_links
from aerofn.runtime.engine import compiling_engine
from aerofn.runtime.surgery import PAGE, Scope


def _confine(cpu_seconds: int, memory: int) -> None:
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, memory),
    ):
        resource.setrlimit(limit, (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))  # SIGXCPU first: it tells why
    os.nice(5)  # running functions go first


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


def _compile(engine: Engine, wasm: bytes) -> tuple[Component, Scope | None]:
    """Compile the operated component, or the one that came where the operation does not suit it."""
    scope = _operate(wasm)
    if scope is not None:
        with contextlib.suppress(WasmtimeError):
            return Component(engine, scope.wasm), scope
    try:
        return Component(engine, wasm), None
    except WasmtimeError as error:
        raise Problem("The component is not valid.", detail=str(error)) from None


def compile_component(wasm: bytes, target: Path) -> dict[str, object]:
    """Check `wasm`, write its machine code to `target`, and give its `Anatomy`; raises Problem."""
    engine = compiling_engine()
    component, scope = _compile(engine, wasm)
    wasi = check(engine, component, wasm)
    check_links(engine, component)
    target.write_bytes(component.serialize())
    memories = [(0, True)] if scope is None else scope.memories
    return {
        "wasi": wasi,
        "memories": len(memories),
        "growable": sum(grows for _, grows in memories),
        "static_bytes": sum(pages for pages, grows in memories if not grows) * PAGE,
        "tells_pages": scope is not None and scope.tells_pages,
    }


def main(arguments: list[str]) -> None:
    """Run as the compiler's process."""
    target, cpu_seconds, memory = arguments
    _confine(int(cpu_seconds), int(memory))
    try:
        answer: dict[str, object] = {"anatomy": compile_component(sys.stdin.buffer.read(), Path(target))}
    except Problem as problem:
        answer = {"problem": vars(problem)}
    except OSError as error:  # of the file: nothing else here does what could raise one
        answer = {"unwritten": str(error)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
