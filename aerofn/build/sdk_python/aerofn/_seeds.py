"""What is random in an invocation, drawn anew in each: the seed of `hash()`, and the generators of `random`.

An invocation begins as a snapshot of the built function, with all that was drawn while it was built.
"""

import builtins
import contextlib
import enum
import gc
import random
import sys
from collections.abc import Callable, Iterator
from datetime import date, time, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:

    class _hashseed:  # noqa: N801
        """The module in C: `aerofn/build/hashseed`."""

        @staticmethod
        def settle(freeze: Callable[[], None], moments: tuple[type, ...], hashing: type) -> int: ...
        @staticmethod
        def renew() -> None: ...
else:
    from aerofn import _hashseed

KEEP = "KEEP_HASH_SEED"
MANY = 100_000
MOST_NAMED = 3
_SEEDLESS = (int, float, complex, type, type(None))
_CONSTANT = ("_make_hash_script",)  # attrs puts what it asks for into the class as a constant

_generators: dict[int, random.Random] = {}
_asked: list[str] = []  # where the hash was asked for of what has another one under another seed
_answers: set[int] = set()  # what was said then, and in a __hash__
_draw_hash_seed = False


@contextlib.contextmanager
def noted() -> Iterator[None]:
    """Note what the author's top level draws by chance and may keep."""
    kept = random.Random.seed, random.Random.setstate, builtins.hash
    random.Random.seed = _noting_seed(kept[0])  # type: ignore[method-assign]
    random.Random.setstate = _noting_state(kept[1])  # type: ignore[method-assign]
    builtins.hash = _noting_hash(kept[2])
    try:
        yield
    finally:
        random.Random.seed, random.Random.setstate, builtins.hash = kept  # type: ignore[method-assign]


def _noting_seed(seed: Callable[..., None]) -> Callable[..., None]:
    def noting(generator: random.Random, a: object = None, version: int = 2) -> None:
        seed(generator, a, version)
        if a is None:
            _generators[id(generator)] = generator
        else:
            _generators.pop(id(generator), None)

    return noting


def _noting_state(setstate: Callable[..., None]) -> Callable[..., None]:
    def noting(generator: random.Random, state: Any) -> None:
        setstate(generator, state)
        _generators.pop(id(generator), None)

    return noting


def _noting_hash(hash_of: Callable[[object], int]) -> Callable[[object], int]:
    def noting(one: object, /) -> int:
        answer = hash_of(one)
        if not isinstance(one, _SEEDLESS):
            code = sys._getframe(1).f_code
            _answers.add(answer)
            if not _asked and "__hash__" not in code.co_qualname and code.co_name not in _CONSTANT:
                _asked.append(f"{code.co_filename.rpartition('/')[2]}, {code.co_name}")
        return answer

    return noting


def settle(names: dict[str, object]) -> list[str]:
    """At the end of the build; `names`: of the author's file. Gives what the author should know."""
    global _draw_hash_seed  # noqa: PLW0603  the build's word to its invocations
    if names.get(KEEP):
        return []
    why, keys = _why_not(), 0
    if not why:
        keys = _hashseed.settle(gc.freeze, (date, time, timedelta), enum.Enum)
        why = "the hash of an object of the top level cannot be had again" if keys < 0 else None
    if why:
        return [
            f"{why}, so all invocations have one seed of hash(): do that in the handler, or say {KEEP} = True"
        ]
    _draw_hash_seed = True
    if keys < MANY:
        return []
    return [
        f"the dicts and sets of the top level have {keys:,} keys, which each invocation lays out by a seed of its"
        f" own: some {keys / 10_000:.0f} ms; {KEEP} = True saves that"
    ]


def _why_not() -> str | None:
    """What the snapshot keeps that would be wrong under another seed."""
    from aerofn._keepers import begun_iterators, keepers  # noqa: PLC0415  the build's alone

    if kept := keepers(_answers):
        more = f" and {len(kept) - MOST_NAMED} more" if len(kept) > MOST_NAMED else ""
        return f"the top level makes objects that keep their hash ({', '.join(kept[:MOST_NAMED])}{more})"
    if _asked:
        return f"the top level asks hash() of something ({_asked[0]}), and may keep what it says"
    return "the top level has begun to go through a set" if begun_iterators() else None


def renew() -> None:
    """At the start of an invocation."""
    if _draw_hash_seed:
        _hashseed.renew()
    for generator in _generators.values():
        random.Random.seed(generator)
