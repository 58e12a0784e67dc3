"""Takes imports that are known out of a core module: globals become numbers, functions become its own.

Each import costs twice at every instantiation: its type is compared, and it is linked. And a module that was made to be
put anywhere in memory reads its place there, another module's global, before nearly every access to its data.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aerofn.build.quickjs import module
from aerofn.build.quickjs.renumber import Indices, number_of, renumbered
from aerofn.runtime import binary, section
from aerofn.runtime.binary import Reader, UnsupportedError

Key = tuple[bytes, bytes]  # of an import: module and name
_I32 = 0x7F


@dataclass(frozen=True)
class Import:
    """One of a core module.

    Attributes:
        key: how it is called.
        kind: of what it is.
        text: its bytes.
        type: of a function, its type's index.
    """

    key: Key
    kind: int
    text: bytes
    type: bytes


def imports_of(core: bytes) -> list[Import]:
    """All imports of a core module."""
    found = []
    for kind, text in module.imports_of(core):
        reader = Reader(text)
        key = reader.name(), reader.name()
        found.append(Import(key, kind, text, text[reader.at + 1 :]))
    return found


def bodies_of(answers: bytes) -> dict[bytes, bytes]:
    """The bodies of a module's exported functions, by their names. It imports no function."""
    code = module.content_of(answers, section.CODE)
    spans = section.bodies(code)
    exports = section.exports(module.content_of(answers, section.EXPORT))
    return {name: code[slice(*spans[index])] for name, (_, index) in exports.items()}


def known(core: bytes, numbers: Mapping[Key, int], bodies: Mapping[bytes, bytes]) -> bytes:
    """The module without the imports that are known.

    Args:
        numbers: the values of imported globals.
        bodies: of imported functions, by their names; they call nothing.
    """
    imports = imports_of(core)
    functions = [each for each in imports if each.kind == section.A_FUNCTION]
    answered = [each for each in functions if each.key[1] in bodies]
    kept = [each for each in imports if each not in answered and each.key not in numbers]
    to = Indices(_functions(core, functions, answered), *_globals(core, imports, numbers))
    head = binary.number(len(kept)) + b"".join(each.text for each in kept)

    def change(kind: int, content: bytes) -> bytes:
        if kind == section.IMPORT:
            return head
        changed = renumbered(kind, content, to)
        for each in answered:
            if kind == section.FUNCTION:
                changed = binary.appended(changed, each.type)
            elif kind == section.CODE:
                changed = binary.appended(changed, binary.name(bodies[each.key[1]]))
        return changed

    return module.without_sections(module.rewritten(core, change), (section.GLOBAL,))


def _functions(core: bytes, imported: list[Import], answered: list[Import]) -> dict[int, int]:
    own = Reader(module.content_of(core, section.FUNCTION)).number()
    kept = [i for i, each in enumerate(imported) if each not in answered]
    moved = [i for i, each in enumerate(imported) if each in answered]
    order = [*kept, *range(len(imported), len(imported) + own), *moved]
    return {index: place for place, index in enumerate(order)}


def _globals(
    core: bytes, imports: list[Import], numbers: Mapping[Key, int]
) -> tuple[dict[int, int], dict[int, int]]:
    """The new indices of globals that stay, all of them imported, and the numbers of the others."""
    imported = [each for each in imports if each.kind == section.A_GLOBAL]
    places = {i: place for place, i in enumerate(i for i, e in enumerate(imported) if e.key not in numbers)}
    values = {i: numbers[each.key] for i, each in enumerate(imported) if each.key in numbers}
    reader = Reader(module.content_of(core, section.GLOBAL))
    for index in range(len(imported), len(imported) + reader.number()):
        if (reader.byte(), reader.byte()) != (_I32, 0):
            raise UnsupportedError("a global of its own that can change")
        values[index] = number_of(reader, values)
    return places, values
