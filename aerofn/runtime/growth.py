"""Making memory limits visible: a core module's `memory.grow` is replaced with a call that traps when it is refused.

Wasmtime tells a guest that its memory cannot grow, and nobody else: the guest then fails in its own way,
mostly by a trap like any other. With this, reaching the limit ends the guest at once with a trap inside a
function of a known name, whatever language it is written in. A growth beyond the module's own declared
maximum fails as it always did.

Only functions that may contain `memory.grow` are decoded, so CPython's 18 MB take a fraction of a second.
"""

from aerofn.runtime import binary, section
from aerofn.runtime.binary import Reader, UnsupportedError
from aerofn.runtime.instructions import instructions

LIMIT_FUNCTION = b"aerofn-memory-limit"
_MEMORY_GROW = b"\x40\x00"

_I32_TO_I32 = b"\x60\x01\x7f\x01\x7f"


class Module:
    """A core module as far as it concerns memory.

    Attributes:
        wasm: the module, rewritten if it grows its memory.
        grows: its code can grow a memory.
        pages: the first size of each memory of its own.
    """

    def __init__(self, wasm: bytes) -> None:
        self.pages: list[int] = []
        self.grows = False
        self._maximum: int | None = None
        self._functions = 0
        self._types = 0
        self._sections = list(Reader(wasm, 8).sections())
        self.wasm = wasm
        self._read()
        if len(self.pages) > 1:
            self.grows = True  # perhaps: growing a second memory is limited, but not told apart
        elif self.grows:
            self.wasm = wasm[:8] + b"".join(self._rewritten())

    def _read(self) -> None:
        for kind, content in self._sections:
            if kind == section.TYPE:
                self._types = _count_types(content)
            elif kind == section.IMPORT:
                self._read_imports(content)
            elif kind == section.FUNCTION:
                self._functions += Reader(content).number()
            elif kind == section.MEMORY:
                self._read_memories(Reader(content))
            elif kind == section.CODE:
                self.grows = any(_growth_points(content, *span) for span in section.bodies(content))

    def _read_imports(self, content: bytes) -> None:
        for kind, limits in section.imports(content):
            if kind == section.A_FUNCTION:
                self._functions += 1
            elif limits is not None:
                self._maximum = limits[1]

    def _read_memories(self, reader: Reader) -> None:
        for _ in range(reader.number()):
            pages, self._maximum = section.limits(reader)
            self.pages.append(pages)

    def _rewritten(self) -> list[bytes]:
        index = self._functions
        call = b"\x10" + binary.number(index)
        parts = []
        for kind, content in self._sections:
            changed = content
            if kind == section.TYPE:
                changed = binary.appended(content, _I32_TO_I32)
            elif kind == section.FUNCTION:
                changed = binary.appended(content, binary.number(self._types))
            elif kind == section.CODE:
                changed = binary.appended(_with_calls(content, call), self._limit_function())
            parts.append(binary.section(kind, changed))
        entry = b"\x01" + binary.number(index) + binary.name(LIMIT_FUNCTION)
        parts.append(binary.section(0, binary.name(b"name") + binary.section(1, entry)))
        return parts

    def _limit_function(self) -> bytes:
        """(delta) -> the old size, -1 beyond the module's own maximum, a trap beyond the limit."""
        code = b"\x00"  # no locals
        if self._maximum is not None:
            # if (i64(memory.size) + i64(delta) > maximum) return -1
            code += (
                b"\x3f\x00\xad\x20\x00\xad\x7c\x42"
                + binary.signed(self._maximum)
                + b"\x56\x04\x40\x41\x7f\x0f\x0b"
            )
        # r = memory.grow(delta); if (r == -1) unreachable; return r
        code += b"\x20\x00\x40\x00\x22\x00\x41\x7f\x46\x04\x40\x00\x0b\x20\x00\x0b"
        return binary.name(code)


def _count_types(content: bytes) -> int:
    reader = Reader(content)
    count = reader.number()
    for _ in range(count):
        if reader.byte() != 0x60:
            raise UnsupportedError("type")
        for _ in range(2):
            for _ in range(reader.number()):
                section.value_type(reader)
    return count


def _with_calls(content: bytes, call: bytes) -> bytes:
    spans = section.bodies(content)
    parts = [binary.number(len(spans))]
    for start, end in spans:
        body = content[start:end]
        for at in reversed(_growth_points(content, start, end)):
            body = body[: at - start] + call + body[at - start + 2 :]
        parts.append(binary.name(body))
    return b"".join(parts)


def _growth_points(content: bytes, start: int, end: int) -> list[int]:
    """Where `memory.grow 0` stands in a body."""
    if content.find(_MEMORY_GROW, start, end) < 0:
        return []
    return [
        at
        for opcode, at, after in instructions(content, start, end)
        if opcode == _MEMORY_GROW[0] and content[at:after] == _MEMORY_GROW
    ]
