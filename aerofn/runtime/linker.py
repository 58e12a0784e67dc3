"""What a guest's imports are linked to: the functions of `aerofn:function/host`, and WASI.

A host function runs on the guest's own stack, perhaps on a worker thread. It finds its run by the number
in the store that wasmtime hands it: two runs cannot mix. A call that needs the loop only notes itself
(`Ask`), is answered by `fiber.py`'s drive, and wasmtime asks for the answer at each poll.
"""

import ctypes
import itertools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from wasmtime import Engine, Module
from wasmtime.component import Linker

from aerofn.runtime import ffi, wasi
from aerofn.runtime.cores import name_of
from aerofn.runtime.host import Host

HOST_INTERFACE = b"aerofn:function/host@1.0.0"
CLOCK_INTERFACE = b"aerofn:function/clock@1.0.0"
LONGEST_PAUSE_S = 86_400.0  # far beyond any time limit, and a number that every loop's timers take
WRONG_TYPE = "a host function was imported with another type than it has"


class GuestFault(Exception):
    """A host call that a guest may not make; its text is told to the function's author."""


class Ask:
    """A host call that waits for its answer: `flag` turns true when the result is in its place."""

    __slots__ = ("arguments", "flag", "name", "result")

    def __init__(self, name: str, arguments: tuple[str, ...], result: int) -> None:
        self.name = name
        self.arguments = arguments
        self.result = result  # address of wasmtime's result value, valid while the call future lives
        self.flag = ctypes.create_string_buffer(2)

    async def settle(self, host: Host) -> None:
        """Have the host answer, and put the result in its place; only while nobody polls."""
        ok, data = await getattr(host, self.name)(*self.arguments)
        ffi.put_result(self.result, ok, ffi.valid_utf8(data))
        self.flag[0] = b"\x01"


class Pause:
    """A guest that waits for time to pass."""

    __slots__ = ("flag", "nanoseconds")

    def __init__(self, nanoseconds: int) -> None:
        self.nanoseconds = nanoseconds
        self.flag = ctypes.create_string_buffer(2)

    async def settle(self, host: Host) -> None:
        """Let the time pass; only while nobody polls."""
        await host.wait(min(self.nanoseconds / 1e9, LONGEST_PAUSE_S))
        self.flag[0] = b"\x01"


class Guest(Protocol):
    """What a host function needs of the run it was called by."""

    def ask(self, ask: Ask | Pause) -> None:
        """Note a host call that the loop must answer."""

    def log(self, level: str, message: str) -> None:
        """Pass a log line on."""

    def env(self, key: str) -> str | None:
        """A granted key's value."""

    def fault(self, error: BaseException) -> None:
        """Note that the host itself failed."""


_numbers = itertools.count(1)
_guests: dict[int, Guest] = {}


def enter(guest: Guest) -> int:
    """Make `guest` known to host functions; returns the number its store must carry."""
    number = next(_numbers)
    _guests[number] = guest
    return number


def leave(number: int) -> None:
    """Forget a guest, when its store is gone."""
    del _guests[number]


def _guest(context: int) -> Guest:
    return _guests[ffi.context_get_data(context)]


def _expect(arguments: int, expected: int, results: int, expected_results: int) -> None:
    # wasmtime's C API does not compare types: a component may have imported another signature
    if arguments != expected or results != expected_results:
        raise GuestFault(WRONG_TYPE)


def _text(arguments: int, index: int) -> str:
    try:
        # wasmtime has checked that it is UTF-8
        return ffi.get_string(arguments + index * ffi.VALUE_SIZE).decode("utf-8")
    except TypeError:
        raise GuestFault(WRONG_TYPE) from None


def _number(argument: int) -> int:
    try:
        return ffi.get_u64(argument)
    except TypeError:
        raise GuestFault(WRONG_TYPE) from None


# The continuation's callback is asked "is it ready?" at every poll. strlen answers that without entering
# Python: its argument is the Ask's flag, "" (0, not ready) or "\x01" (1, ready).
_is_ready = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value


