"""What AeroFn puts in the place of parts of wasmtime's WASI, whichever patch version a guest names.

`wasi:clocks/monotonic-clock`: wasmtime implements waiting for a clock with Tokio timers. Its C API has no
Tokio reactor on the threads that poll, and without one such a wait aborts the whole process: any guest
could do that with one `sleep`. So reading the clock works, and waiting for it ends the guest with an error
that says so. A function waits with `aerofn:function/clock`, which the SDKs use.

`wasi:sockets`: creating a socket is refused with `access-denied`, before wasmtime makes a real one.
"""

import ctypes

from wasmtime import WasmtimeError
from wasmtime.component import U64, EnumType, Linker

from aerofn.runtime import ffi, sandbox

# Of the WASI 0.2 that wasmtime has. An import of another patch version is linked to the highest there is, which is this
# one, and so ours; tests/runtime/test_wasi.py imports them all.
PATCH = 12
NO_SLEEP = "a function cannot sleep by WASI's clock: wait with aerofn:function/clock, as the SDK's timers do"
# what the C side says, for as long as linkers live
_NO_SLEEP = ctypes.create_string_buffer(NO_SLEEP.encode())
# With the types of their parameters: `contract` compares them, for wasmtime does not, and its C API ends the process
# where a host function of ours is called with a stream or a future.
REPLACED: dict[str, dict[str, list[type]]] = {
    "wasi:clocks/monotonic-clock": {
        "now": [],
        "resolution": [],
        "subscribe-instant": [U64],
        "subscribe-duration": [U64],
    },
    "wasi:sockets/tcp-create-socket": {"create-tcp-socket": [EnumType]},
    "wasi:sockets/udp-create-socket": {"create-udp-socket": [EnumType]},
}


def check(error: int | None) -> None:
    """Raise what a linker function returned."""
    if error:
        raise WasmtimeError(ffi.take_error(error))


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
        for name in map(str.encode, functions):
            ours, said = sandbox.wasi_function(name), ctypes.addressof(_NO_SLEEP)
            check(ffi.linker_add_func(instance, name, len(name), ours, said, None))
        ffi.linker_instance_delete(instance)
    ffi.linker_instance_delete(root)
