"""Runs a component's initialisation at build time, and reads the state that it leaves.

The component tells its state through exports of these names (`aerofn/build/quickjs/probe.py` adds them): `READ`
gives a piece of memory from an offset on, `PAGES` its size, `GLOBAL % n` a global's value.
"""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wasmtime import Config, Engine, Store, Trap, WasiConfig, WasmtimeError, wat2wasm
from wasmtime.component import Component, Instance, Linker

from aerofn.errors import InvalidRequest
from aerofn.runtime import ffi
from aerofn.runtime.surgery import PAGE

READ, PAGES, GLOBAL = "aerofn-read", "aerofn-pages", "aerofn-global-%d"
PIECE = PAGE  # bytes that READ gives: no memory is smaller
MEMORY = 1 << 30  # bytes that initialisation may take
SECONDS = 60.0


class NotInitialised(Exception):
    """Initialisation ended with an error of its own, or was ended; the text says why."""


@dataclass(frozen=True)
class State:
    """Memory, and the globals' values in the order of their exports."""

    memory: bytes
    globals: list[int]


def assembled(text: str) -> bytes:
    """WebAssembly of its text."""
    return bytes(wat2wasm(text))


def _engine() -> Engine:
    config = Config()
    config.wasm_component_model = True
    config.epoch_interruption = True
    ffi.config_component_async(ffi.address_of(config.ptr()), True)
    return Engine(config)


class Initial:
    """A component that can be initialised again and again, each time from its first state.

    Args:
        wasm: the component.
        code: where its machine code is kept; a file that only who builds can write.
    """

    def __init__(self, wasm: bytes, code: Path) -> None:
        self._engine = _engine()
        self._component = self._loaded(code) or self._compiled(wasm, code)
        self._turn = threading.Lock()  # the engine's epoch ends whatever runs in it
        self._globals = 0
        while self._component.get_export_index(GLOBAL % self._globals) is not None:
            self._globals += 1

    def _loaded(self, code: Path) -> Component | None:
        if not code.exists():
            return None
        try:
            return Component.deserialize_file(self._engine, str(code))
        except WasmtimeError:  # of another wasmtime or processor
            return None

    def _compiled(self, wasm: bytes, code: Path) -> Component:
        component = Component(self._engine, wasm)
        partial = code.with_name(f"{code.name}.{threading.get_native_id()}.partial")
        partial.write_bytes(component.serialize())
        partial.rename(code)
        return component

    def state_after(self, function: str, *arguments: Any) -> State:
        """Call `function` in a fresh instance; what it left.

        Raises:
            NotInitialised: it returned an error, trapped or took longer than SECONDS.
            InvalidRequest: the machine refuses what the instance needs.
        """
        store = Store(self._engine)
        store.set_wasi(WasiConfig())
        store.set_limits(memory_size=MEMORY)
        with self._turn:
            store.set_epoch_deadline(1)
            watch = threading.Timer(SECONDS, self._engine.increment_epoch)
            watch.start()
            try:
                return self._state_after(store, function, arguments)
            except (Trap, WasmtimeError) as error:
                raise NotInitialised(_reason(str(error))) from None
            finally:
                watch.cancel()

    def _instance(self, store: Store) -> Instance:
        linker = Linker(self._engine)
        linker.allow_shadowing = True
        linker.define_unknown_imports_as_traps(self._component)
        linker.add_wasip2()
        try:
            return linker.instantiate(store, self._component)
        except WasmtimeError as error:  # none of the author's code has run
            raise InvalidRequest(
                "this machine cannot start the JavaScript engine",
                detail=str(error),
                hint="free memory, or lift the limit on address space (ulimit -v): some GB of it are reserved",
                code="build_failed",
            ) from None

    def _state_after(self, store: Store, function: str, arguments: tuple[Any, ...]) -> State:
        instance = self._instance(store)

        def call(name: str, *given: Any) -> Any:
            called = instance.get_func(store, name)
            if called is None:
                raise NotInitialised(f"the component does not export {name}")
            return called(store, *given)

        failed = call(function, *arguments)
        if failed is not None:
            raise NotInitialised(str(failed))
        pieces = [call(READ, at).encode("latin-1") for at in range(0, call(PAGES) * PAGE, PIECE)]
        values = [call(GLOBAL % i) for i in range(self._globals)]
        return State(b"".join(pieces), values)


def _reason(said: str) -> str:
    if "call stack exhausted" in said:
        return "the top level exhausts the call stack: something calls itself without end"
    if "interrupt" in said:
        return f"the top level still runs after {SECONDS:g} seconds"
    return said