def _asking(make: Callable[[int, int, int, int], Ask | Pause]) -> Any:
    """An async host function: `make`, of arguments, results and their counts, says what the loop must do."""

    @ffi.async_host_function
    def call(  # noqa: PLR0917 - the C API's arguments
        _env: int,
        context: int,
        _type: int,
        arguments: int,
        n: int,
        results: int,
        m: int,
        error: int,
        then: int,
    ) -> None:
        try:
            ask = make(arguments, n, results, m)
            continuation = ffi.Continuation.from_address(then)
            continuation.callback = _is_ready
            continuation.env = ctypes.addressof(ask.flag)
            continuation.finalizer = None
            _guest(context).ask(ask)
        except BaseException as fault:  # nothing may unwind into wasmtime
            ctypes.c_void_p.from_address(error).value = _failed(context, fault)

    return call


def _question(name: str, count: int) -> Callable[[int, int, int, int], Ask]:
    """A host call that takes `count` strings."""

    def make(arguments: int, n: int, results: int, m: int) -> Ask:
        _expect(n, count, m, 1)
        return Ask(name, tuple([_text(arguments, i) for i in range(count)]), results)

    return make


def _pause(arguments: int, n: int, _results: int, m: int) -> Pause:
    _expect(n, 1, m, 0)
    return Pause(_number(arguments))


def _failed(context: int, fault: BaseException) -> int:
    if isinstance(fault, GuestFault):
        return int(ffi.error_new(str(fault).encode()))
    _guest(context).fault(fault)
    return int(ffi.error_new(b"host function failed"))


@ffi.host_function
def _log(_env: int, context: int, _type: int, arguments: int, n: int, _results: int, m: int) -> int:
    try:
        _expect(n, 2, m, 0)
        _guest(context).log(_text(arguments, 0), _text(arguments, 1))
    except BaseException as fault:
        return _failed(context, fault)
    return 0


@ffi.host_function
def _env(_env: int, context: int, _type: int, arguments: int, n: int, results: int, m: int) -> int:
    try:
        _expect(n, 1, m, 1)
        value = _guest(context).env(_text(arguments, 0))
        ffi.put_option(results, None if value is None else value.encode("utf-8", "replace"))
    except BaseException as fault:
        return _failed(context, fault)
    return 0


_db_query = _asking(_question("db_query", 2))
_http_fetch = _asking(_question("http_fetch", 1))
_wait = _asking(_pause)


def linker_for(engine: Engine) -> Linker:
    """The linker of every guest: WASI 0.2, and AeroFn's functions.

    What is behind WASI is up to a store's WASI context (nothing) and to `wasi` (clocks and sockets).
    """
    linker = Linker(engine)
    pointer = ffi.address_of(linker.ptr())
    wasi.check(ffi.linker_add_wasip2_async(pointer))
    wasi.replace_parts(linker)
    root = ffi.linker_root(pointer)
    host = wasi.add_instance(root, HOST_INTERFACE)
    _define_async(host, b"db-query", _db_query)
    _define_async(host, b"http-fetch", _http_fetch)
    wasi.define(host, b"log", _log)
    wasi.define(host, b"env", _env)
    ffi.linker_instance_delete(host)
    clock = wasi.add_instance(root, CLOCK_INTERFACE)
    _define_async(clock, b"wait", _wait)
    ffi.linker_instance_delete(clock)
    ffi.linker_instance_delete(root)
    return linker


def add_cores(linker: Linker, cores: Mapping[str, Module]) -> None:
    """Give guests the core modules that they share, by their digests in hex."""
    with linker.root() as root:
        for digest, module in cores.items():
            root.add_module(name_of(digest), module)


def _define_async(instance: int, name: bytes, function: Any) -> None:
    callback = ctypes.cast(function, ctypes.c_void_p)
    wasi.check(ffi.linker_add_func_async(instance, name, len(name), callback, None, None))
