"""What makes a component a function: it imports nothing that AeroFn does not offer, and exports `handle`.

WASI, decided: language runtimes (QuickJS, CPython) import most of WASI's command-line world whether they
use it or not, `wasi:filesystem` included. So `wasi:cli`, `clocks`, `io`, `random` and `filesystem` are
linked with nothing behind them: no directories, no environment, no arguments, output that goes nowhere.
`wasi:sockets` is refused by name, for nobody should believe that it works; only components made by
componentize-py are let through, since CPython always imports it. That is what their `producers` section says, and who
forges it has won nothing: there is no network behind it, every socket and every lookup of a name is refused.
`wasi:http` and all other imports are refused by name.
"""

import ctypes
from collections.abc import Iterable, Mapping
from typing import TypeGuard

from wasmtime import Engine, Module
from wasmtime.component import U64, Component, ComponentInstanceType, FuncType, OptionType, ResultType, String

from aerofn.runtime import ffi
from aerofn.runtime.cores import name_of
from aerofn.runtime.linker import add_cores, linker_for
from aerofn.runtime.producers import tools
from aerofn.runtime.wasi import REPLACED

HOST_INTERFACE = "aerofn:function/host@1.0.0"
CLOCK_INTERFACE = "aerofn:function/clock@1.0.0"
# parameters and result of each function: wasmtime's C API compares no types of host functions
OFFERED: dict[str, dict[str, tuple[list[type], str | None]]] = {
    HOST_INTERFACE: {
        "db-query": ([String, String], "result"),
        "http-fetch": ([String], "result"),
        "log": ([String, String], None),
        "env": ([String], "option"),
    },
    CLOCK_INTERFACE: {"wait": ([U64], None)},
}
WASI_PACKAGES = ("wasi:cli/", "wasi:clocks/", "wasi:io/", "wasi:random/", "wasi:filesystem/")
# What componentize-py leaves in the producers section: the tool that takes its snapshot, one day maybe its own name.
CPYTHON_TOOLS = {b"component-init-transform", b"componentize-py"}

_LINK_PROBLEM = "The component's imports do not have the types that AeroFn offers."
_WORLD_HINT = "Build it for the world `function` or `async-function` of wit/aerofn.wit; `aerofn build` does."
_MODULE_HINT = (
    "Wrap it: `aerofn build module.wasm`, or `wasm-tools component embed wit/aerofn.wit -w function"
    " module.wasm | wasm-tools component new /dev/stdin -o function.wasm`."
)


