"""What is done to a component before it is compiled: memory limits made visible, memory size made readable.

A component exports no memory, and wasmtime's C API tells nothing about one. So the scope (the component,
or a component nested in it) that has the guest's one memory that can grow gets a further core instance
which imports that memory and returns its size, and that becomes one more export, through the scopes above.
Everything is added at the end of a scope: no index of the guest's own changes.

What this reader does not know it leaves alone (UnsupportedError): the component then runs as it came but for its
modules' code, with one memory at the most, its peak unknown. Code that cannot be rewritten does not run.
"""

from collections import Counter
from collections.abc import Iterator

from aerofn.runtime import binary
from aerofn.runtime.binary import Reader, UnsupportedError
from aerofn.runtime.growth import Module

PAGES_EXPORT = b"aerofn-memory-pages"
PAGE = 64 << 10
MAX_DEPTH = 8

_MODULE, _CORE_INSTANCE, _COMPONENT, _INSTANCE, _ALIAS, _TYPE, _CANON, _IMPORT, _EXPORT = (
    1,
    2,
    4,
    5,
    6,
    7,
    8,
    10,
    11,
)
_SORTS = {1: "func", 2: "value", 3: "type", 4: "component", 5: "instance"}
_CORE_SORTS = {0: "core func", 1: "core table", 2: "core memory", 3: "core global", 0x11: "core module"}

# (module (import "m" "m" (memory 0)) (func (export "p") (result i32) memory.size))
_PROBE = (
    b"\0asm\x01\0\0\0"
    + binary.section(1, b"\x01\x60\x00\x01\x7f")
    + binary.section(2, b"\x01\x01m\x01m\x02\x00\x00")
    + binary.section(3, b"\x01\x00")
    + binary.section(7, b"\x01\x01p\x00\x00")
    + binary.section(10, b"\x01\x04\x00\x3f\x00\x0b")
)

# What follows each canonical built-in's opcode: n number, b byte, o options, r results
CANON_SHAPES = {
    0x02: "n", 0x03: "n", 0x04: "n", 0x05: "", 0x06: "b", 0x07: "n", 0x08: "", 0x09: "ro", 0x0A: "bn", 0x0B: "bn",
    0x0C: "b", 0x0D: "", 0x0E: "n", 0x0F: "no", 0x10: "no", 0x11: "nb", 0x12: "nb", 0x13: "n", 0x14: "n", 0x15: "n",
    0x16: "no", 0x17: "no", 0x18: "nb", 0x19: "nb", 0x1A: "n", 0x1B: "n", 0x1C: "o", 0x1D: "o", 0x1E: "", 0x1F: "",
    0x20: "bn", 0x21: "bn", 0x22: "", 0x23: "", 0x24: "", 0x25: "",
}  # fmt: skip
OPTION_HAS_NUMBER = {0: False, 1: False, 2: False, 3: True, 4: True, 5: True, 6: False, 7: True}


