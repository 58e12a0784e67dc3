"""Core modules that many components share, taken out of each so that they are compiled and held once.

A function in JavaScript or Python is a large language runtime, the same in every function, and a little data of its
own. Such a module (it imports its memory, so the data is elsewhere) becomes an import of the component, named by the
module's digest; what is left compiles in a moment.

What this reader does not know it leaves alone: the component is then compiled whole.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from aerofn.runtime import binary, section
from aerofn.runtime.binary import Reader, UnsupportedError

LARGE = 256 << 10  # bytes of code that are worth it
SIZE_BYTES = 8  # of the component's size, as the compiler's process is told it
_MODULE, _CORE_TYPE, _COMPONENT, _ALIAS, _IMPORT = 1, 3, 4, 6, 10
_CORE_MODULE = b"\x00\x11"  # the sort
_PLAIN_REFERENCES = (0x6F, 0x70)
# the opcodes of a global's first value, with the number of their operands
_CONSTANTS = {0x41: 1, 0x42: 1, 0x23: 1, 0xD2: 1, 0xD0: 1, 0x6A: 0, 0x6B: 0, 0x7C: 0, 0x7D: 0}
_END = 0x0B


def name_of(digest: str) -> str:
    """What a component imports the core module of that digest as."""
    return f"aerofn-core-x{digest}"


def core_file(component: Path, digest: str) -> Path:
    """Where the machine code of a core module is put when its component's is put at `component`."""
    return component.with_name(f"{component.name}-{digest}")


@dataclass
class Split:
    """A component without its large core modules, and those by their SHA-256 in hex."""

    wasm: bytes
    cores: dict[str, bytes] = field(default_factory=dict)


def split(wasm: bytes, *, nested: bool) -> Split:
    """Take the large core modules out of a component.

    Args:
        nested: also out of the components directly within it, which takes that it has no core modules itself.
    """
    found = Split(wasm)
    try:
        found.wasm = _outer(wasm, found.cores, nested=nested)
    except UnsupportedError:
        return Split(wasm)
    return found


def _outer(wasm: bytes, cores: dict[str, bytes], *, nested: bool) -> bytes:
    parts, before = [wasm[:8]], 0
    for kind, content in Reader(wasm, 8).sections():
        changed: list[bytes] = [binary.section(kind, content)]
        if kind == _CORE_TYPE:
            raise UnsupportedError("core types, whose indices would change")
        if kind == _MODULE and _is_large(content):
            cores[hashlib.sha256(content).hexdigest()] = content
            if len(cores) == before:
                raise UnsupportedError("a module twice")
            changed = []
        elif kind == _COMPONENT and nested:
            changed = [binary.section(kind, _inner(content, cores))]
        for index, (digest, core) in enumerate(list(cores.items())[before:], before):
            parts += _imported(digest, core, index)
        before = len(cores)
        parts += changed
    return b"".join(parts)


def _inner(wasm: bytes, cores: dict[str, bytes]) -> bytes:
    """A component within: its large modules become aliases of the outer one's imports."""
    parts = [wasm[:8]]
    for kind, content in Reader(wasm, 8).sections():
        if kind == _MODULE and _is_large(content):
            digest = hashlib.sha256(content).hexdigest()
            cores[digest] = content
            index = binary.number(list(cores).index(digest))
            parts.append(binary.section(_ALIAS, b"\x01" + _CORE_MODULE + b"\x02\x01" + index))
        else:
            parts.append(binary.section(kind, content))
    return b"".join(parts)


def _imported(digest: str, module: bytes, index: int) -> tuple[bytes, bytes]:
    described = b"\x01\x50" + Described(module).type
    name = b"\x01\x00" + binary.name(name_of(digest).encode()) + _CORE_MODULE + binary.number(index)
    return binary.section(_CORE_TYPE, described), binary.section(_IMPORT, name)


def _is_large(module: bytes) -> bool:
    sizes = {kind: len(content) for kind, content in Reader(module, 8).sections()}
    return sizes.get(section.CODE, 0) >= LARGE and section.MEMORY not in sizes


class Described:
    """A core module's type.

    Attributes:
        type: its declarations as a component writes them: types, imports, exports.
    """

    def __init__(self, module: bytes) -> None:
        self._functions: list[bytes] = []
        self._tables: list[bytes] = []
        self._memories: list[bytes] = []
        self._globals: list[bytes] = []
        self._declared: list[bytes] = []
        read = {
            section.TYPE: self._types,
            section.IMPORT: self._imports,
            section.FUNCTION: self._own_functions,
            section.TABLE: self._own_tables,
            section.GLOBAL: self._own_globals,
            section.EXPORT: self._exports,
        }
        for kind, content in Reader(module, 8).sections():
            if kind in read:
                read[kind](Reader(content))
        self.type = binary.number(len(self._declared)) + b"".join(self._declared)

    def _types(self, reader: Reader) -> None:
        for _ in range(reader.number()):
            start = reader.at
            if reader.byte() != 0x60:
                raise UnsupportedError("type")
            for _ in range(2):
                for _ in range(reader.number()):
                    section.value_type(reader)
            self._declared.append(b"\x01" + reader.data[start : reader.at])

    def _imports(self, reader: Reader) -> None:
        for _ in range(reader.number()):
            start = reader.at
            reader.name()
            reader.name()
            kind, described = reader.byte(), reader.at
            self._read(kind, reader)
            self._of(kind).append(reader.data[described : reader.at])
            self._declared.append(b"\x00" + reader.data[start : reader.at])

    def _of(self, kind: int) -> list[bytes]:
        return (self._functions, self._tables, self._memories, self._globals)[kind]

    @staticmethod
    def _read(kind: int, reader: Reader) -> None:
        if kind == section.A_FUNCTION:
            reader.number()
        elif kind == section.A_TABLE:
            if section.value_type(reader) not in _PLAIN_REFERENCES:
                raise UnsupportedError("table")
            section.limits(reader)
        elif kind == section.A_MEMORY:
            section.limits(reader)
        elif kind == section.A_GLOBAL:
            section.value_type(reader)
            reader.byte()
        else:
            raise UnsupportedError("import")

    def _own_functions(self, reader: Reader) -> None:
        self._functions += [binary.number(reader.number()) for _ in range(reader.number())]

    def _own_tables(self, reader: Reader) -> None:
        for _ in range(reader.number()):
            start = reader.at
            self._read(section.A_TABLE, reader)
            self._tables.append(reader.data[start : reader.at])

    def _own_globals(self, reader: Reader) -> None:
        for _ in range(reader.number()):
            start = reader.at
            self._read(section.A_GLOBAL, reader)
            self._globals.append(reader.data[start : reader.at])
            while (opcode := reader.byte()) != _END:
                if opcode not in _CONSTANTS:
                    raise UnsupportedError("constant expression")
                for _ in range(_CONSTANTS[opcode]):
                    reader.number()

    def _exports(self, reader: Reader) -> None:
        for _ in range(reader.number()):
            name, kind, index = reader.name(), reader.byte(), reader.number()
            if kind > section.A_GLOBAL:
                raise UnsupportedError("export")
            if index >= len(self._of(kind)):
                raise UnsupportedError("an export of nothing")
            described = self._of(kind)[index]
            self._declared.append(b"\x03" + binary.name(name) + bytes((kind,)) + described)