class Problem(Exception):
    """Why a component cannot be a function, as the deployer will read it."""

    def __init__(self, message: str, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint


def check_header(wasm: bytes) -> None:
    """Refuse what is no component at all, by its first eight bytes; raises Problem."""
    if wasm[:4] != b"\0asm":
        raise Problem("This is not WebAssembly.", detail=f"It starts with {wasm[:8]!r}.", hint=_WORLD_HINT)
    if wasm[4:8] == b"\x01\0\0\0":
        raise Problem("This is a core WebAssembly module, not a component.", hint=_MODULE_HINT)
    if wasm[4:8] != b"\x0d\0\x01\0":
        raise Problem("This WebAssembly is of an unknown version.", detail=f"Its header is {wasm[:8]!r}.")


def check(engine: Engine, component: Component, wasm: bytes, cores: Iterable[str] = ()) -> bool:
    """Check imports (beside its shared `cores`) and exports; returns whether WASI is imported. Raises Problem."""
    kind = component.type
    shared = {name_of(digest) for digest in cores}
    imports = {name: found for name, found in kind.imports(engine).items() if name not in shared}
    unknown = [name for name in imports if not _is_offered(name, wasm)]
    if unknown:
        names = ", ".join(unknown)
        raise Problem(f"The component imports what AeroFn does not offer: {names}.", hint=_hint(unknown))
    for name, found in imports.items():
        if name in OFFERED:
            _check_interface(engine, name, found.ty, OFFERED[name])
        elif replaced := REPLACED.get(name.partition("@")[0]):
            _check_replaced(engine, name, found.ty, replaced)
    exports = kind.exports(engine)
    if "handle" not in exports:
        detail = f"It exports {', '.join(exports) or 'nothing'}."
        raise Problem("The component does not export `handle`.", detail=detail, hint=_WORLD_HINT)
    _check_handle(exports["handle"].ty)
    return any(name.startswith("wasi:") for name in imports)


def _is_offered(name: str, wasm: bytes) -> bool:
    if name.startswith("wasi:sockets/"):
        return not CPYTHON_TOOLS.isdisjoint(tools(wasm))
    return name in OFFERED or name.startswith(WASI_PACKAGES)


def _hint(unknown: list[str]) -> str:
    if any(name.startswith(("wasi:http/", "wasi:sockets/")) for name in unknown):
        return "There is no network inside the sandbox: use `http-fetch` of aerofn:function/host."
    if any(name.startswith("aerofn:function") for name in unknown):
        return f"This AeroFn offers {HOST_INTERFACE}."
    return _WORLD_HINT


def _check_interface(
    engine: Engine, name: str, found: object, offered: dict[str, tuple[list[type], str | None]]
) -> None:
    if not isinstance(found, ComponentInstanceType):
        raise Problem(f"The component imports {name} as something else than an interface.", hint=_WORLD_HINT)
    functions = found.exports(engine)
    unknown = sorted(set(functions) - set(offered))
    if unknown:
        raise Problem(
            f"The component imports functions that {name} does not have: {', '.join(unknown)}.",
            hint=f"It has {', '.join(sorted(offered))}.",
        )
    for function, extern in functions.items():
        if not _fits(extern.ty, *offered[function]):
            raise Problem(
                f"The component imports `{function}` with another type than it has.", hint=_WORLD_HINT
            )


def _check_replaced(engine: Engine, name: str, found: object, ours: Mapping[str, list[type]]) -> None:
    """Results are compared when the guest calls: wasmtime refuses to give it another value than it expects."""
    functions = found.exports(engine) if isinstance(found, ComponentInstanceType) else {}
    for function, extern in functions.items():
        if function in ours and not _takes(extern.ty, ours[function]):
            raise Problem(_LINK_PROBLEM, detail=f"{name} has another `{function}`.", hint=_WORLD_HINT)


def _takes(function: object, parameters: list[type]) -> TypeGuard[FuncType]:
    return isinstance(function, FuncType) and [type(kind) for _, kind in function.params] == parameters


def _fits(function: object, parameters: list[type], result: str | None) -> bool:
    if not _takes(function, parameters):
        return False
    kind = function.result
    if result == "result":
        return _is_string_result(kind)
    if result == "option":
        return isinstance(kind, OptionType) and isinstance(kind.payload, String)
    return kind is None


def _is_string_result(kind: object) -> bool:
    return isinstance(kind, ResultType) and isinstance(kind.ok, String) and isinstance(kind.err, String)


def _check_handle(handle: object) -> None:
    if not _fits(handle, [String], "result"):
        raise Problem(
            "`handle` has the wrong type.",
            detail="It must be `func(event: string) -> result<string, string>`, plain or async.",
            hint=_WORLD_HINT,
        )


def check_links(engine: Engine, component: Component, cores: Mapping[str, Module]) -> None:
    """Let the linker compare the types of all imports, without running the guest; raises Problem."""
    store = ffi.store_new(ffi.address_of(engine.ptr()), None, None)
    ffi.store_limiter(store, -1, -1, 0, -1, -1)  # no instances: it stops after comparing
    attempt = ffi.Attempt()
    error_at = ctypes.addressof(attempt) + ffi.Attempt.error.offset
    with linker_for(engine) as linker:
        add_cores(linker, cores)
        future = ffi.instantiate_async(
            ffi.address_of(linker.ptr()), ffi.store_context(store), ffi.address_of(component.ptr()),
            ctypes.addressof(attempt), error_at,
        )  # fmt: skip
        ffi.future_poll(future)
        ffi.future_delete(future)
    error = ffi.take_error(attempt.error) if attempt.error else ""
    ffi.store_delete(store)
    if error and "instance count too high" not in error:
        raise Problem(_LINK_PROBLEM, detail=error, hint=_WORLD_HINT)
