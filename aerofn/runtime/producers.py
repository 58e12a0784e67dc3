"""Which tools a component says it was made by. Anybody can write that (section `producers`): it proves nothing."""

from aerofn.runtime.binary import Reader, UnsupportedError

_CUSTOM = 0


def tools(wasm: bytes) -> set[bytes]:
    """The names in the component's own `producers` section, not those of components and modules in it."""
    try:
        return {
            tool
            for kind, content in Reader(wasm, 8).sections()
            if kind == _CUSTOM
            for tool in _named(Reader(content))
        }
    except UnsupportedError:
        return set()


def _named(reader: Reader) -> list[bytes]:
    if reader.name() != b"producers":
        return []
    found = []
    for _ in range(reader.number()):
        reader.name()  # as language, sdk, processed-by
        for _ in range(reader.number()):
            found.append(reader.name())
            reader.name()  # its version
    return found
