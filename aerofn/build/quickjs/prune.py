"""Takes the functions that a core module imports and never refers to out of it, and exports that nobody wants.

Each costs at every instantiation. The bindings of a world import all that the runtime offers, 66 functions,
of which those of ours call 18.
"""

from collections.abc import Collection

from aerofn.build.quickjs import module
from aerofn.build.quickjs.renumber import Indices, renumbered
from aerofn.runtime import binary, section

_CUSTOM = 0


class _Noted(dict[int, int]):
    """Indices that stay as they are, each of which is kept when it is asked for."""

    def __missing__(self, index: int) -> int:
        self[index] = index
        return index


def pruned(core: bytes) -> bytes:
    """The module with the imported functions that it refers to, and all else."""
    used = _Noted()
    module.rewritten(core, lambda kind, content: renumbered(kind, content, Indices(used)))
    imports = module.imports_of(core)
    kept = [i for i, (kind, _) in enumerate(imports) if kind != section.A_FUNCTION]
    functions = [i for i, (kind, _) in enumerate(imports) if kind == section.A_FUNCTION]
    wanted = [number for number in range(len(functions)) if number in used]
    own = (index for index in used if index >= len(functions))
    places = {number: place for place, number in enumerate(wanted)}
    places |= {index: index - len(functions) + len(wanted) for index in own}
    left = sorted(kept + [functions[number] for number in wanted])
    head = binary.number(len(left)) + b"".join(imports[i][1] for i in left)

    def change(kind: int, content: bytes) -> bytes:
        return head if kind == section.IMPORT else renumbered(kind, content, Indices(places))

    return module.without_sections(module.rewritten(core, change), (_CUSTOM,))  # names would be others'


def exporting(core: bytes, names: Collection[bytes]) -> bytes:
    """The module with those exports alone."""
    found = section.exports(module.content_of(core, section.EXPORT))
    content = section.exported({name: each for name, each in found.items() if name in names})
    return module.rewritten(core, lambda kind, old: content if kind == section.EXPORT else old)
