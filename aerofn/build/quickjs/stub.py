"""The QuickJS runtime with an `init` that does nothing but keep its first argument, the bindings' JavaScript.

It is only run once, by componentize-qjs. Its text goes to the far end of the stack, which nothing has reached,
and what was allocated for it is freed, so that the memory is the one before `init`.
"""

from aerofn.runtime import binary, section
from aerofn.runtime.binary import Reader

_RESULT = 16  # address of the result: a discriminant, 0 for ok, and a string's address and size if it is 1
_TEXT = 1024
_LOCAL_ADDRESS, _LOCAL_SIZE = b"\x20\x00", b"\x20\x01"  # local.get: of the first argument


def _constant(value: int) -> bytes:
    return b"\x41" + binary.signed(value)


def _store(address: int, value: bytes) -> bytes:
    return _constant(address) + value + b"\x36\x02\x00"


def _body(free_result: int) -> bytes:
    """The function's locals and code; `free_result` frees the string of a result that is none of ok."""
    return b"".join((
        b"\x00",
        _constant(_TEXT), _LOCAL_ADDRESS, _LOCAL_SIZE, b"\xfc\x0a\x00\x00",  # memory.copy
        _store(_RESULT, _constant(1)),
        _store(_RESULT + 4, _LOCAL_ADDRESS),
        _store(_RESULT + 8, _LOCAL_SIZE),
        _constant(_RESULT), b"\x10", binary.number(free_result),
        _store(_RESULT, _constant(0)),
        _constant(_RESULT), b"\x0b",
    ))  # fmt: skip


def stub(runtime: bytes) -> bytes:
    """The runtime (a core module) with that `init`."""
    sections = list(Reader(runtime, 8).sections())
    known = dict(sections)
    exports = section.exports(known[section.EXPORT])
    imported = sum(kind == section.A_FUNCTION for kind, _ in section.imports(known[section.IMPORT]))
    code = known[section.CODE]
    bodies = [code[start:end] for start, end in section.bodies(code)]
    bodies[exports[b"init"][1] - imported] = _body(exports[b"cabi_post_init"][1])
    changed = binary.number(len(bodies)) + b"".join(map(binary.name, bodies))
    return runtime[:8] + b"".join(
        binary.section(kind, changed if kind == section.CODE else content) for kind, content in sections
    )


def kept_argument(segments: list[tuple[int, bytes]]) -> str:
    """What the stub's `init` was given first, from a component's memory."""
    return dict(segments)[_TEXT].decode()
