"""What is done to a core module's code: growth that is refused ends the guest, and long operations can be interrupted.

Wasmtime tells a guest that its memory cannot grow, and nobody else: the guest then fails in its own way,
mostly by a trap like any other. So `memory.grow` is replaced with a call of a function of a known name, which traps
when growing is refused: reaching the limit ends the guest at once, whatever language it is written in. A growth
beyond the module's own declared maximum fails as it always did. Bulk operations become calls too (see `bulk`).

Only functions that may contain such instructions are decoded, so CPython's 18 MB take a fraction of a second.
"""

import re
from collections.abc import Iterator

from aerofn.runtime import binary, bulk, section
from aerofn.runtime.binary import Reader, UnsupportedError
from aerofn.runtime.bulk import Operation
from aerofn.runtime.instructions import uncommon

LIMIT_FUNCTION = b"aerofn-memory-limit"
_MEMORY_GROW = 0x40
_GROWTH = rb"\x40\x80*\x00"  # of memory 0, however long its index is written
_ONE_MEMORY = re.compile(b"|".join((_GROWTH, bulk.CANDIDATES)))
_MORE_MEMORIES = re.compile(bulk.CANDIDATES)

_I32_TO_I32 = b"\x60\x01\x7f\x01\x7f"


class Module:
    """A core module as far as it concerns memory.

    Attributes:
        wasm: the module, rewritten if its code has what is replaced.
        grows: its code can grow a memory, or may: in one that sees several, growing is limited, but not looked for.
        pages: the first size of each memory of its own.
    """

    def __init__(self, wasm: bytes) -> None:
        self.pages: list[int] = []
        self._memories = 0  # that it sees: imported ones, too
        self._maximum: int | None = None
        self._functions = 0
        self._types = 0
        self._long_data = False
        self._sections = list(Reader(wasm, 8).sections())
        self.wasm = wasm
        self._read()
        code = self._code()
        self._replaced = [self._points(code, *span) for span in section.bodies(code)] if code else []
        found = dict.fromkeys(what for points in self._replaced for _, _, what in points)
        self.grows = self._memories > 1 or None in found
        if found:
            self._added = {what: self._functions + at for at, what in enumerate(found)}
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
            elif kind == section.DATA:
                self._long_data = len(content) > bulk.SMALL

    def _read_imports(self, content: bytes) -> None:
        for kind, limits in section.imports(content):
            if kind == section.A_FUNCTION:
                self._functions += 1
            elif limits is not None:
                self._memories += 1
                self._maximum = limits[1]

    def _read_memories(self, reader: Reader) -> None:
        for _ in range(reader.number()):
            pages, self._maximum = section.limits(reader)
            self._memories += 1
            self.pages.append(pages)

    def _code(self) -> bytes:
        found = [content for kind, content in self._sections if kind == section.CODE]
        if len(found) > 1:
            raise UnsupportedError("two sections of code")
        return found[0] if found else b""

    # --- what is replaced ---

    def _points(self, content: bytes, start: int, end: int) -> list[tuple[int, int, Operation | None]]:
        """Start and end, within a body, of what is replaced in it, and what it is: None for growing memory."""
        candidates = _MORE_MEMORIES if self._memories > 1 else _ONE_MEMORY
        return list(self._decoded(content, start, end)) if candidates.search(content, start, end) else []

    def _decoded(self, content: bytes, start: int, end: int) -> Iterator[tuple[int, int, Operation | None]]:
        for opcode, at, after, constant in uncommon(content, start, end):
            if opcode == _MEMORY_GROW and self._memories <= 1:
                yield at - start, after - start, None
            elif opcode == bulk.MORE:
                found = bulk.operation(content, at, constant, segments=self._long_data)
                if found is not None:
                    yield at - start, after - start, found

    def _rewritten(self) -> list[bytes]:
        types = {_type_of(what): 0 for what in self._added}
        types = {type_: self._types + at for at, type_ in enumerate(types)}
        parts = []
        for kind, content in self._sections:
            changed = content
            if kind == section.TYPE:
                changed = binary.appended(content, *types)
            elif kind == section.FUNCTION:
                indices = (types[_type_of(what)] for what in self._added)
                changed = binary.appended(content, *map(binary.number, indices))
            elif kind == section.CODE:
                changed = binary.appended(self._with_calls(content), *map(self._function, self._added))
            parts.append(binary.section(kind, changed))
        parts.append(binary.section(0, binary.name(b"name") + binary.section(1, self._names())))
        return parts

    def _names(self) -> bytes:
        names = [binary.number(index) + binary.name(_name_of(what)) for what, index in self._added.items()]
        return binary.number(len(names)) + b"".join(names)

    def _with_calls(self, content: bytes) -> bytes:
        spans = section.bodies(content)
        parts = [binary.number(len(spans))]
        for (start, end), points in zip(spans, self._replaced, strict=True):
            parts.append(binary.name(self._body(content[start:end], points)))
        return b"".join(parts)

    def _body(self, body: bytes, points: list[tuple[int, int, Operation | None]]) -> bytes:
        parts, kept = [], 0
        for start, end, what in points:
            parts += [body[kept:start], b"\x10", binary.number(self._added[what])]
            kept = end
        return b"".join((*parts, body[kept:]))

    def _function(self, what: Operation | None) -> bytes:
        return self._limit_function() if what is None else bulk.function(what)

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


def _type_of(what: Operation | None) -> bytes:
    return _I32_TO_I32 if what is None else bulk.TYPE


def _name_of(what: Operation | None) -> bytes:
    return LIMIT_FUNCTION if what is None else what.name


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
