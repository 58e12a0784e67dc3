"""The names in a component's modules, made harmless before it is compiled.

Wasmtime writes the names of a trap's functions into its account, whatever their length, and demangles what looks
like Rust or C++: a C++ name that refers to its own parts doubles with each of a few characters, and 500 bytes of
component become 285 MB of text. It takes for C++ even what lacks the `_Z`, for a type may stand alone: `1AIiiE`.

So names are cut, and one that would be demangled keeps its form only where that cannot grow. All others that could be
meant get a `$` in front, which no mangled name has, and are shown as they are; a few honest ones (`MD5_Init`) with
them. What is no list of names is dropped. Only the headers of sections are read here, so this works for every
component that wasmtime can read, whatever is in it.
"""

import re
from collections.abc import Iterator

from aerofn.runtime import binary
from aerofn.runtime.binary import Reader, UnsupportedError

LONGEST_NAME = 256  # bytes
MAX_DEPTH = 32  # of components within one another; toolchains use two or three
_CUSTOM = 0
_MODULE, _COMPONENT = 1, 4
_MODULE_NAME, _FUNCTION_NAMES = 0, 1
_NAMES = b"name"

# Rust before v0: each character is shown as one or two, and nothing twice
_RUST = re.compile(rb"_ZN(?=[0-9])[\x00-\x7f]+E")
_LENGTH = re.compile(rb"[0-9]+")
# Rust's v0, C++, and C++'s types: they begin so, after letters for pointers and the like; one that is not made of
# others is a letter ("f" would be shown as "float"). Two letters are an operator, alone ("pl") or with arguments
# ("plIiE").
_MANGLED = re.compile(
    rb"_{1,4}Z|ZN|_GLOBAL_|_{0,2}R[BCIMNXY]"
    rb"|[rVKPROCG]*(?:[0-9]+[^0-9]|[AFMNUZ]|D[A-Za-z]|S[tabsiod]|T[_0-9sue]|[Luv][0-9]"
    rb"|li[0-9]|cv|[a-z]\Z|[a-z][A-Za-z](?:[IB]|\Z))"
)
# "Mutex_lock", "Start": nothing in it makes a type that refers to another, and reading that far is soon over
_WORDS = re.compile(rb"[A-Z][a-z_]{4,23}")


class TooDeepError(Exception):
    """The component has components within it more than `MAX_DEPTH` deep."""


def harmless(wasm: bytes) -> bytes:
    """The component with such names; itself if they were.

    Raises:
        UnsupportedError: its sections cannot be told apart, so wasmtime will refuse it.
        TooDeepError: components nested too deep.
    """
    changed = _component(wasm, 0, len(wasm), 0)
    return wasm if changed is None else changed


def _component(data: bytes, start: int, end: int, depth: int) -> bytes | None:
    """The new bytes of the component that is there, or None: they are as they were."""
    if depth > MAX_DEPTH:
        raise TooDeepError
    parts, kept = [], start
    for kind, header, at, after in _sections(data, start, end):
        changed = None
        if kind == _MODULE:
            changed = _module(data, at, after)
        elif kind == _COMPONENT:
            changed = _component(data, at, after, depth + 1)
        if changed is not None:
            parts += [data[kept:header], binary.section(kind, changed)]
            kept = after
    return b"".join([*parts, data[kept:end]]) if parts else None


def _module(data: bytes, start: int, end: int) -> bytes | None:
    parts, kept = [], start
    for kind, header, at, after in _sections(data, start, end):
        changed = _custom(data, at, after) if kind == _CUSTOM else None
        if changed is not None:
            parts += [data[kept:header], changed]
            kept = after
    return b"".join([*parts, data[kept:end]]) if parts else None


def _sections(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Of each section: its kind, where its header and where its content begins, and its end."""
    reader = Reader(data, start + 8, end)
    while reader.at < end:
        header = reader.at
        kind, size = reader.byte(), reader.number()
        at = reader.at
        reader.at += size
        if reader.at > end:
            raise UnsupportedError("unexpected end")
        yield kind, header, at, reader.at


def _custom(data: bytes, at: int, end: int) -> bytes | None:
    """The section to have instead, if it is one of names and must change; b"" to have none."""
    reader = Reader(data, at, end)
    try:
        if reader.name() != _NAMES:
            return None
        content = data[reader.at : end]
        changed = _lists(content)
    except UnsupportedError:
        return b""
    return None if changed == content else binary.section(_CUSTOM, binary.name(_NAMES) + changed)


def _lists(content: bytes) -> bytes:
    parts = []
    for kind, listed in Reader(content).sections():
        changed = listed
        if kind == _MODULE_NAME:
            changed = _module_name(listed)
        elif kind == _FUNCTION_NAMES:
            changed = _function_names(listed)
        parts.append(binary.section(kind, changed))
    return b"".join(parts)


def _module_name(listed: bytes) -> bytes:
    reader = Reader(listed)
    name = reader.name()
    _at_end(reader)
    return binary.name(_cut(name))


def _function_names(listed: bytes) -> bytes:
    reader = Reader(listed)
    count = reader.number()
    parts = [binary.number(count)]
    for _ in range(count):
        parts += [binary.number(reader.number()), binary.name(shown(reader.name()))]
    _at_end(reader)
    return b"".join(parts)


def _at_end(reader: Reader) -> None:
    if reader.at != reader.end:
        raise UnsupportedError("more than names")


def shown(name: bytes) -> bytes:
    """A function's name as it may stand in its module."""
    name = _cut(name)
    if not _MANGLED.match(name) or _WORDS.fullmatch(name) or _is_rust(name):
        return name
    return b"$" + name


def _cut(name: bytes) -> bytes:
    if len(name) <= LONGEST_NAME:
        return name
    return name[:LONGEST_NAME].decode("utf-8", "ignore").encode()  # no half character


def _is_rust(name: bytes) -> bool:
    """Whether it is `_ZN`, identifiers with their lengths, `E`, and nothing else."""
    if not _RUST.fullmatch(name):
        return False
    at = 3
    while length := _LENGTH.match(name, at):
        at = length.end() + int(length[0])
    return at == len(name) - 1
