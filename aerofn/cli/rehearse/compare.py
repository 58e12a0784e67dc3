"""Whether two versions of a function did the same with an event.

What differs between two runs of the active version itself (a time, a random id, the next number of a sequence)
says nothing about another version, so it is not compared.
"""

from typing import Any

import msgspec

Path = tuple[str | int, ...]


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """One run: what came of it (`outcome`, `value` or `error`, `tables`), and what it took."""

    did: dict[str, Any]
    duration_ms: float
    memory_mb: float | None

    @property
    def succeeded(self) -> bool:
        """Whether the function returned a value."""
        return bool(self.did["outcome"] == "success")


class Difference(msgspec.Struct, frozen=True):
    """Where two runs part: the place in what they did, and what is there in each; None where nothing is."""

    where: str
    active: Any
    candidate: Any


def differences(active: tuple[Ran, Ran], candidate: Ran) -> list[Difference]:
    """What the candidate did otherwise than the active version, of which there are two runs."""
    first, second = (_places(run.did) for run in active)
    other = _places(candidate.did)
    volatile = {place for place in first | second if first.get(place) != second.get(place)}
    return [
        Difference(_written(place), first.get(place), other.get(place))
        for place in first | other
        if place not in volatile and first.get(place) != other.get(place)
    ]


def _places(value: Any, at: Path = ()) -> dict[Path, Any]:
    """Every scalar, and every empty list or object, by its place."""
    if isinstance(value, dict) and value:
        return {k: v for key, part in value.items() for k, v in _places(part, (*at, key)).items()}
    if isinstance(value, list) and value:
        return {k: v for n, part in enumerate(value) for k, v in _places(part, (*at, n)).items()}
    return {at: value}


def _written(place: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
