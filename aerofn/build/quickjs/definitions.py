"""A component as its definitions, each with what it refers to: read, changed, and written again with what is needed.

In a component's binary a definition is known by its index among those of its sort, and refers to others by theirs. Here
it is bytes with references between them, so that it can be written in another place, and one that nothing refers to
need not be written. Types are not taken apart: all stay, in their order, so that their indices do too.
"""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from aerofn.runtime import binary
from aerofn.runtime.binary import Reader, UnsupportedError
from aerofn.runtime.surgery import CANON_SHAPES, OPTION_HAS_NUMBER

MODULE, CORE_INSTANCE, ALIAS, TYPE, CANON, IMPORT, EXPORT = 1, 2, 6, 7, 8, 10, 11
_CUSTOM = 0
_CORE_SORTS = {0: "core func", 1: "core table", 2: "core memory", 3: "core global", 0x12: "core instance"}
_SORTS = {1: "func", 3: "type", 4: "component", 5: "instance"}
_LOWER = 1
_OPTION_SORTS = {3: "core memory", 4: "core func", 5: "core func", 7: "core func"}


@dataclass(frozen=True)
class Ref:
    """What is meant: the one of its sort with that index, as the component was read."""

    sort: str
    index: int


@dataclass
class Definition:
    """Something that a component defines, imports or exports.

    Attributes:
        section: the kind of section it stands in.
        sort: of what it defines.
        parts: its bytes, with references where an index belongs.
        name: of an import or an export, or of the export that an alias is of.
        of: the instance that an alias is of, or the type that an import is of.
    """

    section: int
    sort: str
    parts: list[bytes | Ref]
    name: bytes = b""
    of: Ref | None = None


@dataclass
class CoreInstance:
    """A core instance: of a module that is given other instances, or made of what it exports."""

    module: Ref | None
    given: dict[bytes, Ref] = field(default_factory=dict)
    section: int = CORE_INSTANCE
    sort: str = "core instance"
    name: bytes = b""
    of: Ref | None = None

    @property
    def parts(self) -> list[bytes | Ref]:
        """As those of a definition."""
        parts: list[bytes | Ref] = [b"\x01"] if self.module is None else [b"\x00", self.module]
        parts.append(binary.number(len(self.given)))
        for name, ref in self.given.items():
            parts += [binary.name(name) + bytes((_core_sort(ref.sort),)), ref]
        return parts


def _core_sort(sort: str) -> int:
    return next(code for code, name in _CORE_SORTS.items() if name == sort)


Defined = Definition | CoreInstance


def _in_place_of(gone: Defined) -> Definition:
    """A type that keeps the place of one that nothing refers to any more."""
    first = gone.parts[0]
    if gone.section == TYPE and isinstance(first, bytes) and first[0] != 1:
        raise UnsupportedError("several types in the section of an import's")
    return Definition(TYPE, "type", [b"\x01\x7d"])


class _Item:
    """One definition being read: its bytes so far, and its references."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._parts: list[bytes | Ref] = []
        self._start = reader.at

    def ref(self, sort: str) -> Ref:
        data = self.reader.data
        self._parts.append(data[self._start : self.reader.at])
        found = Ref(sort, self.reader.number())
        self._parts.append(found)
        self._start = self.reader.at
        return found

    def parts(self) -> list[bytes | Ref]:
        return [*self._parts, self.reader.data[self._start : self.reader.at]]


class Definitions:
    """Those of a component, without the ones of the components and modules in it.

    Attributes:
        all: what each reference means, in the order they were defined in.
    """

    def __init__(self, component: bytes) -> None:
        self.all: dict[Ref, Defined] = {}
        self._counts: Counter[str] = Counter()
        read: dict[int, Callable[[Reader], Defined]] = {
            CORE_INSTANCE: _core_instance,
            ALIAS: _alias,
            CANON: _canon,
            IMPORT: _import,
            EXPORT: _export,
        }
        for kind, content in Reader(component, 8).sections():
            if kind == MODULE:
                self.add(Definition(MODULE, "core module", [content]))
            elif kind == TYPE:
                self._types(content)
            elif kind in read:
                reader = Reader(content)
                for _ in range(reader.number()):
                    self.add(read[kind](reader))
            elif kind != _CUSTOM:
                raise UnsupportedError("section")

    def _types(self, content: bytes) -> None:
        """A whole section of types is one definition; the other ones' indices only keep their place."""
        first = Ref("type", self._counts["type"])
        self.all[first] = Definition(TYPE, "type", [content])
        self._counts["type"] += Reader(content).number()

    def add(self, definition: Defined) -> Ref:
        """One more; how it is referred to."""
        ref = Ref(definition.sort, self._counts[definition.sort])
        self._counts[definition.sort] += 1
        self.all[ref] = definition
        return ref

    def alias(self, instance: Ref, sort: str, name: bytes) -> Ref:
        """One more alias of what a core instance exports."""
        head = bytes((0, _core_sort(sort), 1))
        parts: list[bytes | Ref] = [head, instance, binary.name(name)]
        return self.add(Definition(ALIAS, sort, parts, name, instance))

    def point(self, old: Ref, new: Ref) -> None:
        """Let aliases of what an instance exports be of what another one does."""
        for found in self.all.values():
            if isinstance(found, Definition) and found.of == old:
                found.of = new
                found.parts = [new if part == old else part for part in found.parts]

    def core_instances(self) -> dict[Ref, CoreInstance]:
        """Those that it has."""
        return {ref: found for ref, found in self.all.items() if isinstance(found, CoreInstance)}

    def imports(self) -> dict[bytes, Ref]:
        """All that it imports, by name."""
        return {found.name: ref for ref, found in self.all.items() if found.section == IMPORT}

    def without_export(self, name: bytes) -> None:
        """Forget what it exports by that name."""
        exported = {found.name: ref for ref, found in self.all.items() if found.section == EXPORT}
        del self.all[exported[name]]

    def written(self, first: list[Ref]) -> bytes:
        """The component of what its exports need, without the imports that they do not.

        Args:
            first: what is written before, with what that needs.
        """
        roots = [*first, *(ref for ref, found in self.all.items() if found.section == EXPORT)]
        needed = self._needed(roots)
        imports = set(self.imports().values())
        # types of what is left out: the imports' own, and the aliases of what they export
        gone = {self.all[ref].of for ref in imports - needed}
        gone |= {ref for ref, found in self.all.items() if found.of is not None and found.of not in needed}
        writer = _Writer(self.all)
        for ref, found in self.all.items():
            if found.sort == "type":
                writer.place(ref, _in_place_of(found) if ref in gone else None)
            elif ref in imports & needed:
                writer.place(ref)
        for ref in roots:
            writer.place(ref)
        return writer.component()

    def _needed(self, roots: list[Ref]) -> set[Ref]:
        found, waiting = set(), list(roots)
        while waiting:
            ref = waiting.pop()
            if ref not in found:
                found.add(ref)
                waiting += [part for part in self.all[ref].parts if isinstance(part, Ref)]
        return found


