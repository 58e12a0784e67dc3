"""The instructions of a function's body: where each begins and ends, without its meaning."""

import re
from collections.abc import Iterator

from aerofn.runtime import section
from aerofn.runtime.binary import Reader, UnsupportedError

# Immediates by opcode: n number, m memory argument, 1/4/8/16 so many bytes; opcodes not listed have none.
_PLAIN: dict[int, str] = {
    **dict.fromkeys((0x07, 0x08, 0x09, 0x0C, 0x0D, 0x10, 0x12, 0x14, 0x15, 0x18), "n"),
    **dict.fromkeys((0x11, 0x13), "nn"),
    **dict.fromkeys(range(0x20, 0x27), "n"),
    **dict.fromkeys(range(0x28, 0x3F), "m"),
    **dict.fromkeys((0x3F, 0x40, 0x41, 0x42, 0xD0, 0xD2, 0xD5, 0xD6), "n"),
    0x43: "4",
    0x44: "8",
}
_BLOCKS = (0x02, 0x03, 0x04, 0x06)
_FC = {8: "nn", 9: "n", 10: "nn", 11: "n", 12: "nn", 13: "n", 14: "nn", 15: "n", 16: "n", 17: "n", 18: "n"}
_FD = {
    **dict.fromkeys(range(12), "m"),
    **dict.fromkeys((12, 13), "x"),
    **dict.fromkeys(range(21, 35), "1"),
    **dict.fromkeys(range(84, 92), "m1"),
    **dict.fromkeys((92, 93), "m"),
}
_SIZES = {"1": 1, "4": 4, "8": 8, "x": 16}

# Most of any code, many instructions at once; the others are looked at one by one. What is valid fits in one way only,
# so nothing is tried twice.
_NUMBER = rb"[\x80-\xff]*[\x00-\x7f]"
_PLAIN_RUN = re.compile(
    rb"(?:[\x00\x01\x05\x0b\x0f\x1a\x1b\x45-\xc4]|[\x0c\x0d\x10\x20-\x26\x3f\x42]N|[\x28-\x3e][\x00-\x3f]N|(\x41N)"
    rb"|[\x02-\x04][\x00-\x40\x7b-\x7f]|\x11NN|\x43.{4}|\x44.{8}){0,9999}".replace(b"N", _NUMBER),
    re.DOTALL,
)


def instructions(content: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Opcode, start and end of each in a body (its locals and its code)."""
    reader = _after_locals(content, start, end)
    while reader.at < end:
        at = reader.at
        opcode = reader.byte()
        _skip_immediates(reader, opcode)
        yield opcode, at, reader.at


def uncommon(content: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int | None]]:
    """Opcode, start and end of those in a body that are less common, among them `memory.grow` and all of 0xFC.

    The last number is where an `i32.const` stands that comes immediately before.
    """
    reader = _after_locals(content, start, end)
    while reader.at < end:
        run = _PLAIN_RUN.match(content, reader.at, end)
        assert run is not None
        reader.at = at = run.end()
        if at < end:
            opcode = reader.byte()
            _skip_immediates(reader, opcode)
            yield opcode, at, reader.at, run.start(1) if run.end(1) == at else None


def _after_locals(content: bytes, start: int, end: int) -> Reader:
    reader = Reader(content, start, end)
    for _ in range(reader.number()):
        reader.number()
        section.value_type(reader)
    return reader


def _skip_immediates(reader: Reader, opcode: int) -> None:
    if opcode in _BLOCKS:
        _skip_block_type(reader)
    elif opcode == 0x1F:  # try_table
        _skip_block_type(reader)
        for _ in range(reader.number()):
            _skip(reader, "nn" if reader.byte() < 2 else "n")  # a tag, if it is of one, and a label
    elif opcode == 0x0E:  # br_table
        for _ in range(reader.number() + 1):
            reader.number()
    elif opcode == 0x1C:  # select with types
        for _ in range(reader.number()):
            section.value_type(reader)
    elif opcode in (0xFC, 0xFD):
        _skip(reader, (_FC if opcode == 0xFC else _FD).get(reader.number(), ""))
    elif opcode in (0xFB, 0xFE):
        raise UnsupportedError("garbage collection or threads")
    else:
        _skip(reader, _PLAIN.get(opcode, ""))


def _skip_block_type(reader: Reader) -> None:
    section.value_type(reader) if reader.peek() in (0x63, 0x64) else reader.number()


def _skip(reader: Reader, kinds: str) -> None:
    for kind in kinds:
        if kind == "n":
            reader.number()
        elif kind == "m":
            if reader.number() & 0x40:
                reader.number()
            reader.number()
        else:
            reader.take(_SIZES[kind])
