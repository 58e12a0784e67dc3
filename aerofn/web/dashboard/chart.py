"""Charts as SVG paths: 60 minutes across, the largest one as high as the picture."""

from collections.abc import Sequence
from typing import NamedTuple

from aerofn.db.figures import Minutes

_HIGH = 20.0


class Spark(NamedTuple):
    """A small one: its area, the line above it, and the failures as bars. In a view box of 59 by 20."""

    area: str
    line: str
    failed: str


class Bar(NamedTuple):
    """A minute of a large one, in hundredths of its height; `ago` minutes before now."""

    ago: int
    invocations: int
    failures: int
    top: float
    height: float
    failed: float


def spark(minutes: Minutes) -> Spark:
    """The small chart of an hour."""
    most = max(*minutes.invocations, 1)
    points = [f"{x} {_HIGH - (_HIGH - 1) * n / most:.1f}" for x, n in enumerate(minutes.invocations)]
    line = "M" + "L".join(points)
    bars = [
        f"M{x} {_HIGH:.0f}v-{max(1.5, (_HIGH - 1) * n / most):.1f}"
        for x, n in enumerate(minutes.failures)
        if n
    ]
    return Spark(f"{line}L{len(points) - 1} {_HIGH:.0f}L0 {_HIGH:.0f}Z", line, "".join(bars))


def bars(minutes: Minutes) -> list[Bar]:
    """The large chart of an hour."""
    most = max(*minutes.invocations, 1)
    last = len(minutes.invocations) - 1
    return [
        _bar(last - x, n, failures, most)
        for x, (n, failures) in enumerate(zip(minutes.invocations, minutes.failures, strict=True))
    ]


def _bar(ago: int, invocations: int, failures: int, most: int) -> Bar:
    height = max(100 * invocations / most, 1.5 if invocations else 0.0)
    failed = max(100 * failures / most, 1.5 if failures else 0.0)
    return Bar(ago, invocations, failures, round(100 - height, 1), round(height, 1), round(failed, 1))


def recent(values: Sequence[int], minutes: int = 5) -> float:
    """The mean of the last full minutes; of this one too while there is nothing else."""
    full = values[-minutes - 1 : -1]
    return sum(full) / len(full) if any(full) else float(values[-1])
