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
    """

    functions: Mapping[int, int] = field(default_factory=Same)
    globals: Mapping[int, int] = field(default_factory=Same)
    numbers: Mapping[int, int] = field(default_factory=dict)


def renumbered(kind: int, content: bytes, to: Indices) -> bytes:
    """A section with other indices; not its imports, and not its globals."""
    change = {
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


def _start(content: bytes, to: Indices) -> bytes:
    return binary.number(to.functions[Reader(content).number()])


def _exports(content: bytes, to: Indices) -> bytes:
    sorts = {section.A_FUNCTION: to.functions, section.A_GLOBAL: to.globals}
    parts = [
        binary.name(name) + bytes((kind,)) + binary.number(sorts[kind][index] if kind in sorts else index)
        for name, (kind, index) in section.exports(content).items()
    ]
    return binary.number(len(parts)) + b"".join(parts)


def _elements(content: bytes, to: Indices) -> bytes:
    reader = Reader(content)
    parts = [binary.number(reader.number())]
    while reader.at < reader.end:
        start = reader.at
        flags = reader.number()
        if flags not in (0, 2):
            raise UnsupportedError("elements")
        reader.take(
            flags // 2
        )  # the table, which has a small index; and what the elements are, behind the offset
        parts.append(content[start : reader.at] + _offset(reader, to))
        parts.append(reader.take(flags // 2))
        functions = [to.functions[reader.number()] for _ in range(reader.number())]
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
        if opcode in _NAMES_FUNCTION:
            new = bytes((opcode,)) + binary.number(to.functions[Reader(content, at + 1).number()])
        elif opcode in (_GLOBAL_GET, _GLOBAL_SET):
            new = _global(opcode, Reader(content, at + 1).number(), to)
        else:
            continue
        parts += [content[done:at], new]
        done = after
    return b"".join(parts) + content[done:end]


def _global(opcode: int, index: int, to: Indices) -> bytes:
    if index not in to.numbers:
        return bytes((opcode,)) + binary.number(to.globals[index])
    if opcode == _GLOBAL_SET:
        raise UnsupportedError("a known global that changes")
    return constant(to.numbers[index])
