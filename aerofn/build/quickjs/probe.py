"""A probe for a component: exports that tell its memory and its globals, which a component keeps to itself.

One more core module is given the memory and the globals of the others, and functions that read them. Memory is told
in pieces, as strings of one byte a character, which is the fastest way out of a component.
"""

from aerofn.build.quickjs import module
from aerofn.runtime import binary, section
from aerofn.runtime.initial import GLOBAL, PAGES, PIECE, READ
from aerofn.runtime.surgery import PAGE, Scope

_MODULE, _CORE_INSTANCE, _ALIAS, _TYPE, _CANON, _EXPORT = 1, 2, 6, 7, 8, 11
_FUNC, _MEMORY, _GLOBAL, _INSTANCE = b"\x00", b"\x02", b"\x03", b"\x12"  # core sorts
_U32, _STRING = b"\x79", b"\x73"
_PIECE_AT = 8  # behind the string's address and size


def _vector(parts: list[bytes]) -> bytes:
    return binary.number(len(parts)) + b"".join(parts)


def _constant(value: int) -> bytes:
    return b"\x41" + binary.signed(value)


def _reader(count: int) -> bytes:
    """The core module: `read(offset)`, `pages()` and a function for each of `count` globals."""
    names = [b"read", b"pages", *(b"%d" % i for i in range(count))]
    store = b"\x36\x42\x01"  # i32.store in its own memory, the second one
    read = (
        b"\x00" + _constant(_PIECE_AT) + b"\x20\x00" + _constant(PIECE) + b"\xfc\x0a\x01\x00"  # memory.copy
        + _constant(0) + _constant(_PIECE_AT) + store + b"\x00"
        + _constant(0) + _constant(PIECE) + store + b"\x04"
        + _constant(0) + b"\x0b"
    )  # fmt: skip
    codes = [read, b"\x00\x3f\x00\x0b", *(b"\x00\x23" + binary.number(i) + b"\x0b" for i in range(count))]
    given = [binary.name(b"p") + binary.name(b"memory") + b"\x02\x00\x00"]
    given += [binary.name(b"p") + binary.name(b"%d" % i) + b"\x03\x7f\x01" for i in range(count)]
    exported = [binary.name(name) + _FUNC + binary.number(i) for i, name in enumerate(names)]
    return b"\0asm\x01\0\0\0" + b"".join((
        binary.section(section.TYPE, b"\x02\x60\x00\x01\x7f\x60\x01\x7f\x01\x7f"),
        binary.section(section.IMPORT, _vector(given)),
        binary.section(section.FUNCTION, _vector([b"\x01"] + [b"\x00"] * (len(codes) - 1))),
        binary.section(section.MEMORY, module.memory(PIECE // PAGE + 1)),
        binary.section(section.EXPORT, _vector([*exported, binary.name(b"own") + b"\x02\x01"])),
        binary.section(section.CODE, _vector([binary.name(code) for code in codes])),
    ))  # fmt: skip


def _opened(content: bytes, globals_: list[int]) -> bytes:
    """A module that exports its globals too."""
    exported = module.content_of(content, section.EXPORT)
    for index in globals_:
        exported = binary.appended(
            exported, binary.name(b"aerofn:%d" % index) + b"\x03" + binary.number(index)
        )
    return module.rewritten(content, lambda kind, old: exported if kind == section.EXPORT else old)


def probed(component: bytes, home: int) -> bytes:
    """`component` with a probe; its memory is exported by its core module of index `home` as `memory`."""
    parts, places, index = [component[:8]], [], 0
    scope = Scope(component)
    for kind, content in binary.Reader(component, 8).sections():
        told = content
        if kind == _MODULE:
            found = module.mutable_globals(content)
            places += [(scope.instances[index], place) for place in found]
            told = _opened(content, found) if found else content
            index += 1
        parts.append(binary.section(kind, told))
    return b"".join(parts) + _appendix(scope, scope.instances[home], places)


def _appendix(scope: Scope, home: int, places: list[tuple[int, int]]) -> bytes:
    next_index, count = scope.counts, len(places)
    instance = next_index["core instance"]
    opened = [_of(home, _MEMORY, b"memory")]
    opened += [_of(owner, _GLOBAL, b"aerofn:%d" % place) for owner, place in places]
    given = [binary.name(b"memory") + _MEMORY + binary.number(next_index["core memory"])]
    given += [
        binary.name(b"%d" % i) + _GLOBAL + binary.number(next_index["core global"] + i) for i in range(count)
    ]
    functions = [b"read", b"pages", *(b"%d" % i for i in range(count))]
    taken = [_of(instance + 1, _MEMORY, b"own"), *(_of(instance + 1, _FUNC, name) for name in functions)]
    exports = [READ, PAGES, *(GLOBAL % i for i in range(count))]
    return b"".join((
        binary.section(_ALIAS, _vector(opened)),
        binary.section(_MODULE, _reader(count)),
        binary.section(_CORE_INSTANCE, _vector([
            b"\x01" + _vector(given),
            b"\x00" + binary.number(next_index["core module"])
            + _vector([binary.name(b"p") + _INSTANCE + binary.number(instance)]),
        ])),
        binary.section(_ALIAS, _vector(taken)),
        binary.section(_TYPE, _vector([
            b"\x40" + _vector([binary.name(b"offset") + _U32]) + b"\x00" + _STRING,
            b"\x40\x00\x00" + _U32,
        ])),
        binary.section(_CANON, _vector(_lifts(scope, len(functions)))),
        binary.section(_EXPORT, _vector([
            b"\x00" + binary.name(name.encode()) + b"\x01" + binary.number(next_index["func"] + i) + b"\x00"
            for i, name in enumerate(exports)
        ])),
    ))  # fmt: skip


def _of(instance: int, sort: bytes, name: bytes) -> bytes:
    """An alias of what a core instance exports."""
    return b"\x00" + sort + b"\x01" + binary.number(instance) + binary.name(name)


def _lifts(scope: Scope, count: int) -> list[bytes]:
    """The first function gives a string in latin1, of its own memory; the others a number."""
    function, kind = scope.counts["core func"], scope.counts["type"]
    own = binary.number(scope.counts["core memory"] + 1)
    text = b"\x00\x00" + binary.number(function) + b"\x02\x02\x03" + own + binary.number(kind)
    number = [
        b"\x00\x00" + binary.number(function + i) + b"\x00" + binary.number(kind + 1) for i in range(1, count)
    ]
    return [text, *number]
