"""What AeroFn puts in the place of parts of wasmtime's WASI, whichever patch version a guest names.

`wasi:clocks/monotonic-clock`: wasmtime implements waiting for a clock with Tokio timers. Its C API has no
Tokio reactor on the threads that poll, and without one such a wait aborts the whole process: any guest
could do that with one `sleep`. So reading the clock works, and waiting for it ends the guest with an error
that says so. A function waits with `aerofn:function/clock`, which the SDKs use.

`wasi:sockets`: creating a socket is refused with `access-denied`, before wasmtime makes a real one.

`wasi:random`: wasmtime fills a list of any length in one call, which nothing can interrupt. Here a call gives
`MAX_RANDOM` bytes at most, and asking for more ends the guest with an error that says so.
"""

import ctypes

from wasmtime import WasmtimeError
from wasmtime.component import U64, EnumType, Linker

from aerofn.runtime import ffi, sandbox

# Of the WASI 0.2 that wasmtime has. An import of another patch version is linked to the highest there is, which is this
# one, and so ours; tests/runtime/test_wasi.py imports them all.
PATCH = 12
NO_SLEEP = "a function cannot sleep by WASI's clock: wait with aerofn:function/clock, as the SDK's timers do"
MAX_RANDOM = 65_536  # bytes a call, as Web Crypto's getRandomValues; sandbox.h has the same
TOO_MUCH_RANDOM = f"a function is given {MAX_RANDOM:,} random bytes at once, and no more: ask several times"
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
    "wasi:random/random": {"get-random-bytes": [U64]},
    "wasi:random/insecure": {"get-insecure-random-bytes": [U64]},
}
# what the C side says of a call that it refuses, for as long as linkers live
_SAID = {
    name: ctypes.create_string_buffer((TOO_MUCH_RANDOM if "random" in name else NO_SLEEP).encode())
    for functions in REPLACED.values()
    for name in functions
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
        for function in functions:
            name, said = function.encode(), ctypes.addressof(_SAID[function])
            check(ffi.linker_add_func(instance, name, len(name), sandbox.wasi_function(name), said, None))
        ffi.linker_instance_delete(instance)
    ffi.linker_instance_delete(root)
