"""What Python calls of the C library: the steps of a run, what its guest asks, the pool of threads, the ticker.

A run is a block of memory (`Block`), reused for later runs once it is released. Whoever calls one of these functions
for a run is alone with it: no thread of the pool has it meanwhile.

Two kinds of function, as in `ffi`: `_quick` keeps the GIL, `_slow` releases it.
"""

import ctypes
import struct
from ctypes import c_bool, c_char_p, c_int, c_int64, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any, NamedTuple

from aerofn.runtime import ffi
from aerofn.runtime.library import holding_library, library

# What `advance` says, and what `take` gives (negative: it is too large): `sandbox.h` has the same.
OVER, READY, ASKS = 1, 2, 4
ADVANCE, RELEASE, RENEW = range(3)
NOTHING, DB_QUERY, HTTP_FETCH, WAIT, LOG, ENV = range(6)

_quick_library, _slow_library = holding_library(), library()


# name in C → (result, arguments); read by the test that compares them with the C.
SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {}


def _declared(function: Any, result: Any, arguments: tuple[Any, ...]) -> Any:
    function.restype, function.argtypes = SIGNATURES[function.__name__] = result, arguments
    return function


def _quick(name: str, result: Any, *arguments: Any) -> Any:
    return _declared(_quick_library[f"aerofn_{name}"], result, arguments)


def _slow(name: str, result: Any, *arguments: Any) -> Any:
    return _declared(_slow_library[f"aerofn_{name}"], result, arguments)


_bind = _quick("bind", c_char_p, c_void_p)


def bind(wasmtime: int) -> None:
    """Have the C side look up wasmtime's functions in its loaded library (a handle for dlsym)."""
    missing: bytes | None = _bind(wasmtime)
    if missing is not None:
        raise ImportError(f"wasmtime has no {missing.decode()}")


bind(ffi.WASMTIME_LIBRARY)

plan_new = _quick(
    "plan_new", c_void_p,
    c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_int64,
    c_uint64, c_uint64, c_bool,
)  # fmt: skip
plan_delete = _quick("plan_delete", None, c_void_p)

prepare = _quick("prepare", None, c_void_p, c_void_p, c_int64)
begin = _quick("begin", None, c_void_p, c_char_p, c_size_t)
advance = _slow("advance", c_int, c_void_p)
make_ready = _slow("make_ready", c_int, c_void_p)
release = _slow("release", None, c_void_p)
take = _quick("take", c_int, c_void_p)
answer = _quick("answer", None, c_void_p, c_bool, c_char_p, c_size_t)

pool_new = _quick("pool_new", c_void_p, c_uint, c_int)
pool_put = _quick("pool_put", None, c_void_p, c_void_p, c_int, c_bool)
pool_wake = _quick("pool_wake", None, c_void_p)
pool_done = _quick("pool_done", c_void_p, c_void_p)
pool_expect = _quick("pool_expect", None, c_void_p)
pool_close = _slow("pool_close", None, c_void_p)
pool_free = _quick("pool_free", None, c_void_p)

ticker_new = _quick("ticker_new", c_void_p, c_uint64)
ticker_add = _quick("ticker_add", c_bool, c_void_p, c_void_p)
ticker_start = _quick("ticker_start", c_bool, c_void_p)
ticker_stop = _slow("ticker_stop", None, c_void_p)
ticker_ticks = _quick("ticker_ticks", c_uint64, c_void_p)
ticker_free = _quick("ticker_free", None, c_void_p)

asked = int(_quick("asked", c_void_p)())  # the callback of all functions of `aerofn:function`
host_function = _quick("host_function", c_void_p, c_int)
wasi_function = _quick("wasi_function", c_void_p, c_char_p)

_SEEN = struct.Struct("@9Q")
_STATE = struct.Struct("@Q")
_FAILURE = struct.Struct("@Q")
_FAILURE_AT = 5 * 8
# of the call that was taken: the addresses and sizes of its two texts, and its number
_CALL = struct.Struct("@5Q")


class Seen(NamedTuple):
    """`struct seen` of sandbox.h, up to the arguments of a call."""

    state: int
    cpu_ns: int
    poll_ns: int
    host_calls: int
    pages: int
    failure: int
    text: int
    size: int
    ok: int


class Block:
    """The memory of one run at a time."""

    __slots__ = ("address", "memory")

    def __init__(self) -> None:
        self.memory = bytearray(_SIZE)
        self.address = ctypes.addressof((ctypes.c_char * _SIZE).from_buffer(self.memory))

    def seen(self) -> Seen:
        """What the run was so far."""
        return tuple.__new__(Seen, _SEEN.unpack_from(self.memory))  # in half the time of Seen(*…)

    def state(self) -> int:
        """The first of what is `seen`, by itself."""
        (state,) = _STATE.unpack_from(self.memory)
        return int(state)

    def failure(self) -> str | None:
        """Wasmtime's account of a trap, if there was one; given once."""
        (error,) = _FAILURE.unpack_from(self.memory, _FAILURE_AT)
        if not error:
            return None
        _FAILURE.pack_into(self.memory, _FAILURE_AT, 0)
        return ffi.take_error(error)

    def texts(self, count: int) -> list[str]:
        """The first so many arguments of the call that was taken; wasmtime has checked that they are UTF-8."""
        call = _CALL.unpack_from(self.memory, _SEEN.size)
        return [ffi.bytes_at(call[2 * i], call[2 * i + 1]).decode("utf-8", "replace") for i in range(count)]

    def number(self) -> int:
        """The number of the call that was taken; its size, if it is too large."""
        return int(_CALL.unpack_from(self.memory, _SEEN.size)[4])


_SIZE = _quick("run_size", c_size_t)()