class Scope:
    """One component of the nest, rewritten.

    Attributes:
        wasm: its bytes after surgery.
        memories: first sizes (pages) of the memories that an instance of it has, and whether each can grow.
        tells_pages: it exports the size of its growable memory.
        counts: how many of each sort its own sections define: the next index of that sort.
        instances: of its core modules, by the module's index; the last where there are several.
    """

    def __init__(self, wasm: bytes, depth: int = 0) -> None:
        if depth > MAX_DEPTH:
            raise UnsupportedError("components nested too deep")
        self._depth = depth
        self.counts: Counter[str] = Counter()
        self.instances: dict[int, int] = {}
        self._modules: dict[int, Module] = {}
        self._components: dict[int, Scope] = {}
        self._telling: list[int] = []  # instances that export the size
        self._own: list[Module] = []
        self._nested: list[tuple[int, bool]] = []
        parts = [wasm[:8]]
        for kind, content in Reader(wasm, 8).sections():
            parts.append(binary.section(kind, self._section(kind, content)))
        self.memories = self._own_memories() + self._nested
        self.tells_pages = self._add_export(parts)
        self.wasm = b"".join(parts)

    def _own_memories(self) -> list[tuple[int, bool]]:
        # code anywhere in the scope may have been given the memory
        grows = any(module.grows for module in self._own)
        return [(pages, grows) for module in self._own for pages in module.pages]

    def _section(self, kind: int, content: bytes) -> bytes:
        if kind == _MODULE:
            module = Module(content)
            self._modules[self._next("core module")] = module
            return module.wasm
        if kind == _COMPONENT:
            scope = Scope(content, self._depth + 1)
            self._components[self._next("component")] = scope
            return scope.wasm
        read = {
            _CORE_INSTANCE: self._core_instance,
            _INSTANCE: self._instance,
            _ALIAS: self._alias,
            _CANON: self._canon,
            _IMPORT: self._import,
            _EXPORT: self._export,
        }.get(kind)
        reader = Reader(content)
        if kind == _TYPE:
            self.counts["type"] += reader.number()
        elif read is not None:
            for _ in range(reader.number()):
                read(reader)
        return content

    def _next(self, sort: str) -> int:
        index = self.counts[sort]
        self.counts[sort] += 1
        return index

    def _core_instance(self, reader: Reader) -> None:
        instance = self._next("core instance")
        if reader.byte() == 0:
            index = reader.number()
            self.instances[index] = instance
            module = self._modules.get(index)
            if module is None:
                raise UnsupportedError("a core module from elsewhere")
            self._own.append(module)
            for _ in range(reader.number()):
                reader.name()
                reader.byte()
                reader.number()
        else:
            for _ in range(reader.number()):
                reader.name()
                reader.byte()
                reader.number()

    def _instance(self, reader: Reader) -> None:
        index = self._next("instance")
        if reader.byte() == 0:
            scope = self._components.get(reader.number())
            if scope is None:
                raise UnsupportedError("a component from elsewhere")
            self._nested += scope.memories
            if scope.tells_pages:
                self._telling.append(index)
            for _ in range(reader.number()):
                reader.name()
                self._sort(reader)
                reader.number()
        else:
            for _ in range(reader.number()):
                self._extern_name(reader)
                self._sort(reader)
                reader.number()

    def _alias(self, reader: Reader) -> None:
        sort = self._sort(reader)
        if reader.byte() == 2:
            reader.number()
            reader.number()
        else:
            reader.number()
            reader.name()
        self._next(sort)

    def _canon(self, reader: Reader) -> None:
        opcode = reader.byte()
        if opcode == 0:
            reader.byte()
            reader.number()
            _canon_options(reader)
            reader.number()
            self._next("func")
            return
        self._next("core func")
        if opcode == 1:
            reader.byte()
            reader.number()
            _canon_options(reader)
        elif opcode in CANON_SHAPES:
            for shape in CANON_SHAPES[opcode]:
                _canon_part(reader, shape)
        else:
            raise UnsupportedError("canonical built-in")

    def _import(self, reader: Reader) -> None:
        self._extern_name(reader)
        self._next(self._description(reader))

    def _export(self, reader: Reader) -> None:
        self._extern_name(reader)
        sort = self._sort(reader)
        reader.number()
        if reader.byte():
            self._description(reader)
        self._next(sort)

    def _extern_name(self, reader: Reader) -> None:
        if reader.byte() > 1:
            raise UnsupportedError("name")
        reader.name()

    def _sort(self, reader: Reader) -> str:
        sort = reader.byte()
        return _CORE_SORTS.get(reader.byte(), "other") if sort == 0 else _SORTS.get(sort, "other")

    def _description(self, reader: Reader) -> str:
        kind = reader.byte()
        if kind == 0:
            reader.byte()
            reader.number()
            return "core module"
        if kind in (2, 3) and reader.byte() == 1 and kind == 3:
            return "type"  # a fresh resource type
        reader.number()
        return _SORTS.get(kind, "other")

    # --- what is added ---

    def _add_export(self, parts: list[bytes]) -> bool:
        growable = [grows for _, grows in self.memories].count(True)
        if growable != 1:
            return False
        if self._telling:
            function = self.counts["func"]
            parts.append(
                binary.section(
                    _ALIAS, b"\x01\x01\x00" + binary.number(self._telling[0]) + binary.name(PAGES_EXPORT)
                )
            )
        elif self.counts["core memory"] and self._own_memories():
            parts.extend(self._probe())
            function = self.counts["func"]
        else:
            return False
        export = b"\x01\x00" + binary.name(PAGES_EXPORT) + b"\x01" + binary.number(function) + b"\x00"
        parts.append(binary.section(_EXPORT, export))
        return True

    def _probe(self) -> Iterator[bytes]:
        """A core instance that reads the memory (all of a scope's memories are its one), lifted to a function."""
        instance = self.counts["core instance"]
        yield binary.section(_MODULE, _PROBE)
        yield binary.section(
            _CORE_INSTANCE,
            b"\x02\x01\x01\x01m\x02\x00"  # an instance of nothing but the scope's first memory, as "m"
            + b"\x00" + binary.number(self.counts["core module"]) + b"\x01\x01m\x12" + binary.number(instance),
        )  # fmt: skip
        yield binary.section(_ALIAS, b"\x01\x00\x00\x01" + binary.number(instance + 1) + b"\x01p")
        yield binary.section(_TYPE, b"\x01\x40\x00\x00\x79")  # func() -> u32
        yield binary.section(
            _CANON,
            b"\x01\x00\x00"
            + binary.number(self.counts["core func"])
            + b"\x00"
            + binary.number(self.counts["type"]),
        )


def with_modules_rewritten(wasm: bytes) -> bytes:
    """A component with what is done to its core modules, and no more: for one that `Scope` does not know."""
    parts = [wasm[:8]]
    for kind, content in Reader(wasm, 8).sections():
        changed = content
        if kind == _MODULE:
            changed = Module(content).wasm
        elif kind == _COMPONENT:  # no deeper than `names` lets pass
            changed = with_modules_rewritten(content)
        parts.append(binary.section(kind, changed))
    return b"".join(parts)


def _canon_options(reader: Reader) -> None:
    for _ in range(reader.number()):
        option = reader.byte()
        if option not in OPTION_HAS_NUMBER:
            raise UnsupportedError("canonical option")
        if OPTION_HAS_NUMBER[option]:
            reader.number()


def _canon_part(reader: Reader, shape: str) -> None:
    if shape == "n":
        reader.number()
    elif shape == "b":
        reader.byte()
    elif shape == "o":
        _canon_options(reader)
    elif reader.byte() == 0:  # a result type, or none
        reader.number()
    else:
        reader.byte()
