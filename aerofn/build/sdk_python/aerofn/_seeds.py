"""What is random in an invocation, drawn anew in each: the seed of `hash()`, and the generators of `random`.

An invocation begins as a snapshot of the built function, with all that was drawn while it was built.
"""

import builtins
import contextlib
import gc
import random
import sys
from collections.abc import Callable, Iterator
from datetime import date, time, timedelta
from typing import TYPE_CHECKING

from aerofn._errors import ROOT

if TYPE_CHECKING:

    class _hashseed:  # noqa: N801
        """The module in C: `aerofn/build/hashseed`."""

        @staticmethod
        def settle(freeze: Callable[[], None], types: tuple[type, ...]) -> int: ...
        @staticmethod
        def renew() -> None: ...
else:
    from aerofn import _hashseed

KEEP = "KEEP_HASH_SEED"
MANY = 100_000
MOST_NAMED = 3
_SEEDLESS = (int, float, complex, type, type(None))

_generators: dict[int, random.Random] = {}
_asked: list[str] = []  # the file that asked for the hash of what has another one under another seed
_draw_hash_seed = False


@contextlib.contextmanager
def noted() -> Iterator[None]:
    """Note what the author's top level draws by chance and may keep."""
    seed, hash_of = random.Random.seed, builtins.hash
    random.Random.seed = _noting_seed(seed)  # type: ignore[method-assign]
    builtins.hash = _noting_hash(hash_of)
    try:
        yield
    finally:
        random.Random.seed, builtins.hash = seed, hash_of  # type: ignore[method-assign]


def _noting_seed(seed: Callable[..., None]) -> Callable[..., None]:
    def noting(generator: random.Random, a: object = None, version: int = 2) -> None:
        seed(generator, a, version)
        if a is None:
            _generators[id(generator)] = generator
        else:
            _generators.pop(id(generator), None)

    return noting


def _noting_hash(hash_of: Callable[[object], int]) -> Callable[[object], int]:
    def noting(one: object, /) -> int:
        code = sys._getframe(1).f_code
        # of the author's code: packages ask for constants alone that they put into their classes, as attrs does
        own = code.co_filename.startswith(ROOT) and "__hash__" not in code.co_qualname
        if own and not _asked and not isinstance(one, _SEEDLESS):
            _asked.append(code.co_filename.removeprefix(ROOT))
        return hash_of(one)

    return noting


def settle(names: dict[str, object]) -> list[str]:
    """At the end of the build; `names`: of the author's file. Gives what the author should know."""
    global _draw_hash_seed  # noqa: PLW0603  the build's word to its invocations
    if names.get(KEEP):
        return []
    if why := _why_not():
        return [
            f"{why}, so all invocations have one seed of hash(): do that in the handler, or say {KEEP} = True"
        ]
    keys = _hashseed.settle(gc.freeze, (date, time, timedelta))
    _draw_hash_seed = True
    if keys < MANY:
        return []
    return [
        f"the dicts and sets of the top level have {keys:,} keys, which each invocation lays out by a seed of its"
        f" own: some {keys / 10_000:.0f} ms; {KEEP} = True saves that"
    ]


def _why_not() -> str | None:
    """What the snapshot keeps that would be wrong under another seed."""
    from aerofn._keepers import keepers  # noqa: PLC0415  the build's alone

    if kept := keepers():
        more = f" and {len(kept) - MOST_NAMED} more" if len(kept) > MOST_NAMED else ""
        return f"the top level makes objects that keep their hash ({', '.join(kept[:MOST_NAMED])}{more})"
    return (
        f"the top level ({_asked[0]}) asks hash() of something, and may keep what it says" if _asked else None
    )


def renew() -> None:
    """At the start of an invocation."""
    if _draw_hash_seed:
        _hashseed.renew()
    for generator in _generators.values():
        random.Random.seed(generator)
