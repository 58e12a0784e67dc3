"""Makes one core module of two: what the second imports of the first becomes its own.

An export that another module imports costs an instantiation three times what a function of one's own does: a reference
to it is made, it is looked up by its name, and it is linked. And functions that a module puts into another's table are
all put there at the start, those that it puts into its own when they are first called.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aerofn.build.quickjs import module
from aerofn.build.quickjs.known import Import, imports_of
from aerofn.build.quickjs.renumber import Indices, renumbered
from aerofn.runtime import binary, section
from aerofn.runtime.binary import Reader

_ENV = b"env"
_JOINED = (section.FUNCTION, section.ELEMENT, section.CODE)
Exports = dict[bytes, tuple[int, int]]


@dataclass(frozen=True)
class _Part:
    """One of the two.

    Attributes:
        core: the module.
        imports: all of it.
        taken: those that the one made of both has of it.
        own: how many functions it has itself.
        types: likewise.
    """

    core: bytes
    imports: list[Import]
    taken: list[Import]
    own: int
    types: int

    def of(self, kind: int, imports: Iterable[Import] | None = None) -> list[Import]:
        """Its imports of that kind."""
        return [each for each in (self.imports if imports is None else imports) if each.kind == kind]


def _part(core: bytes, given: Iterable[tuple[bytes, bytes]]) -> _Part:
    imports, gone = imports_of(core), set(given)
    counts = [Reader(module.content_of(core, kind)).number() for kind in (section.FUNCTION, section.TYPE)]
    return _Part(core, imports, [each for each in imports if each.key not in gone], *counts)


def merged(first: bytes, second: bytes, kept: Mapping[bytes, bytes]) -> bytes:
    """One module of both, which exports what the second did.

    Args:
        first: has the only table and all data; its globals are imported.
        second: imports functions and the table of the first from `env`, and what the first imports from there.
        kept: the new names of functions that the first exports and the one of both does too.
    """
    exports = section.exports(module.content_of(first, section.EXPORT))
    one = _part(first, ())
    two = _part(second, [each.key for each in one.imports] + [(_ENV, name) for name in exports])
    indices = _of_first(one, two), _of_second(one, two, exports)
    also = {new: (section.A_FUNCTION, indices[0].functions[exports[name][1]]) for name, new in kept.items()}
    return first[:8] + b"".join(
        binary.section(kind, _section(kind, content, (one, two), indices, also))
        for kind, content in Reader(first, 8).sections()
        if kind
    )


def _section(
    kind: int, content: bytes, parts: tuple[_Part, _Part], indices: tuple[Indices, Indices], also: Exports
) -> bytes:
    one, two = parts
    other = module.content_of(two.core, kind)
    if kind == section.TYPE:
        return _joined(content, other)
    if kind == section.IMPORT:
        return _imports([*one.taken, *(_with_type(each, one.types) for each in two.taken)])
    if kind == section.EXPORT:
        return _joined(renumbered(kind, other, indices[1]), section.exported(also))
    changed = renumbered(kind, content, indices[0])
    return _joined(changed, renumbered(kind, other, indices[1])) if kind in _JOINED else changed


def _joined(content: bytes, other: bytes) -> bytes:
    """Two vectors as one."""
    first, second = Reader(content), Reader(other)
    count = first.number() + second.number()
    return binary.number(count) + content[first.at :] + other[second.at :]


def _with_type(each: Import, offset: int) -> bytes:
    if each.kind != section.A_FUNCTION:
        return each.text
    head = each.text[: len(each.text) - len(each.type)]
    return head + binary.number(Reader(each.type).number() + offset)


def _imports(texts: Iterable[Import | bytes]) -> bytes:
    found = [each.text if isinstance(each, Import) else each for each in texts]
    return binary.number(len(found)) + b"".join(found)


def _places(part: _Part, kind: int, first: int) -> dict[int, int]:
    """The indices of what is taken of its imports, from `first` on."""
    taken = [i for i, each in enumerate(part.of(kind)) if each in part.taken]
    return {index: first + place for place, index in enumerate(taken)}


def _of_first(one: _Part, two: _Part) -> Indices:
    """Imported functions and tables stand in front of all others."""
    imported, more = len(one.of(section.A_FUNCTION)), len(two.of(section.A_FUNCTION, two.taken))
    functions = {i: i if i < imported else i + more for i in range(imported + one.own)}
    return Indices(functions, tables={0: len(two.of(section.A_TABLE, two.taken))})


def _of_second(one: _Part, two: _Part, exports: Exports) -> Indices:
    first = _of_first(one, two)
    kept = _places(two, section.A_FUNCTION, len(one.of(section.A_FUNCTION)))
    imported = two.of(section.A_FUNCTION)
    given = {i: first.functions[exports[each.key[1]][1]] for i, each in enumerate(imported) if i not in kept}
    before = len(one.of(section.A_FUNCTION)) + len(kept) + one.own
    own = {len(imported) + i: before + i for i in range(two.own)}
    tables = _places(two, section.A_TABLE, 0)
    tables |= {i: first.tables[0] for i in range(len(two.of(section.A_TABLE))) if i not in tables}
    names = [each.key for each in one.of(section.A_GLOBAL)]
    globals_ = {i: names.index(each.key) for i, each in enumerate(two.of(section.A_GLOBAL))}
    return Indices(kept | given | own, globals_, tables=tables, types=one.types)
