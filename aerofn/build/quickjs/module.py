"""Reading and rewriting core modules: their data, globals, imports, elements and the size of their memory."""

import itertools
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from aerofn.runtime import binary, section
from aerofn.runtime.binary import Reader, UnsupportedError

_MODULE = 1
_I32 = 0x7F
_I32_CONST, _END = 0x41, 0x0B
_OPERANDS = {_I32_CONST: 1, 0x23: 1, 0x6A: 0}  # i32.const, global.get, i32.add
Segments = list[tuple[int, bytes]]


@dataclass(frozen=True)
class Global:
    """A global of 32 bits."""

    mutable: bool
    value: int


def rewritten(wasm: bytes, change: Callable[[int, bytes], bytes]) -> bytes:
    """A module or component with `change(kind, content)` in the place of each section's content."""
    sections = Reader(wasm, 8).sections()
    return wasm[:8] + b"".join(binary.section(kind, change(kind, content)) for kind, content in sections)


def core_modules(component: bytes) -> list[bytes]:
    """The core modules of a component, not those of components in it."""
    return [content for kind, content in Reader(component, 8).sections() if kind == _MODULE]


def with_modules(component: bytes, change: Callable[[int, bytes], bytes]) -> bytes:
    """A component with `change(index, module)` in the place of each core module."""
    count = itertools.count()
    return rewritten(
        component, lambda kind, content: change(next(count), content) if kind == _MODULE else content
    )


def content_of(module: bytes, kind: int) -> bytes:
    """The content of its section of that kind."""
    return next((content for found, content in Reader(module, 8).sections() if found == kind), b"\0")


def segments(module: bytes) -> Segments:
    """Address and bytes of each active segment of its memory."""
    reader = Reader(content_of(module, section.DATA))
    return [_segment(reader) for _ in range(reader.number())]


def _segment(reader: Reader) -> tuple[int, bytes]:
    if (reader.byte(), reader.byte()) != (0, _I32_CONST):
        raise UnsupportedError("data segment")
    address = reader.number()
    reader.byte()
    return address, reader.name()


def memory_of(module: bytes, end: int) -> bytes:
    """What it puts into its memory below `end`."""
    memory = bytearray(end)
    for at, data in segments(module):
        memory[at : at + len(data)] = data
    return bytes(memory[:end])


def data(parts: Iterable[tuple[int, bytes]]) -> bytes:
    """The data section of such segments."""
    encoded = [b"\x00\x41" + binary.signed(address) + b"\x0b" + binary.name(part) for address, part in parts]
    return binary.number(len(encoded)) + b"".join(encoded)


def memory(pages: int) -> bytes:
    """The memory section of one memory without a maximum."""
    return b"\x01\x00" + binary.number(pages)


def mutable_globals(module: bytes) -> list[int]:
    """Index of each global of its own that can change."""
    kinds = [kind for kind, _ in section.imports(content_of(module, section.IMPORT))]
    imported = kinds.count(section.A_GLOBAL)
    found = _globals(content_of(module, section.GLOBAL))
    return [imported + i for i, (mutable, _) in enumerate(found) if mutable]


def with_globals(content: bytes, values: Iterable[int]) -> bytes:
    """A globals section, with these values (of 32 bits, unsigned) in those that can change."""
    given = iter(values)
    found = _globals(content)
    parts = [
        bytes((_I32, 1, _I32_CONST)) + _signed(next(given)) + b"\x0b" if mutable else text
        for mutable, text in found
    ]
    return binary.number(len(found)) + b"".join(parts)


def exported_globals(module: bytes) -> dict[str, Global]:
    """Those that a module without imported ones exports, whose first values are plain numbers, none below 0."""
    exports = section.exports(content_of(module, section.EXPORT))
    found = _globals(content_of(module, section.GLOBAL))
    return {
        name.decode(): _constant(*found[index])
        for name, (kind, index) in exports.items()
        if kind == section.A_GLOBAL
    }


def _constant(mutable: bool, text: bytes) -> Global:
    if text[2] != _I32_CONST:
        raise UnsupportedError("a global's first value")
    return Global(mutable, Reader(text, 3).number())


def _signed(value: int) -> bytes:
    return binary.signed(value - (value >> 31 << 32))


def _globals(content: bytes) -> list[tuple[bool, bytes]]:
    """Whether it can change, and its bytes, of each global of a section."""
    reader = Reader(content)
    return [_global(reader) for _ in range(reader.number())]


def _global(reader: Reader) -> tuple[bool, bytes]:
    start = reader.at
    kind, mutable = reader.byte(), reader.byte()
    if kind != _I32:
        raise UnsupportedError("global")
    skip_constant(reader)
    return bool(mutable), reader.data[start : reader.at]


def skip_constant(reader: Reader) -> None:
    """Read a constant expression."""
    while (opcode := reader.byte()) != _END:
        if opcode not in _OPERANDS:
            raise UnsupportedError("constant expression")
        for _ in range(_OPERANDS[opcode]):
            reader.number()


def imports_of(module: bytes) -> list[tuple[int, bytes]]:
    """Kind and bytes of each import."""
    content = content_of(module, section.IMPORT)
    reader = Reader(content)
    found = []
    for _ in range(reader.number()):
        start = reader.at
        reader.name()
        reader.name()
        kind, _limits = section.described(reader)
        found.append((kind, content[start : reader.at]))
    return found


def without_tables(module: bytes) -> bytes:
    """Its imports section without tables."""
    kept = [text for kind, text in imports_of(module) if kind != section.A_TABLE]
    return binary.number(len(kept)) + b"".join(kept)


def without_sections(module: bytes, kinds: Collection[int]) -> bytes:
    """It, without its sections of these kinds."""
    return module[:8] + b"".join(
        binary.section(kind, content) for kind, content in Reader(module, 8).sections() if kind not in kinds
    )
