"""The component that has the code, within the one around it, and its core modules, section by section.

What is around it only stands in for the module loader, which a finished function has no more.
"""

from collections.abc import Callable

from aerofn.build.quickjs import module
from aerofn.runtime import binary
from aerofn.runtime.binary import Reader

_MODULE, _COMPONENT = 1, 4
HOME, RUNTIME = 0, 2  # among the core modules: the one with the memory, and QuickJS


def inner(component: bytes) -> bytes:
    """The first component within a component."""
    return module.content_of(component, _COMPONENT)


def core_module(component: bytes, index: int) -> bytes:
    """A core module of the component within."""
    sections = Reader(inner(component), 8).sections()
    return [content for kind, content in sections if kind == _MODULE][index]


def rewritten(component: bytes, change: Callable[[int, int, bytes], bytes]) -> bytes:
    """With `change(module's index, section's kind, content)` for each section of the core modules of the one within."""
    changed = _with_modules(inner(component), change)
    parts, sections = [component[:8]], Reader(component, 8).sections()
    for kind, content in sections:
        found = kind == _COMPONENT
        parts.append(binary.section(kind, changed if found else content))
        if found:
            break
    return b"".join(parts) + b"".join(binary.section(*rest) for rest in sections)


def _with_modules(component: bytes, change: Callable[[int, int, bytes], bytes]) -> bytes:
    parts, index = [component[:8]], 0
    for kind, content in Reader(component, 8).sections():
        if kind == _MODULE:
            parts.append(binary.section(kind, _with_sections(content, index, change)))
            index += 1
        else:
            parts.append(binary.section(kind, content))
    return b"".join(parts)


def _with_sections(wasm: bytes, index: int, change: Callable[[int, int, bytes], bytes]) -> bytes:
    return module.rewritten(wasm, lambda kind, content: change(index, kind, content))
