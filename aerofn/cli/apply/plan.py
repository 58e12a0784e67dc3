"""What `aerofn apply` would do: how what a project declares differs from what is in the database.

Both sides are given as options by (kind, name), each option named as the argument of the SQL function it ends
up in, so that comparing them needs to know nothing of functions and triggers.
"""

from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

FUNCTION = "function"


class Thing(NamedTuple):
    """What a step is about: its kind (`function`, `row trigger`, …) and its name."""

    kind: str
    name: str


class Present(NamedTuple):
    """What is in the database under a name, and who made it."""

    options: dict[str, Any]
    by: str


class Change(StrEnum):
    """What a step does. STRAY: it is in the database only, and nothing is done about it."""

    CREATE = "create"
    REPLACE = "replace"
    DROP = "drop"
    KEEP = "keep"
    STRAY = "stray"


class Difference(msgspec.Struct, frozen=True):
    """An option that is one thing in the database and another in the file."""

    option: str
    is_now: Any
    declared: Any


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the plan; `by` is who made what is there now."""

    change: Change
    kind: str
    name: str
    differences: list[Difference] = []
    by: str | None = None

    @property
    def thing(self) -> Thing:
        """What it is about."""
        return Thing(self.kind, self.name)


def plan(
    declared: dict[Thing, dict[str, Any]], present: dict[Thing, Present], *, prune: bool = False
) -> list[Step]:
    """The steps in the order that works: functions before the triggers that start them, drops in reverse.

    Args:
        prune: drop what is not declared, instead of only naming it.
    """
    steps = [_step(thing, options, present.get(thing)) for thing, options in declared.items()]
    steps.sort(key=lambda step: step.kind != FUNCTION)
    gone = Change.DROP if prune else Change.STRAY
    strays = [
        Step(change=gone, kind=t.kind, name=t.name, by=p.by) for t, p in present.items() if t not in declared
    ]
    strays.sort(key=lambda step: step.kind == FUNCTION)
    return steps + strays


def differs(steps: list[Step]) -> bool:
    """Whether the database is not as declared."""
    return any(step.change is not Change.KEEP for step in steps)


def _step(thing: Thing, options: dict[str, Any], present: Present | None) -> Step:
    if present is None:
        return Step(change=Change.CREATE, kind=thing.kind, name=thing.name)
    differences = [
        Difference(option, present.options[option], value)
        for option, value in options.items()
        if present.options[option] != value
    ]
    change = Change.REPLACE if differences else Change.KEEP
    return Step(change=change, kind=thing.kind, name=thing.name, differences=differences, by=present.by)
