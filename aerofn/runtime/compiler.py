"""Compiling, as the service sees it: a short-lived process for each component, with limits on all it takes."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from aerofn.errors import CompileFailed, InvalidComponent
from aerofn.runtime.anatomy import Anatomy
from aerofn.runtime.config import RuntimeConfig
from aerofn.runtime.contract import Problem, check_header
from aerofn.runtime.cores import SIZE_BYTES

CHILD = "aerofn.runtime.compile_child"
THREADS = min(4, os.cpu_count() or 1)
AT_ONCE = 2  # compilations side by side
PIECE = 256 << 10  # bytes of a component that its process is given at once
BUSY = (
    5  # how much longer than its processor time a compilation may take, where others want the processor too
)
# told digests, gives the files of those core modules that are compiled already
Known = Callable[[list[str]], Awaitable[dict[str, Path]]]


class _Answer(msgspec.Struct):
    anatomy: Anatomy | None = None
    problem: dict[str, Any] | None = None
    unwritten: str | None = None


class Compiler:
    """Turns a component's bytes into a file of machine code."""

    def __init__(self, config: RuntimeConfig) -> None:
        self._config = config
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def compile(self, wasm: bytes, target: Path, known: Known | None = None) -> Anatomy:
        """Check and compile `wasm` into `target`.

        Args:
            known: else it is compiled whole. Core modules that it does not know are compiled to files beside
                `target` (`core_file`).

        Raises:
            InvalidComponent: it is no component, or not one that can be a function.
            CompileFailed: it took more time or memory than allowed, or broke the compiler.
            OSError: `target` cannot be written; the component is not to blame.
        """
        self._check(wasm)
        async with self._turn:
            code, output, errors = await self._run_child(wasm, target, known)
        if code != 0:
            raise _broken(code, errors, self._config)
        answer = msgspec.json.decode(output, type=_Answer)
        if answer.unwritten is not None:
            raise OSError(answer.unwritten)
        if answer.anatomy is None:
            raise InvalidComponent(**(answer.problem or {"message": "The component was refused."}))
        return answer.anatomy

    def _check(self, wasm: bytes) -> None:
        limit = self._config.max_component_bytes
        if len(wasm) > limit:
            raise InvalidComponent(
                f"The component is too large: {len(wasm):,} bytes.", detail=f"The limit is {limit:,} bytes."
            )
        try:
            check_header(wasm)
        except Problem as problem:
            raise InvalidComponent(**vars(problem)) from None

    async def _run_child(self, wasm: bytes, target: Path, known: Known | None) -> tuple[int, bytes, bytes]:
        config = self._config
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-S", "-m", CHILD,
            str(target), str(config.compile_timeout_s * THREADS), str(config.compile_memory_mb << 20),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=_environment(), cwd="/",
            start_new_session=True,  # Ctrl-C at a terminal is for the node, and says nothing about the component
        )  # fmt: skip
        try:
            async with asyncio.timeout(config.compile_timeout_s * BUSY):
                output, errors = await _converse(child, wasm, known)
        except TimeoutError:
            raise _too_slow(config) from None
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        return child.returncode or 0, output, errors


async def _converse(child: Process, wasm: bytes, known: Known | None) -> tuple[bytes, bytes]:
    """Answer what compile_child.py asks; its last output, and its errors."""
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    errors = asyncio.ensure_future(child.stderr.read())
    line = b""
    with contextlib.suppress(ConnectionError):  # it has ended: its code and errors tell why
        child.stdin.write(len(wasm).to_bytes(SIZE_BYTES))
        for at in range(0, len(wasm), PIECE):  # all at once, copying it would hold up the loop
            child.stdin.write(wasm[at : at + PIECE])
            await child.stdin.drain()
        line = await child.stdout.readline()
        if line.startswith(b"["):  # else it is an answer already
            digests, line = msgspec.json.decode(line, type=list[str]), b""
            answer = None if known is None else await known(digests)
            child.stdin.write(msgspec.json.encode(answer, enc_hook=str) + b"\n")
            await child.stdin.drain()
        child.stdin.close()
    output = await child.stdout.read()
    await child.wait()
    return line + output, await errors


def _environment() -> dict[str, str]:
    # nothing of the service's own: it may hold secrets. Few threads and arenas: RLIMIT_AS counts them all.
    return {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "RAYON_NUM_THREADS": str(THREADS),
        "MALLOC_ARENA_MAX": "2",
    }


def _too_slow(config: RuntimeConfig) -> CompileFailed:
    return CompileFailed(
        "Compiling the component took too long.",
        detail=f"The limit is {config.compile_timeout_s} s.",
        hint="Deploy a smaller component, or raise the compile limits of this AeroFn.",
    )


def _broken(code: int, errors: bytes, config: RuntimeConfig) -> CompileFailed:
    if code == -24:  # SIGXCPU
        return _too_slow(config)
    text = errors.decode("utf-8", "replace").strip()[-500:]
    if b"memory allocation" in errors or b"MemoryError" in errors or b"Cannot allocate" in errors:
        return CompileFailed(
            "Compiling the component took too much memory.",
            detail=f"The limit is {config.compile_memory_mb} MiB.",
            hint="Deploy a smaller component, or raise the compile limits of this AeroFn.",
        )
    return CompileFailed("Compiling the component broke the compiler.", detail=f"exit {code}: {text}")
