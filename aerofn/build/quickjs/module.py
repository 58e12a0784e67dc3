"""Reading and rewriting the state of a core module: its data, its globals, the size of its memory."""

from collections.abc import Callable, Iterable

from aerofn.runtime import binary, section
from aerofn.runtime.binary import Reader, UnsupportedError

_I32 = 0x7F
_I32_CONST, _END = 0x41, 0x0B
_OPERANDS = {_I32_CONST: 1, 0x23: 1, 0x6A: 0}  # i32.const, global.get, i32.add
Segments = list[tuple[int, bytes]]


def rewritten(wasm: bytes, change: Callable[[int, bytes], bytes]) -> bytes:
    """A module or component with `change(kind, content)` in the place of each section's content."""
    sections = Reader(wasm, 8).sections()
    return wasm[:8] + b"".join(binary.section(kind, change(kind, content)) for kind, content in sections)


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
    while (opcode := reader.byte()) != _END:
        if opcode not in _OPERANDS:
            raise UnsupportedError("constant expression")
        for _ in range(_OPERANDS[opcode]):
            reader.number()
    return bool(mutable), reader.data[start : reader.at]
