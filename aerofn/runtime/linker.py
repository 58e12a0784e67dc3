"""What a guest's imports are linked to: the functions of `aerofn:function`, and WASI.

A host function is C (`native/calls.c`) and runs on the guest's own stack, perhaps on a thread of the pool. It finds its
run by the store that wasmtime hands it: two runs cannot mix. A call only notes itself, is answered by
`Fiber.answer` on the loop, and wasmtime asks for the answer at each poll.
"""

from collections.abc import Mapping

from wasmtime import Engine, Module
from wasmtime.component import Linker

from aerofn.runtime import ffi, sandbox, wasi
from aerofn.runtime.cores import name_of

_INTERFACES = {
    b"aerofn:function/host@1.0.0": {
        b"db-query": sandbox.DB_QUERY,
        b"http-fetch": sandbox.HTTP_FETCH,
        b"log": sandbox.LOG,
        b"env": sandbox.ENV,
    },
    b"aerofn:function/clock@1.0.0": {b"wait": sandbox.WAIT},
}


def linker_for(engine: Engine) -> Linker:
    """The linker of every guest: WASI 0.2, and AeroFn's functions.

    What is behind WASI is up to a store's WASI context (nothing) and to `wasi` (clocks, sockets, random bytes).
    """
    linker = Linker(engine)
    pointer = ffi.address_of(linker.ptr())
    wasi.check(ffi.linker_add_wasip2_async(pointer))
    wasi.replace_parts(linker)
    root = ffi.linker_root(pointer)
    for interface, functions in _INTERFACES.items():
        instance = wasi.add_instance(root, interface)
        for name, function in functions.items():
            which = sandbox.host_function(function)
            wasi.check(ffi.linker_add_func_async(instance, name, len(name), sandbox.asked, which, None))
        ffi.linker_instance_delete(instance)
    ffi.linker_instance_delete(root)
    return linker


def add_cores(linker: Linker, cores: Mapping[str, Module]) -> None:
    """Give guests the core modules that they share, by their digests in hex."""
    with linker.root() as root:
        for digest, module in cores.items():
            root.add_module(name_of(digest), module)
