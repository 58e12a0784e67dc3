"""Every private binding of wasmtime that AeroFn uses, declared here and nowhere else.

wasmtime-py has no asyncio API and its public component calls convert values slowly, so the runtime calls
the C API itself. The version is pinned exactly; `tests/runtime/test_ffi.py` compares each declaration
below with wasmtime's own bindings and fails when a symbol, an argument or a structure changes.

Pointers are plain integers (addresses): they cost nothing to pass, and nothing frees them behind our
back. So each has exactly one owner, written beside the function that makes it:

    made by                               owned by           released by
    component_deserialize_file            Code               component_delete
    get_export_index                      Code               export_index_delete
    store_new, instantiate_async          check_links        store_delete, future_delete
    error pointers given out              who received them  error_delete (take_error does)
    error_message (its bytes)             take_error         byte_vec_delete
    linker_root, linker_add_instance      the linker set-up  linker_instance_delete
    pooling_allocation_config_new         engine._pool       pooling_delete; config_pooling copies it

What C makes (`native/`); what is moved is its taker's from then on:

    store_new                             the run            store_delete
    instantiate_async, func_call_async    the run            call_future_delete, before its next one or at its release
    store_context, context_get_data       the store          nobody: they go with it, the latter is the run
    wasi_config_new                       moved              by context_set_wasi into the store
    val_new                               moved              with the value that it is put in
    byte_vec_new, vallist_new_uninit      moved              with the value that they are put in
    values: the event, a call's result    the run            val_delete
    values: a host function's results     moved              to wasmtime, when the function returns
    error_new                             moved              to wasmtime, as a host function's error
    error pointers given out              the run            error_delete, or take_error once Python has read it
    engine_clone                          the ticker         wasm_engine_delete

What a run makes in wasmtime goes with `sandbox.release`.

Two kinds of function: `_quick` keeps the GIL, for calls that take less time than giving it up; `_slow`
releases it, for calls that run a guest, compile or unmap memory.
"""

import ctypes
import importlib.metadata
from collections.abc import Callable
from ctypes import (
    CFUNCTYPE,
    PYFUNCTYPE,
    c_bool,
    c_char_p,
    c_int64,
    c_size_t,
    c_ssize_t,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
    py_object,
)
from typing import Any

from wasmtime import _ffi as wasmtime_ffi

WASMTIME_VERSION = importlib.metadata.version("wasmtime")
WASMTIME_LIBRARY = wasmtime_ffi.dll._handle  # for dlsym
LONGEST_ERROR = (
    64 << 10
)  # bytes of an error's text that are looked at; one with a full backtrace has 12 KiB at most

# name in the C API → (result, arguments); read by the test that compares them with wasmtime's own.
SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {}


def _declare(prototype: Any, name: str, result: Any, arguments: tuple[Any, ...]) -> Any:
    SIGNATURES[name] = (result, arguments)
    return prototype(result, *arguments)((name, wasmtime_ffi.dll))


def _quick(name: str, result: Any, *arguments: Any) -> Any:
    return _declare(PYFUNCTYPE, name, result, arguments)


def _slow(name: str, result: Any, *arguments: Any) -> Any:
    return _declare(CFUNCTYPE, name, result, arguments)


# --- configuration and engine -----------------------------------------------------------------------
config_async_stack_size = _quick("wasmtime_config_async_stack_size_set", None, c_void_p, c_size_t)
config_component_async = _quick("wasmtime_config_wasm_component_model_async_set", None, c_void_p, c_bool)
config_gc = _quick("wasmtime_config_wasm_gc_set", None, c_void_p, c_bool)
config_memory_reservation = _quick("wasmtime_config_memory_reservation_set", None, c_void_p, c_uint64)
config_pooling = _quick("wasmtime_pooling_allocation_strategy_set", None, c_void_p, c_void_p)
pooling_new = _quick("wasmtime_pooling_allocation_config_new", c_void_p)
pooling_delete = _quick("wasmtime_pooling_allocation_config_delete", None, c_void_p)

_COUNTS = (
    "total_component_instances",
    "total_core_instances",
    "total_memories",
    "total_tables",
    "total_stacks",
    "max_core_instances_per_component",
    "max_memories_per_component",
    "max_memories_per_module",
    "max_tables_per_component",
    "max_tables_per_module",
)
_SIZES = (
    "max_component_instance_size",
    "max_core_instance_size",
    "max_memory_size",
    "table_elements",
    "linear_memory_keep_resident",
    "table_keep_resident",
    "async_stack_keep_resident",
)


def _pooling_setting(name: str, kind: Any) -> Any:
    return _quick(f"wasmtime_pooling_allocation_config_{name}_set", None, c_void_p, kind)


