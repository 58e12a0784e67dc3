"""What the sections of a core module hold, as far as AeroFn reads and rewrites them."""

from collections.abc import Iterator, Mapping

from aerofn.runtime import binary
from aerofn.runtime.binary import Reader, UnsupportedError

TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT = range(1, 8)
START, ELEMENT, CODE, DATA, DATA_COUNT = range(8, 13)
A_FUNCTION, A_TABLE, A_MEMORY, A_GLOBAL, A_TAG = range(5)  # kinds of imports and exports
Limits = tuple[int, int | None]


def value_type(reader: Reader) -> int:
    """Read one; its first byte."""
    kind = reader.byte()
    if kind in (0x63, 0x64):
        reader.number()
    return kind


def limits(reader: Reader) -> Limits:
    """The first size of a memory or table, and the largest it may have."""
    flags = reader.number()
    if flags > 1:
        raise UnsupportedError("shared or 64-bit memory")
    return reader.number(), reader.number() if flags else None


def imports(content: bytes) -> Iterator[tuple[int, Limits | None]]:
    """The kind of each import, and a memory's limits."""
    reader = Reader(content)
    for _ in range(reader.number()):
        reader.name()
        reader.name()
        yield described(reader)


def described(reader: Reader) -> tuple[int, Limits | None]:
    """Read what an import is: its kind, and a memory's limits."""
    kind = reader.byte()
    size = None
    if kind == A_FUNCTION:
        reader.number()
    elif kind == A_TABLE:
        value_type(reader)
        limits(reader)
    elif kind == A_MEMORY:
        size = limits(reader)
    elif kind == A_GLOBAL:
        value_type(reader)
        reader.byte()
    elif kind == A_TAG:
        reader.byte()
        reader.number()
    else:
        raise UnsupportedError("import")
    return kind, size


def exports(content: bytes) -> dict[bytes, tuple[int, int]]:
    """Kind and index of each export, by its name."""
    reader = Reader(content)
    return {reader.name(): (reader.byte(), reader.number()) for _ in range(reader.number())}


def exported(found: Mapping[bytes, tuple[int, int]]) -> bytes:
    """A section of such exports."""
    parts = [
        binary.name(name) + bytes((kind,)) + binary.number(index) for name, (kind, index) in found.items()
    ]
    return binary.number(len(parts)) + b"".join(parts)


def bodies(content: bytes) -> list[tuple[int, int]]:
    """Start and end of each function's body (locals and code)."""
    reader = Reader(content)
    spans = []
    for _ in range(reader.number()):
        size = reader.number()
        spans.append((reader.at, reader.at + size))
        reader.at += size
        if reader.at > reader.end:
            raise UnsupportedError("a body beyond its section")
    return spans
