"""Finds objects that keep a hash which they once computed, as paths and some packages' classes do.

Such a hash is of the build's seed, and nobody but its class could compute it anew.
"""

import dis
import functools
import gc
import types
from collections.abc import Iterator
from typing import Any


def keepers() -> list[str]:
    """The classes of those that are in the snapshot, by name."""
    kept: dict[type, frozenset[str]] = {}
    found: set[str] = set()
    for one in gc.get_objects():
        cls = type(one)
        if cls not in kept:
            kept[cls] = _kept_by(cls)
        if any(_is_hash(_value(one, name)) for name in kept[cls]):
            found.add(f"{cls.__module__}.{cls.__qualname__}")
    return sorted(found)


def _kept_by(cls: type) -> frozenset[str]:
    """The attributes that its `__hash__` reads, and that it or another of its methods writes beside calling `hash`."""
    own = cls.__hash__
    if not isinstance(own, types.FunctionType):
        return frozenset()
    read = _words(own.__code__)
    written = {name for code, names in _writers(cls) if "hash" in _words(code) for name in names}
    return frozenset(read & written)


def _writers(cls: type) -> Iterator[tuple[types.CodeType, set[str]]]:
    """The code of its methods, with the attributes that each may write."""
    for base in cls.__mro__:
        for value in vars(base).values():
            if isinstance(value, types.FunctionType):
                yield value.__code__, _written(value.__code__)
            elif isinstance(value, functools.cached_property) and value.attrname:
                yield value.func.__code__, {value.attrname}


def _written(code: types.CodeType) -> set[str]:
    names = {step.argval for step in dis.get_instructions(code) if step.opname == "STORE_ATTR"}
    if not {"__setattr__", "setattr", "__dict__"}.isdisjoint(code.co_names):
        names.update(word for word in code.co_consts if isinstance(word, str))
    return names


def _words(code: types.CodeType) -> set[str]:
    """All names and texts in it."""
    return {*code.co_names, *code.co_varnames, *(word for word in code.co_consts if isinstance(word, str))}


def _value(one: object, name: str) -> Any:
    """An attribute that the instance itself has: none is computed for this."""
    try:
        own = object.__getattribute__(one, "__dict__")
    except AttributeError:
        own = {}
    if name in own:
        return own[name]
    for base in type(one).__mro__:
        slot = vars(base).get(name)
        if isinstance(slot, types.MemberDescriptorType):
            try:
                return slot.__get__(one)
            except AttributeError:
                return None
    return None


def _is_hash(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
