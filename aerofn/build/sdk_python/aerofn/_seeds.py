"""What is random in an invocation, drawn anew in each: the seed of `hash()`, and the generators of `random`.

An invocation begins as a snapshot of the built function, with all that was drawn while it was built.
"""

import contextlib
import gc
import random
from collections.abc import Callable, Iterator
from datetime import date, time, timedelta
from typing import TYPE_CHECKING

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

_generators: dict[int, random.Random] = {}
_draw_hash_seed = False


@contextlib.contextmanager
def noted() -> Iterator[None]:
    """Note which generators are seeded by chance: those of the author's top level."""
    seed = random.Random.seed

    def noting(generator: random.Random, a: object = None, version: int = 2) -> None:
        seed(generator, a, version)  # type: ignore[arg-type]
        if a is None:
            _generators[id(generator)] = generator
        else:
            _generators.pop(id(generator), None)

    random.Random.seed = noting  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        random.Random.seed = seed  # type: ignore[method-assign]


def settle(names: dict[str, object]) -> list[str]:
    """At the end of the build; `names`: of the author's file. Gives what the author should know."""
    global _draw_hash_seed  # noqa: PLW0603  the build's word to its invocations
    if names.get(KEEP):
        return []
    from aerofn._keepers import keepers  # noqa: PLC0415  the build's alone

    if kept := keepers():
        return [
            f"{' and '.join(kept)}: an instance at the top level keeps its hash, so all invocations have one seed of"
            f" hash(); make it in the handler, or say {KEEP} = True"
        ]
    keys = _hashseed.settle(gc.freeze, (date, time, timedelta))
    _draw_hash_seed = True
    if keys < MANY:
        return []
    return [
        f"the dicts and sets of the top level have {keys:,} keys, which each invocation lays out by a seed of its"
        f" own: some {keys / 10_000:.0f} ms; {KEEP} = True saves that"
    ]


def renew() -> None:
    """At the start of an invocation."""
    if _draw_hash_seed:
        _hashseed.renew()
    for generator in _generators.values():
        random.Random.seed(generator)
