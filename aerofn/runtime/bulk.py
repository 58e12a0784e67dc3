"""Bulk operations on memory in pieces, for wasmtime interrupts nothing but loops and calls.

`memory.fill` of 128 MB takes tens of milliseconds, and of 4 GB seconds, in which neither a slice nor a time limit ends.
So each `memory.fill`, `memory.copy` and `memory.init` that may be that long becomes a call of a function which does the
same a piece at a time. What is out of bounds traps as it always did, before anything is written.
"""

from typing import NamedTuple

from aerofn.runtime import binary
from aerofn.runtime.binary import Reader

PIECE = 1 << 20  # bytes that are done at once: a tenth of a millisecond
# Constant sizes up to this stay as they are, for a call has its price; larger ones, one after another without a loop,
# would be as bad as one that is long.
SMALL = 4096
MORE = 0xFC  # the first byte of all three
# the opcodes as they may be written: a number's last byte may be followed by empty ones
CANDIDATES = rb"\xfc(?:[\x08\x0a\x0b]|[\x88\x8a\x8b]\x80*\x00)"
TYPE = b"\x60\x03\x7f\x7f\x7f\x00"  # (to, value or from, size)

_INIT, _COPY, _FILL = 8, 10, 11
_NAMES = {_INIT: b"memory.init", _COPY: b"memory.copy", _FILL: b"memory.fill"}
_I32_CONST = 0x41
_TO, _FROM, _SIZE = (b"\x20" + bytes((local,)) for local in range(3))
_ADD, _SUB, _AND, _I64_ADD, _AT_MOST = b"\x6a", b"\x6b", b"\x71", b"\x7c", b"\x58"
_I64, _IF, _ELSE, _LOOP, _END, _REPEAT_IF = b"\xad", b"\x04\x40", b"\x05", b"\x03\x40", b"\x0b", b"\x0d\x00"


class Operation(NamedTuple):
    """One of the three, and what it works on: a memory, two memories, or a segment and a memory."""

    kind: int
    operands: tuple[int, ...]

    @property
    def name(self) -> bytes:
        """What it is called in a guest's stack."""
        return _NAMES[self.kind]

    @property
    def code(self) -> bytes:
        """The instruction."""
        return bytes((MORE, self.kind)) + b"".join(map(binary.number, self.operands))


def operation(content: bytes, at: int, constant: int | None, *, segments: bool) -> Operation | None:
    """The operation at `at`, if it may be long.

    Args:
        constant: where an `i32.const` stands that comes immediately before it.
        segments: the module's data is long enough for `memory.init` to be.
    """
    reader = Reader(content, at + 1)
    kind = reader.number()
    if kind not in _NAMES or (kind == _INIT and not segments):
        return None
    if constant is not None and _is_small(content, constant, at):
        return None
    return Operation(kind, tuple(reader.number() for _ in range(1 if kind == _FILL else 2)))


def _is_small(content: bytes, at: int, end: int) -> bool:
    """Whether a constant size is small. (If the last byte of a number has 0x40 in it, it is below 0.)"""
    return not content[end - 1] & 0x40 and Reader(content, at + 1).number() <= SMALL


def function(done: Operation) -> bytes:
    """The body of the function that is called for an operation, its locals first."""
    pieces = {_FILL: _forwards, _INIT: _forwards, _COPY: _either_way}[done.kind](done)
    body = _longer() + _IF + _in_bounds(done) + _IF + pieces + _END + _END  # else the instruction traps
    return binary.name(b"\x00" + body + _TO + _FROM + _SIZE + done.code + _END)


def _piece() -> bytes:
    return bytes((_I32_CONST,)) + binary.signed(PIECE)


def _longer() -> bytes:
    return _SIZE + _piece() + b"\x4b"  # size > PIECE


def _set(local: bytes, by: bytes) -> bytes:
    """local += PIECE, or -="""
    return local + _piece() + by + b"\x21" + local[1:]


def _forwards(done: Operation) -> bytes:
    more = b"" if done.kind == _FILL else _set(_FROM, _ADD)
    step = _TO + _FROM + _piece() + done.code + _set(_TO, _ADD) + more + _set(_SIZE, _SUB)
    return _LOOP + step + _longer() + _REPEAT_IF + _END


def _either_way(done: Operation) -> bytes:
    """From the end where `to` is the higher one: what is still to be read is then below what is written."""
    last = _set(_SIZE, _SUB) + _TO + _SIZE + _ADD + _FROM + _SIZE + _ADD + _piece() + done.code
    backwards = _LOOP + last + _longer() + _REPEAT_IF + _END
    return _TO + _FROM + b"\x4d" + _IF + _forwards(done) + _ELSE + backwards + _END  # to <= from


def _in_bounds(done: Operation) -> bytes:
    if done.kind == _FILL:
        return _fits(_TO, done.operands[0])
    if done.kind == _COPY:
        return _fits(_TO, done.operands[0]) + _fits(_FROM, done.operands[1]) + _AND
    # nobody tells a segment's size, but 0 bytes from behind its end on trap
    end = _FROM + _I64 + _SIZE + _I64 + _I64_ADD + b"\x42" + binary.signed((1 << 32) - 1) + _AT_MOST
    try_end = b"\x41\x00" + _FROM + _SIZE + _ADD + b"\x41\x00" + done.code
    return end + _IF + try_end + _END + end + _fits(_TO, done.operands[1]) + _AND


def _fits(start: bytes, memory: int) -> bytes:
    """Whether `size` bytes from `start` on are in the memory."""
    size = b"\x3f" + binary.number(memory) + _I64 + b"\x42\x10\x86"  # pages << 16
    return start + _I64 + _SIZE + _I64 + _I64_ADD + size + _AT_MOST