class _Writer:
    """Writes each definition behind all that it refers to."""

    def __init__(self, definitions: dict[Ref, Defined]) -> None:
        self._definitions = definitions
        self._places: dict[Ref, int] = {}
        self._counts: Counter[str] = Counter()
        self._written: list[tuple[int, bytes]] = []

    def place(self, ref: Ref, instead: Defined | None = None) -> int:
        """Its index, when it is written, or what is written in its place."""
        if ref not in self._places:
            found = instead or self._definitions[ref]
            content = b"".join(
                binary.number(self.place(part)) if isinstance(part, Ref) else part for part in found.parts
            )
            self._written.append((found.section, content))
            count = Reader(content).number() if found.section == TYPE else 1
            self._places[ref] = self._counts[found.sort]
            self._counts[found.sort] += count
        return self._places[ref]

    def component(self) -> bytes:
        parts = [b"\0asm\x0d\0\x01\0"]
        for kind, same in itertools.groupby(self._written, key=lambda each: each[0]):
            contents = [content for _, content in same]
            if kind in (MODULE, TYPE):  # a section each
                parts += [binary.section(kind, content) for content in contents]
            else:
                parts.append(binary.section(kind, binary.number(len(contents)) + b"".join(contents)))
        return b"".join(parts)


# --- reading ---


def _core_instance(reader: Reader) -> CoreInstance:
    made_of_exports = reader.byte()
    module = None if made_of_exports else Ref("core module", reader.number())
    given = {}
    for _ in range(reader.number()):
        name, sort = reader.name(), reader.byte()
        given[name] = Ref(_CORE_SORTS[sort], reader.number())
    return CoreInstance(module, given)


def _alias(reader: Reader) -> Definition:
    item = _Item(reader)
    sort = _sort(reader)
    target = reader.byte()
    if target > 1:
        raise UnsupportedError("an alias of something outside")
    instance = item.ref("core instance" if target else "instance")
    name = reader.name()
    return Definition(ALIAS, sort, item.parts(), name, instance)


def _sort(reader: Reader) -> str:
    sort = reader.byte()
    found = _CORE_SORTS.get(reader.byte()) if sort == 0 else _SORTS.get(sort)
    if found is None:
        raise UnsupportedError("sort")
    return found


def _canon(reader: Reader) -> Definition:
    item = _Item(reader)
    opcode = reader.byte()
    if opcode <= _LOWER:
        reader.byte()
        item.ref("func" if opcode == _LOWER else "core func")
        _options(item)
        if opcode == _LOWER:
            return Definition(CANON, "core func", item.parts())
        reader.number()
        return Definition(CANON, "func", item.parts())
    if opcode not in CANON_SHAPES:
        raise UnsupportedError("canonical built-in")
    for shape in CANON_SHAPES[opcode]:
        _canon_part(item, shape)
    return Definition(CANON, "core func", item.parts())


def _options(item: _Item) -> None:
    for _ in range(item.reader.number()):
        option = item.reader.byte()
        if option in _OPTION_SORTS:
            item.ref(_OPTION_SORTS[option])
        elif OPTION_HAS_NUMBER.get(option, True):
            raise UnsupportedError("canonical option")


def _canon_part(item: _Item, shape: str) -> None:
    reader = item.reader
    if shape == "n":
        reader.number()
    elif shape == "b":
        reader.byte()
    elif shape == "o":
        _options(item)
    elif reader.byte() == 0:  # a result type, or none
        reader.number()
    else:
        reader.byte()


def _extern_name(reader: Reader) -> bytes:
    if reader.byte() > 1:
        raise UnsupportedError("name")
    return reader.name()


def _import(reader: Reader) -> Definition:
    item = _Item(reader)
    name = _extern_name(reader)
    sort = _SORTS.get(reader.byte())
    if sort not in ("func", "instance"):
        raise UnsupportedError("import")
    kind = Ref("type", reader.number())
    return Definition(IMPORT, sort, item.parts(), name, kind)


def _export(reader: Reader) -> Definition:
    item = _Item(reader)
    name = _extern_name(reader)
    sort = _sort(reader)
    item.ref(sort)
    if sort == "type" or reader.byte():
        raise UnsupportedError("export")
    return Definition(EXPORT, sort, item.parts(), name)
