"""Which fault comes when: decided by the seed alone, before anything runs."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

QUIET_BEFORE = 0.08  # of the whole time, so that there is something to compare with
QUIET_AFTER = 0.12
_EVERY_S = (4.0, 24.0)  # from one fault to the next: of the shortest soak and of the longest


@dataclass(frozen=True)
class Blow:
    """A fault that is to come: `at` seconds after the start, with a seed of its own."""

    at: float
    kind: str
    seed: float

    def __str__(self) -> str:
        return f"{self.at:7.1f} s  {self.kind}"


def plan(seed: int, seconds: float, kinds: Sequence[str]) -> list[Blow]:
    """Blows for `seconds` of soak: every kind about as often, in an order of chance."""
    draw = random.Random(seed)
    every = min(max(seconds / 50, _EVERY_S[0]), _EVERY_S[1])
    at, end = seconds * QUIET_BEFORE, seconds * (1 - QUIET_AFTER)
    deck: list[str] = []
    blows = []
    while at < end:
        if not deck:
            deck = draw.sample(list(kinds), len(kinds))
        blows.append(Blow(round(at, 1), deck.pop(), draw.random()))
        at += every * draw.uniform(0.8, 1.2)
    return blows
