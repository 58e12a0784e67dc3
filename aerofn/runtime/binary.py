"""Reading and writing WebAssembly's binary format: numbers, vectors and sections, no meaning."""

from collections.abc import Iterator


class UnsupportedError(Exception):
    """The binary uses something that this reader does not know; wasmtime decides whether it is valid."""


class Reader:
    """A position in bytes. Reading past the end or an oversized number raises UnsupportedError."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end
        if self.end > len(data):
            raise UnsupportedError("unexpected end")

    def byte(self) -> int:
        """One byte."""
        if self.at >= self.end:
            raise UnsupportedError("unexpected end")
        value = self.data[self.at]
        self.at += 1
        return value

    def peek(self) -> int:
        """The next byte, which is read again."""
        if self.at >= self.end:
            raise UnsupportedError("unexpected end")
        return self.data[self.at]

    def number(self) -> int:
        """An unsigned LEB128 of at most 64 bits. (A signed one is as long: skip it with this.)"""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise UnsupportedError("oversized number")

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start, self.at = self.at, self.at + size
        if self.at > self.end:
            raise UnsupportedError("unexpected end")
        return self.data[start : self.at]

    def name(self) -> bytes:
        """A length and that many bytes."""
        return self.take(self.number())

    def sections(self) -> Iterator[tuple[int, bytes]]:
        """All (id, content) up to the end."""
        while self.at < self.end:
            yield self.byte(), self.name()


def number(value: int) -> bytes:
    """An unsigned LEB128."""
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        if not value:
            out.append(byte)
            return bytes(out)
        out.append(byte | 0x80)


def signed(value: int) -> bytes:
    """A signed LEB128."""
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        if value == (-1 if byte & 0x40 else 0):
            out.append(byte)
            return bytes(out)
        out.append(byte | 0x80)


def name(text: bytes) -> bytes:
    """A length and the bytes."""
    return number(len(text)) + text


def section(kind: int, content: bytes) -> bytes:
    """A whole section."""
    return bytes((kind,)) + name(content)


def appended(content: bytes, *items: bytes) -> bytes:
    """A vector's bytes with more items at its end."""
    reader = Reader(content)
    count = reader.number()
    return number(count + len(items)) + content[reader.at :] + b"".join(items)
