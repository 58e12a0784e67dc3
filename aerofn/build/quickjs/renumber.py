"""A core module's sections with other indices of functions and globals, and with numbers for globals that are known."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aerofn.build.quickjs import module
from aerofn.runtime import binary, section
from aerofn.runtime.binary import Reader, UnsupportedError
from aerofn.runtime.instructions import instructions

_CALL, _RETURN_CALL, _REF_FUNC = 0x10, 0x12, 0xD2
_GLOBAL_GET, _GLOBAL_SET = 0x23, 0x24
_NAMES_FUNCTION = (_CALL, _RETURN_CALL, _REF_FUNC)
_INDIRECT = (0x11, 0x13)
_BLOCKS = (0x02, 0x03, 0x04)
_NAMES_TABLE = (0x25, 0x26)
_MORE, _SEGMENTS_AND_TABLES = 0xFC, (8, 9, *range(12, 18))
_I32_CONST, _I32_ADD, _END = 0x41, 0x6A, 0x0B


class Same(dict[int, int]):
    """Indices that stay what they are, but for those in it."""

    def __missing__(self, index: int) -> int:
        return index


@dataclass(frozen=True)
class Indices:
    """What becomes of indices.

    Attributes:
        functions: from each to its new one.
        globals: likewise.
        numbers: the values of globals that are none any more.
        tables: from each to its new one.
        types: how many stand before the first.
    """

    functions: Mapping[int, int] = field(default_factory=Same)
    globals: Mapping[int, int] = field(default_factory=Same)
    numbers: Mapping[int, int] = field(default_factory=dict)
    tables: Mapping[int, int] = field(default_factory=Same)
    types: int = 0


def renumbered(kind: int, content: bytes, to: Indices) -> bytes:
    """A section with other indices; not its imports, and not its globals."""
    change = {
        section.FUNCTION: _declared,
        section.START: _start,
        section.EXPORT: _exports,
        section.ELEMENT: _elements,
        section.CODE: _code,
        section.DATA: _data,
    }.get(kind)
    return content if change is None else change(content, to)


def number_of(reader: Reader, numbers: Mapping[int, int]) -> int:
    """The value of a constant expression of i32, where the globals in it are known."""
    values = []
    while (opcode := reader.byte()) != _END:
        operand = 0 if opcode == _I32_ADD else reader.number()
        if opcode == _I32_CONST and not reader.data[reader.at - 1] & 0x40:  # else it is below 0
            values.append(operand)
        elif opcode == _GLOBAL_GET and operand in numbers:
            values.append(numbers[operand])
        elif opcode != _I32_ADD:
            raise UnsupportedError("constant expression")
    return sum(values)


def constant(value: int) -> bytes:
    """The instruction that gives a number."""
    return bytes((_I32_CONST,)) + binary.signed(value)


def _offset(reader: Reader, to: Indices) -> bytes:
    """Where a segment begins: a number if anything is known, else as it is."""
    if to.numbers:
        return constant(number_of(reader, to.numbers)) + bytes((_END,))
    start = reader.at
    module.skip_constant(reader)
    return reader.data[start : reader.at]


def _declared(content: bytes, to: Indices) -> bytes:
    if not to.types:
        return content
    reader = Reader(content)
    count = reader.number()
    return binary.number(count) + b"".join(binary.number(reader.number() + to.types) for _ in range(count))


def _start(content: bytes, to: Indices) -> bytes:
    return binary.number(to.functions[Reader(content).number()])


def _exports(content: bytes, to: Indices) -> bytes:
    sorts = {section.A_FUNCTION: to.functions, section.A_TABLE: to.tables, section.A_GLOBAL: to.globals}
    return section.exported({
        name: (kind, sorts[kind][index] if kind in sorts else index)
        for name, (kind, index) in section.exports(content).items()
    })  # fmt: skip


def _elements(content: bytes, to: Indices) -> bytes:
    reader = Reader(content)
    parts = [binary.number(reader.number())]
    while reader.at < reader.end:
        flags = reader.number()
        if flags not in (0, 2):
            raise UnsupportedError("elements")
        table = to.tables[reader.number() if flags else 0]
        offset = _offset(reader, to)
        if flags and reader.byte():
            raise UnsupportedError("elements")
        functions = [to.functions[reader.number()] for _ in range(reader.number())]
        # the first table has a form of its own, without a number and without what the elements are
        parts.append(b"\x02" + binary.number(table) + offset + b"\x00" if table else b"\x00" + offset)
        parts += [binary.number(len(functions)), *map(binary.number, functions)]
    return b"".join(parts)


def _data(content: bytes, to: Indices) -> bytes:
    reader = Reader(content)
    count = reader.number()
    parts = [binary.number(count)]
    for _ in range(count):
        flags = reader.number()
        if flags > 1:  # 1: it goes nowhere by itself
            raise UnsupportedError("data segment")
        parts.append(
            binary.number(flags) + (b"" if flags else _offset(reader, to)) + binary.name(reader.name())
        )
    return b"".join(parts)


def _code(content: bytes, to: Indices) -> bytes:
    spans = section.bodies(content)
    return binary.number(len(spans)) + b"".join(
        binary.name(_body(content, start, end, to)) for start, end in spans
    )


def _body(content: bytes, start: int, end: int, to: Indices) -> bytes:
    parts, done = [], start
    for opcode, at, after in instructions(content, start, end):
        new = _instruction(opcode, Reader(content, at + 1, after), to)
        if new is not None:
            parts += [content[done:at], new]
            done = after
    return b"".join(parts) + content[done:end]


def _instruction(opcode: int, reader: Reader, to: Indices) -> bytes | None:
    """An instruction that may be another one, as it is to be."""
    head = bytes((opcode,))
    if opcode in _NAMES_FUNCTION:
        return head + binary.number(to.functions[reader.number()])
    if opcode in (_GLOBAL_GET, _GLOBAL_SET):
        return _global(opcode, reader.number(), to)
    if opcode in _INDIRECT:
        kind = reader.number() + to.types
        return head + binary.number(kind) + binary.number(to.tables[reader.number()])
    if opcode in _BLOCKS and to.types and _is_index(reader.data[reader.at]):
        return head + binary.signed(reader.number() + to.types)
    others = opcode in _NAMES_TABLE or (opcode == _MORE and reader.number() in _SEGMENTS_AND_TABLES)
    if others and not isinstance(to.tables, Same):
        raise UnsupportedError("a table that is read or written, or a segment")
    return None


def _is_index(first: int) -> bool:
    """Whether a block's type, by its first byte, is the index of a function's: all others are negative, in one byte."""
    return first & 0xC0 != 0x40


def _global(opcode: int, index: int, to: Indices) -> bytes:
    if index not in to.numbers:
        return bytes((opcode,)) + binary.number(to.globals[index])
    if opcode == _GLOBAL_SET:
        raise UnsupportedError("a known global that changes")
    return constant(to.numbers[index])
