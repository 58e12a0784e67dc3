"""The core modules of a QuickJS component as we link them: home, and the runtime with the world's bindings in it.

Home has what the others share: memory, the global that tells where in it the stack is, and a cell for the function that
allocates, so that what allocates for the host can be named before it is there. Where they are in memory and in the
table is written into the runtime.
"""

from dataclasses import dataclass
from pathlib import Path

from aerofn.build.quickjs import module
from aerofn.build.quickjs.known import Key, bodies_of, known
from aerofn.build.quickjs.merge import merged
from aerofn.build.quickjs.prune import exporting, pruned
from aerofn.runtime import binary, section
from aerofn.runtime.binary import Reader, UnsupportedError
from aerofn.runtime.initial import assembled
from aerofn.runtime.surgery import PAGE

TABLE, CELL = b"__indirect_function_table", b"cell"
_STACK_AS_LINKED = 1 << 20
# Of memory, the stack is what is cleared at each run and mostly not used. JavaScript calls itself 576 deep at the most,
# then the machine's stack ends; with this one a function that keeps 100 values does so 240 deep.
STACK = 256 << 10
_FUNCREF = 0x70
# globals of home, by their names as linked
_RUNTIME, _BINDINGS = "componentize_qjs_runtime.wasm", "wit-dylib.wasm"
_ALLOCATOR = f"{_RUNTIME}:cabi_realloc"  # its place in the table
_BINDINGS_DATA = f"{_BINDINGS}:memory_base"  # the last before the heap
RUNTIME_BEGINS = b"runtime: __wasm_apply_data_relocs"  # the bindings have one too
_TO_BEGIN = {
    b"__wasm_apply_data_relocs": RUNTIME_BEGINS,
    b"init": b"init",
    b"cabi_post_init": b"cabi_post_init",
}
_ONLY_TO_BEGIN = {b"__wasm_apply_data_relocs", b"__wasm_call_ctors", b"cabi_realloc"}  # the last by the cell
_HOME, _ANSWERS = (Path(__file__).with_name(f"{name}.wat") for name in ("home", "answers"))


@dataclass(frozen=True)
class Cores:
    """The modules.

    Attributes:
        home: with the bindings' data, which the runtime's own are not part of.
        runtime: with the bindings, which fill the cell; as it is after `init`: what it has in memory is in home's.
        beginning: the same before `init`, with RUNTIME_BEGINS: it puts its data into memory when it is instantiated.
    """

    home: bytes
    runtime: bytes
    beginning: bytes


def linked(home: bytes, runtime: bytes, bindings: bytes) -> Cores:
    """The modules that componentize-qjs linked, with a smaller stack, and the table of functions in the runtime.

    A module's own table gets a function when it is first called; an imported one gets all of them at each start.

    Args:
        home: as linked, with the memory before `init`.
        runtime: the toolchain's.
        bindings: as linked.
    """
    globals_ = module.exported_globals(home)
    answers = bodies_of(assembled(_ANSWERS.read_text(encoding="utf-8")))
    placed = known(_with_cell(pruned(bindings), globals_), _places(_BINDINGS, globals_), {})
    own = known(_with_own_table(runtime, _table(home)), _places(_RUNTIME, globals_), answers)
    beginning = merged(own, placed, _TO_BEGIN)
    exports = section.exports(module.content_of(placed, section.EXPORT)).keys() - _ONLY_TO_BEGIN
    started = module.without_sections(beginning, (section.DATA, section.DATA_COUNT, section.START))
    return Cores(_home(home, globals_), exporting(started, exports), beginning)


def _places(name: str, globals_: dict[str, module.Global]) -> dict[Key, int]:
    """The globals that tell a module where it is, and what is there."""
    moved = {key: _moved(each.value) for key, each in globals_.items()}
    return {
        (b"env", b"__memory_base"): moved[f"{name}:memory_base"],
        (b"env", b"__table_base"): moved[f"{name}:table_base"],
        (b"GOT.func", b"cabi_realloc"): moved[_ALLOCATOR],
        (b"GOT.mem", b"__heap_base"): moved["__heap_base"],
        (b"GOT.mem", b"__heap_end"): moved["__heap_end"],
    }


def _table(home: bytes) -> int:
    reader = Reader(module.content_of(home, section.TABLE))
    if (reader.number(), reader.byte()) != (1, _FUNCREF):
        raise UnsupportedError("tables")
    return section.limits(reader)[0]


def _moved(value: int) -> int:
    """A global's value: an address behind the stack, or an index of the table, which is much smaller."""
    return value - (_STACK_AS_LINKED - STACK) if value >= _STACK_AS_LINKED else value


def _home(home: bytes, globals_: dict[str, module.Global]) -> bytes:
    start, end = globals_[_BINDINGS_DATA].value, globals_["__heap_base"].value
    data = module.memory_of(home, end)[start:]
    escaped = "".join(f"\\{byte:02x}" for byte in data)
    pages = _moved(globals_["__heap_end"].value) // PAGE
    text = _HOME.read_text(encoding="utf-8").format(pages=pages, stack=STACK, at=_moved(start), data=escaped)
    return assembled(text)


def _with_own_table(runtime: bytes, size: int) -> bytes:
    parts = [runtime[:8]]
    for kind, content in Reader(runtime, 8).sections():
        changed = content
        if kind == section.IMPORT:
            changed = module.without_tables(runtime)
        elif kind == section.EXPORT:
            changed = binary.appended(content, binary.name(TABLE) + bytes((section.A_TABLE, 0)))
        parts.append(binary.section(kind, changed))
        if kind == section.FUNCTION:
            table = bytes((1, _FUNCREF, 0)) + binary.number(size)
            parts.append(binary.section(section.TABLE, table))
    return b"".join(parts)


def _with_cell(bindings: bytes, globals_: dict[str, module.Global]) -> bytes:
    """With the function that allocates put into the cell, and where the runtime looks for it."""
    imported = binary.name(b"env") + binary.name(CELL) + bytes((section.A_TABLE, _FUNCREF, 1, 1, 1))
    function = binary.number(section.exports(module.content_of(bindings, section.EXPORT))[b"cabi_realloc"][1])
    place = binary.signed(globals_[_ALLOCATOR].value)
    in_table = b"\x00\x41" + place + b"\x0b\x01" + function
    in_cell = b"\x02\x01\x41\x00\x0b\x00\x01" + function

    def change(kind: int, content: bytes) -> bytes:
        if kind == section.IMPORT:
            return binary.appended(content, imported)
        if kind == section.ELEMENT:
            return binary.appended(binary.appended(content, in_table), in_cell)
        return content

    return module.rewritten(bindings, change)
