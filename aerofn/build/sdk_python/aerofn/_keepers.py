"""Finds objects that keep a hash which they once computed, as paths and some packages' classes do.

Such a hash is of the build's seed, and nobody but its class could compute it anew.
"""

import builtins
import dis
import functools
import gc
import types
from collections.abc import Iterator
from typing import Any

_SMALL = 1 << 16  # a number up to this is more likely to be no hash at all
_WRAPPERS = (staticmethod, classmethod)


def keepers(answers: set[int]) -> list[str]:
    """The classes of those that are in the snapshot, by name; `answers`: what `hash` has said."""
    kept: dict[type, frozenset[str]] = {}
    found: set[str] = set()
    for one in gc.get_objects():
        cls = type(one)
        if cls not in kept:
            kept[cls] = _kept_by(cls)
        if any(_is_hash(_value(one, name)) for name in kept[cls]) or (
            isinstance(cls.__hash__, types.FunctionType) and _has_one_of(one, answers)
        ):
            found.add(f"{cls.__module__}.{cls.__qualname__}")
    return sorted(found)


def begun_iterators() -> bool:
    """Whether one of a set is suspended in the middle, and would go on in another order."""
    iterator: type = type(iter(set[object]()))
    return any(type(one) is iterator and gc.get_referents(one) for one in gc.get_objects())


def _has_one_of(one: object, answers: set[int]) -> bool:
    """Whether a number among its attributes, or in a tuple or a dict there, is a hash that was asked for."""
    own = gc.get_referents(one)
    inner = (part for value in own if isinstance(value, tuple | dict) for part in gc.get_referents(value))
    return any(_is_hash(part) and abs(part) > _SMALL and part in answers for part in (*own, *inner))


def _kept_by(cls: type) -> frozenset[str]:
    """The attributes that its `__hash__` reads, and that it or another of its methods writes beside calling `hash`."""
    own = cls.__hash__
    if not isinstance(own, types.FunctionType):
        return frozenset()
    written = {name for code, names in _writers(cls) for name in names}
    return frozenset(_words(own.__code__) & written)


def _writers(cls: type) -> Iterator[tuple[types.CodeType, set[str]]]:
    """The code of its methods that asks for hashes, with the attributes that each may write."""
    for base in cls.__mro__:
        for value in vars(base).values():
            method = value.__func__ if isinstance(value, _WRAPPERS) else value
            method = method.fget if isinstance(method, property) else method
            if isinstance(method, types.FunctionType) and _asks(method.__code__, method.__defaults__ or ()):
                yield method.__code__, _written(method.__code__)
            elif (
                isinstance(method, functools.cached_property)
                and method.attrname
                and _asks(method.func.__code__)
            ):
                yield method.func.__code__, {method.attrname}


def _asks(code: types.CodeType, defaults: tuple[object, ...] = ()) -> bool:
    """Whether it calls `hash`, or another's `__hash__`, in whatever is nested in it too."""
    if builtins.hash in defaults or "__hash__" in code.co_names:
        return True
    if any(
        step.argval == "hash" and step.opname.startswith("LOAD_GLOBAL") for step in dis.get_instructions(code)
    ):
        return True
    return any(_asks(inner) for inner in code.co_consts if isinstance(inner, types.CodeType))


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
