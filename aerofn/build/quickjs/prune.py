"""Takes the functions that a core module imports and never refers to out of it.

Each import costs at every instantiation. The bindings of a world import all that the runtime offers, 66 functions,
of which those of ours call 18.
"""

from collections.abc import Callable

from aerofn.build.quickjs import module
from aerofn.runtime import binary, section
from aerofn.runtime.binary import Reader, UnsupportedError
from aerofn.runtime.instructions import instructions

_CALL, _RETURN_CALL, _REF_FUNC = 0x10, 0x12, 0xD2
_NAMES_FUNCTION = (_CALL, _RETURN_CALL, _REF_FUNC)
_CUSTOM = 0
Rename = Callable[[int], int]  # from a function's index to its new one


def pruned(core: bytes) -> bytes:
    """The module with the imported functions that it refers to, and all else."""
    used: set[int] = set()

    def note(index: int) -> int:
        used.add(index)
        return index

    module.rewritten(core, lambda kind, content: _renamed(kind, content, note))
    imports = module.imports_of(core)
    kept = [i for i, (kind, _) in enumerate(imports) if kind != section.A_FUNCTION]
    functions = [i for i, (kind, _) in enumerate(imports) if kind == section.A_FUNCTION]
    wanted = [number for number in range(len(functions)) if number in used]
    places = {number: place for place, number in enumerate(wanted)}
    left = sorted(kept + [functions[number] for number in wanted])
    head = binary.number(len(left)) + b"".join(imports[i][1] for i in left)

    def rename(index: int) -> int:
        return places[index] if index < len(functions) else index - len(functions) + len(wanted)

    def change(kind: int, content: bytes) -> bytes:
        return head if kind == section.IMPORT else _renamed(kind, content, rename)

    return module.without_sections(module.rewritten(core, change), (_CUSTOM,))  # names would be others'


def _renamed(kind: int, content: bytes, rename: Rename) -> bytes:
    """A section with other indices of functions."""
    if kind == section.START:
        raise UnsupportedError("start")
    if kind == section.EXPORT:
        return _exports(content, rename)
    if kind == section.ELEMENT:
        return _elements(content, rename)
    return _code(content, rename) if kind == section.CODE else content


def _exports(content: bytes, rename: Rename) -> bytes:
    found = section.exports(content)
    parts = [
        binary.name(name)
        + bytes((kind,))
        + binary.number(rename(index) if kind == section.A_FUNCTION else index)
        for name, (kind, index) in found.items()
    ]
    return binary.number(len(parts)) + b"".join(parts)


def _elements(content: bytes, rename: Rename) -> bytes:
    reader = Reader(content)
    parts = [binary.number(reader.number())]
    while reader.at < reader.end:
        start = reader.at
        flags = reader.number()
        if flags not in (0, 2):
            raise UnsupportedError("elements")
        if flags == 2:  # the table's index, and what the elements are behind the offset
            reader.number()
        module.skip_constant(reader)
        reader.take(flags // 2)
        parts.append(content[start : reader.at])
        functions = [rename(reader.number()) for _ in range(reader.number())]
        parts += [binary.number(len(functions)), *map(binary.number, functions)]
    return b"".join(parts)


def _code(content: bytes, rename: Rename) -> bytes:
    spans = section.bodies(content)
    return binary.number(len(spans)) + b"".join(
        binary.name(_body(content, start, end, rename)) for start, end in spans
    )


def _body(content: bytes, start: int, end: int, rename: Rename) -> bytes:
    parts, done = [], start
    for opcode, at, after in instructions(content, start, end):
        if opcode in _NAMES_FUNCTION:
            parts += [content[done : at + 1], binary.number(rename(Reader(content, at + 1).number()))]
            done = after
    return b"".join(parts) + content[done:end]
