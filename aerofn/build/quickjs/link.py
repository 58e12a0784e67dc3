"""Links the core modules of a component that componentize-qjs made anew, for a start that does least.

What it links has a table of functions that is filled at each start, a megabyte of stack that is cleared at each
end, an adapter, a module loader and most of WASI, which a finished function has no use for, and stands in for every
function of the host until that is there. Here the runtime itself has what has one answer, and the host's functions are
there first: they allocate through home's cell.
"""

from dataclasses import dataclass

from aerofn.build.quickjs import module
from aerofn.build.quickjs.cores import CELL, RUNTIME_BEGINS, Cores, linked
from aerofn.build.quickjs.definitions import MODULE, TYPE, CoreInstance, Definition, Definitions, Ref
from aerofn.build.quickjs.known import imports_of
from aerofn.runtime.binary import UnsupportedError
from aerofn.runtime.initial import assembled

HOME, _RUNTIME, _BINDINGS = 0, 2, 3  # among the core modules as componentize-qjs orders them
_CLOCK = b"wasi:clocks/monotonic-clock@"
# (instance (type (func (result u64))) (export "now" (func (type 0)))): the clock, without the waiting for it
_READ_ONLY_CLOCK = b"\x01\x42\x02\x01\x40\x00\x00\x77\x04\x00\x03now\x01\x00"
_REALLOC, _ENV = b"cabi_realloc", b"env"

# What the linked component does when it starts
_BEGINNING = f"""(module
  (import "runtime" "{RUNTIME_BEGINS.decode()}" (func $runtime))
  (import "runtime" "__wasm_apply_data_relocs" (func $bindings))
  (import "runtime" "__wasm_call_ctors" (func $construct))
  (func $begin call $runtime call $bindings call $construct)
  (start $begin))"""


@dataclass(frozen=True)
class Linked:
    """A component twice; its first core module is the home of its memory.

    Attributes:
        template: for the memory that `init` leaves.
        beginning: the one to call `init` in.
    """

    template: bytes
    beginning: bytes


def relinked(component: bytes, runtime: bytes) -> Linked:
    """Link a component of componentize-qjs anew.

    Args:
        component: with a stub for the runtime, whose `init` has done nothing.
        runtime: the one to link.
    """
    modules = module.core_modules(component)
    cores = linked(modules[HOME], runtime, modules[_BINDINGS])
    wiring = _Wiring(component, cores)
    beginning = wiring.beginning()
    return Linked(wiring.template(), beginning)


class _Wiring:
    """A linked component's definitions, as they are to be."""

    def __init__(self, component: bytes, cores: Cores) -> None:
        self._cores = cores
        self._found = Definitions(component)
        instances = self._found.core_instances()
        self._home, self._runtime, self._bindings = map(self._instance, (HOME, _RUNTIME, _BINDINGS))
        fixup = next((found for found in instances.values() if b"shim" in found.given and found.module), None)
        if fixup is None:
            raise UnsupportedError("a component without a shim")
        self._shim, self._actual = fixup.given[b"shim"], instances[fixup.given[b"actual"]]
        self._put(HOME, cores.home)
        self._found.point(self._bindings, self._runtime)
        self._rewire_functions()
        self._rewire_instances()
        self._only_read_the_clock()

    def _instance(self, index: int) -> Ref:
        wanted = Ref("core module", index)
        return next(ref for ref, each in self._found.core_instances().items() if each.module == wanted)

    def _put(self, index: int, core: bytes) -> None:
        self._found.all[Ref("core module", index)] = Definition(MODULE, "core module", [core])

    def template(self) -> bytes:
        """Written last: it has no `init` any more."""
        self._found.without_export(b"init")
        self._put(_RUNTIME, self._cores.runtime)
        return self._found.written([self._home, self._runtime])

    def beginning(self) -> bytes:
        self._put(_RUNTIME, self._cores.beginning)
        code = self._found.add(Definition(MODULE, "core module", [assembled(_BEGINNING)]))
        begun = CoreInstance(code, {b"runtime": self._runtime})
        return self._found.written([self._home, self._found.add(begun)])

    def _rewire_functions(self) -> None:
        """The shim's functions become the host's own, and those allocate through home."""
        definitions = self._found.all
        realloc = definitions[self._found.alias(self._home, "core func", _REALLOC)]
        for ref, found in definitions.items():
            if not isinstance(found, Definition) or found.of is None:
                continue
            if found.of == self._shim:
                definitions[ref] = definitions[self._actual.given.get(found.name, ref)]
            elif found.name == _REALLOC:
                definitions[ref] = realloc

    def _rewire_instances(self) -> None:
        """The runtime, which has the bindings in it, is given what it imports, and home nothing."""
        instances = self._found.core_instances()
        instances[self._home].given.clear()
        runtime, bindings = instances[self._runtime], instances[self._bindings]
        instances[bindings.given[_ENV]].given[CELL] = self._found.alias(self._home, "core table", CELL)
        offered = [
            (giver, instances[ref].given) for each in (runtime, bindings) for giver, ref in each.given.items()
        ]
        wanted = {each.key for each in imports_of(self._cores.runtime)}
        runtime.given.clear()
        for giver in sorted({giver for giver, _ in wanted}):
            found = {name: ref for of, given in offered if of == giver for name, ref in given.items()}
            given = {name: ref for name, ref in found.items() if (giver, name) in wanted}
            runtime.given[giver] = self._found.add(CoreInstance(None, given))

    def _only_read_the_clock(self) -> None:
        clock = next(ref for name, ref in self._found.imports().items() if name.startswith(_CLOCK))
        of = self._found.all[clock].of
        assert of is not None
        self._found.all[of] = Definition(TYPE, "type", [_READ_ONLY_CLOCK])