_POOLING = {name: _pooling_setting(name, c_uint32) for name in _COUNTS}
_POOLING.update({name: _pooling_setting(name, c_size_t) for name in _SIZES})


def pooling_set(pooling: int, name: str, value: int) -> None:
    """Set one bound of the pooling allocator, by its name in the C API."""
    _POOLING[name](pooling, value)


# --- components ---------------------------------------------------------------------------------------
component_deserialize_file = _slow(
    "wasmtime_component_deserialize_file", c_void_p, c_void_p, c_char_p, c_void_p
)
component_delete = _slow("wasmtime_component_delete", None, c_void_p)
get_export_index = _quick(
    "wasmtime_component_get_export_index", c_void_p, c_void_p, c_void_p, c_char_p, c_size_t
)
export_index_delete = _quick("wasmtime_component_export_index_delete", None, c_void_p)

# --- linker -------------------------------------------------------------------------------------------
linker_add_wasip2_async = _quick("wasmtime_component_linker_add_wasip2_async", c_void_p, c_void_p)
linker_root = _quick("wasmtime_component_linker_root", c_void_p, c_void_p)
linker_add_instance = _quick(
    "wasmtime_component_linker_instance_add_instance", c_void_p, c_void_p, c_char_p, c_size_t, c_void_p
)
linker_add_func = _quick(
    "wasmtime_component_linker_instance_add_func",
    c_void_p, c_void_p, c_char_p, c_size_t, c_void_p, c_void_p, c_void_p,
)  # fmt: skip
linker_add_func_async = _quick(
    "wasmtime_component_linker_instance_add_func_async",
    c_void_p, c_void_p, c_char_p, c_size_t, c_void_p, c_void_p, c_void_p,
)  # fmt: skip
linker_instance_delete = _quick("wasmtime_component_linker_instance_delete", None, c_void_p)
instantiate_async = _quick(
    "wasmtime_component_linker_instantiate_async", c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p
)

# --- store --------------------------------------------------------------------------------------------
store_new = _quick("wasmtime_store_new", c_void_p, c_void_p, c_void_p, c_void_p)
store_context = _quick("wasmtime_store_context", c_void_p, c_void_p)
store_limiter = _quick("wasmtime_store_limiter", None, c_void_p, c_int64, c_int64, c_int64, c_int64, c_int64)
store_delete = _slow("wasmtime_store_delete", None, c_void_p)

# --- calls --------------------------------------------------------------------------------------------
future_poll = _slow("wasmtime_call_future_poll", c_bool, c_void_p)
future_delete = _slow("wasmtime_call_future_delete", None, c_void_p)

# --- values and errors --------------------------------------------------------------------------------
byte_vec_delete = _quick("wasm_byte_vec_delete", None, c_void_p)
error_message = _quick("wasmtime_error_message", None, c_void_p, c_void_p)
error_delete = _quick("wasmtime_error_delete", None, c_void_p)


# A copy of so many bytes at an address: `ctypes.string_at` without its detour through Python.
bytes_at: Callable[[int, int], bytes] = PYFUNCTYPE(py_object, c_void_p, c_ssize_t)(
    ("PyBytes_FromStringAndSize", ctypes.pythonapi)
)


class Bytes(ctypes.Structure):
    """`wasm_byte_vec_t`: a length and an address."""

    _fields_ = (("size", c_size_t), ("data", c_void_p))


class Attempt(ctypes.Structure):
    """Where an instantiation leaves what came of it."""

    _fields_ = (
        ("instance", c_uint8 * ctypes.sizeof(wasmtime_ffi.wasmtime_component_instance_t)),
        ("error", c_void_p),
    )


def take_error(error: int) -> str:
    """Read an error's message with its causes and WebAssembly backtrace, and release it.

    Of one that is too long, the head and the tail: frames begin in the one, and the innermost cause ends the other.
    """
    message = Bytes()
    error_message(error, ctypes.addressof(message))
    text = _text(message.data, message.size).decode("utf-8", "replace") if message.size else ""
    byte_vec_delete(ctypes.addressof(message))
    error_delete(error)
    return text


def _text(at: int, size: int) -> bytes:
    if size <= LONGEST_ERROR:
        return bytes_at(at, size)
    half = LONGEST_ERROR // 2
    return bytes_at(at, half) + b"\n...\n" + bytes_at(at + size - half, half)


def valid_utf8(data: bytes) -> bytes:
    """`data` itself if it is UTF-8, else a repaired copy: wasmtime aborts the process on anything else."""
    if data.isascii():
        return data
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace").encode("utf-8")
    return data


def address_of(pointer: Any) -> int:
    """The address inside one of wasmtime-py's own pointer objects (which keep owning it)."""
    return ctypes.cast(pointer, c_void_p).value or 0
