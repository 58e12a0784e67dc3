"""What AeroFn puts in the place of parts of wasmtime's WASI, whichever patch version a guest names.

`wasi:clocks/monotonic-clock`: wasmtime implements waiting for a clock with Tokio timers. Its C API has no
Tokio reactor on the threads that poll, and without one such a wait aborts the whole process: any guest
could do that with one `sleep`. So reading the clock works, and waiting for it ends the guest with an error
that says so. A function waits with `aerofn:function/clock`, which the SDKs use.

`wasi:sockets`: creating a socket is refused with `access-denied`, before wasmtime makes a real one.
"""

import ctypes
import time
from typing import Any

from wasmtime import WasmtimeError
from wasmtime.component import Linker

from aerofn.runtime import ffi

# Of the WASI 0.2 that wasmtime has. An import of another patch version is linked to the highest there is, which is this
# one, and so ours; tests/runtime/test_wasi.py imports them all.
PATCH = 12
NO_SLEEP = "a function cannot sleep by WASI's clock: wait with aerofn:function/clock, as the SDK's timers do"
# wasmtime's C API does not compare types: a component may have imported another signature
WRONG_TYPE = b"a WASI function was imported with another type than it has"

_STARTED = time.monotonic_ns()


@ffi.host_function
def _now(_env: int, _context: int, _type: int, _arguments: int, _n: int, results: int, m: int) -> int:
    if m != 1:
        return int(ffi.error_new(WRONG_TYPE))
    ffi.put_u64(results, time.monotonic_ns() - _STARTED)
    return 0


@ffi.host_function
def _resolution(_env: int, _context: int, _type: int, _arguments: int, _n: int, results: int, m: int) -> int:
    if m != 1:
        return int(ffi.error_new(WRONG_TYPE))
    ffi.put_u64(results, 1)
    return 0


@ffi.host_function
def _no_sleep(_env: int, _context: int, _type: int, _arguments: int, _n: int, _results: int, _m: int) -> int:
    return int(ffi.error_new(NO_SLEEP.encode()))


@ffi.host_function
def _no_socket(_env: int, _context: int, _type: int, _arguments: int, _n: int, results: int, m: int) -> int:
    if m != 1:
        return int(ffi.error_new(WRONG_TYPE))
    ffi.put_enum_error(results, b"access-denied")
    return 0


REPLACED: dict[str, dict[bytes, Any]] = {
    "wasi:clocks/monotonic-clock": {
        b"now": _now,
        b"resolution": _resolution,
        b"subscribe-instant": _no_sleep,
        b"subscribe-duration": _no_sleep,
    },
    "wasi:sockets/tcp-create-socket": {b"create-tcp-socket": _no_socket},
    "wasi:sockets/udp-create-socket": {b"create-udp-socket": _no_socket},
}


def check(error: int | None) -> None:
    """Raise what a linker function returned."""
    if error:
        raise WasmtimeError(ffi.take_error(error))


def define(instance: int, name: bytes, function: Any) -> None:
    """Add a host function that answers at once to a linker's instance."""
    check(ffi.linker_add_func(instance, name, len(name), ctypes.cast(function, ctypes.c_void_p), None, None))


def add_instance(root: int, name: bytes) -> int:
    """Begin an instance in a linker; to be released with `ffi.linker_instance_delete`."""
    out = ctypes.c_void_p()
    check(ffi.linker_add_instance(root, name, len(name), ctypes.addressof(out)))
    return out.value or 0


def replace_parts(linker: Linker) -> None:
    """Put our parts in the place of wasmtime's, after all of WASI was added to `linker`."""
    linker.allow_shadowing = True
    root = ffi.linker_root(ffi.address_of(linker.ptr()))
    for interface, functions in REPLACED.items():
        instance = add_instance(root, f"{interface}@0.2.{PATCH}".encode())
        for name, function in functions.items():
            define(instance, name, function)
        ffi.linker_instance_delete(instance)
    ffi.linker_instance_delete(root)
