"""Counts and histograms by function that cost an invocation next to nothing.

prometheus_client's own take a lock and compare bucket by bucket: four of them were a twentieth of a small function's
way through a node. These are counted on one thread, the loop's, and made into the library's metric when they are read.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

INFINITY = float("inf")


class Counts(Collector):
    """One metric that counts.

    Args:
        labels: the first is `function`.
    """

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self._name = name
        self._text = text
        self._labels = labels
        self._series: dict[tuple[str, ...], list[int]] = {}

    def of(self, *values: str) -> Callable[[], None]:
        """What counts one more with these labels."""
        count = self._series.setdefault(values, [0])

        def one_more() -> None:
            count[0] += 1

        return one_more

    def keep(self, functions: set[str]) -> None:
        """Forget all other functions."""
        self._series = {values: count for values, count in self._series.items() if values[0] in functions}

    def collect(self) -> Iterable[Metric]:
        """The metric as it is now."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, count in list(self._series.items()):
            family.add_metric(values, count[0])
        yield family


class Histograms(Collector):
    """One metric, with the label `function`.

    Args:
        bounds: of the buckets, ascending; beyond the last one there is another.
    """

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._text = text
        self._bounds = (*bounds, INFINITY)
        self._series: dict[str, tuple[list[int], list[float]]] = {}  # the buckets' counts, the sum

    def of(self, function: str) -> Callable[[float], None]:
        """What counts a value of a function."""
        counts, total = self._series.setdefault(function, ([0] * len(self._bounds), [0.0]))
        bounds = self._bounds

        def observe(value: float) -> None:
            counts[bisect_left(bounds, value)] += 1
            total[0] += value

        return observe

    def keep(self, functions: set[str]) -> None:
        """Forget all other functions."""
        self._series = {name: series for name, series in self._series.items() if name in functions}

    def collect(self) -> Iterable[Metric]:
        """The metric as it is now."""
        family = HistogramMetricFamily(self._name, self._text, labels=["function"])
        names = [floatToGoString(bound) for bound in self._bounds]  # type: ignore[no-untyped-call]
        for function, (counts, total) in list(self._series.items()):
            buckets = list(zip(names, map(float, accumulate(counts)), strict=True))
            family.add_metric([function], buckets, sum_value=total[0])
        yield family
