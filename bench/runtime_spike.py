"""The least that runs a component on wasmtime's fibers: no limits on anything but memory, no accounting, no
time limit, no workers, one guest at a time. What the runtime adds is measured against it.
"""

import ctypes
import itertools
from ctypes import CFUNCTYPE, POINTER, byref, c_void_p, cast
from typing import Any

from wasmtime import Config, Engine, Store, WasiConfig, WasmtimeError
from wasmtime import _ffi as ffi
from wasmtime.component import Component, Linker

VAL = ffi.wasmtime_component_val_t
NO_FINALIZER = cast(None, CFUNCTYPE(None, c_void_p))


@ffi.wasmtime_component_func_callback_t
def _ignored(
    _env: Any, _context: Any, _type: Any, _args: Any, _nargs: Any, results: Any, nresults: int
) -> int:
    if nresults:
        results[0].kind = ffi.WASMTIME_COMPONENT_OPTION
        results[0].of.option = None
    return 0


@ffi.wasmtime_component_func_async_callback_t
def _unanswered(*_arguments: Any) -> None:
    raise AssertionError("the spike has nothing to wait for")


IMPORTS: dict[bytes, dict[bytes, Any]] = {
    b"aerofn:function/host@1.0.0": {
        b"log": _ignored, b"env": _ignored, b"db-query": _unanswered, b"http-fetch": _unanswered
    },
    b"aerofn:function/clock@1.0.0": {b"wait": _unanswered},
}  # fmt: skip


class Spike:
    """Engine, linker and one component."""

    def __init__(self, wasm: bytes) -> None:
        config = Config()
        config.epoch_interruption = True
        config.wasm_component_model = True
        config.max_wasm_stack = 512 << 10
        ffi.wasmtime_config_wasm_component_model_async_set(config.ptr(), True)
        ffi.wasmtime_config_async_stack_size_set(config.ptr(), 1 << 20)
        self.engine = Engine(config)
        self.linker = Linker(self.engine)
        ffi.wasmtime_component_linker_add_wasip2_async(self.linker.ptr())
        root = ffi.wasmtime_component_linker_root(self.linker.ptr())
        for instance, functions in IMPORTS.items():
            _define(root, instance, functions)
        ffi.wasmtime_component_linker_instance_delete(root)
        self.component = Component(self.engine, wasm)
        self.handle = ffi.wasmtime_component_get_export_index(self.component.ptr(), None, _text(b"handle"), 6)

    def run(self, event: bytes) -> bytes:
        """Instantiate, call and throw away."""
        store = Store(self.engine)
        store.set_limits(memory_size=128 << 20)
        store.set_wasi(WasiConfig())
        context = store._context()
        ffi.wasmtime_context_set_epoch_deadline(context, 1)
        ffi.wasmtime_context_epoch_deadline_async_yield_and_update(context, 1)
        instance, function = ffi.wasmtime_component_instance_t(), ffi.wasmtime_component_func_t()
        error = POINTER(ffi.wasmtime_error_t)()
        arguments, results = (VAL * 1)(), (VAL * 1)()
        try:
            linker, component = self.linker.ptr(), self.component.ptr()
            _finish(
                ffi.wasmtime_component_linker_instantiate_async(
                    linker, context, component, byref(instance), byref(error)
                ),
                error,
            )
            ffi.wasmtime_component_instance_get_func(byref(instance), context, self.handle, byref(function))
            arguments[0].kind = ffi.WASMTIME_COMPONENT_STRING
            data = cast(ctypes.c_char_p(event), POINTER(ctypes.c_uint8))
            ffi.wasm_byte_vec_new(byref(arguments[0].of.string), len(event), data)
            _finish(
                ffi.wasmtime_component_func_call_async(
                    byref(function), context, arguments, 1, results, 1, byref(error)
                ),
                error,
            )
            text = results[0].of.result.val.contents.of.string
            return ctypes.string_at(text.data, text.size)
        finally:
            ffi.wasmtime_component_val_delete(byref(arguments[0]))
            ffi.wasmtime_component_val_delete(byref(results[0]))
            store.close()


def _define(root: Any, name: bytes, functions: dict[bytes, Any]) -> None:
    instance = POINTER(ffi.wasmtime_component_linker_instance_t)()
    ffi.wasmtime_component_linker_instance_add_instance(root, _text(name), len(name), byref(instance))
    for function, callback in functions.items():
        add = ffi.wasmtime_component_linker_instance_add_func
        if callback is _unanswered:
            add = ffi.wasmtime_component_linker_instance_add_func_async
        add(instance, _text(function), len(function), callback, None, NO_FINALIZER)
    ffi.wasmtime_component_linker_instance_delete(instance)


def _text(data: bytes) -> Any:
    return ctypes.create_string_buffer(data)


def _finish(future: Any, error: Any) -> None:
    for polls in itertools.count():
        if ffi.wasmtime_call_future_poll(future):
            break
        if polls > 1000:
            raise RuntimeError("the guest waits for something that the spike does not have")
    ffi.wasmtime_call_future_delete(future)
    if error:
        raise WasmtimeError._from_ptr(error)
