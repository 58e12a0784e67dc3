"""What the service says about itself: log lines, invocation records and metrics.

Log lines go to standard error: JSON in production, for people at a terminal. Records go to standard
output, one JSON line for each invocation. Metrics are Prometheus', in a registry of their own.
"""

import asyncio
import contextlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO, TypeVar

import msgspec
import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from aerofn import __version__
from aerofn.histograms import Counts, Histograms
from aerofn.model import Record
from aerofn.unseen import named

MIB = 1024 * 1024
_AT_ONCE, _PAUSE_S = 1024, 0.05  # lines in a write, and between two of them
_COUNTED_TOGETHER = 64
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody reads
# An invocation takes from a tenth of a millisecond to minutes.
DURATION_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 300)
MEMORY_BUCKETS = tuple(n * MIB for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096))
DELAY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 3600)

Kind = TypeVar("Kind", Counter, Gauge)
Series = tuple[str, str, str]  # of invocations: function, trigger, status


def configure_logging(level: str = "info", stream: TextIO | None = None) -> None:
    """Send log lines of at least `level`, structlog's and the standard library's, to `stream` (stderr)."""
    stream = stream or sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _uncoloured,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(stream.isatty())]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=render))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    wrap = structlog.stdlib.ProcessorFormatter.wrap_for_formatter
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, wrap],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _rendering(for_people: bool) -> list[structlog.typing.Processor]:
    # Tracebacks without the values of local variables (structlog's default): those hold tokens and payloads.
    if for_people:
        return [
            structlog.processors.format_exc_info,
            _seen,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]


def _uncoloured(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Without the second message, of escape sequences, that uvicorn's lines bring."""
    event.pop("color_message", None)
    return event


def _seen(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What an error quotes of a user's text does nothing to the terminal."""
    return {key: named(value) if isinstance(value, str) else value for key, value in event.items()}


def _json(value: Any, **_: Any) -> str:
    return msgspec.json.encode(value, enc_hook=repr).decode()


class RecordLines:
    """Writes records as JSON lines to a file descriptor, standard output's, from a thread of its own.

    A reader that is slow or gone never holds up an invocation: at most `waiting` records wait for it, further
    ones are dropped and counted in `dropped`. All that wait go out in one write, `_PAUSE_S` after the last one at the
    earliest: a thread that is woken for each record takes the interpreter from the loop each time.
    """

    def __init__(self, fd: int = 1, *, waiting: int = 10_000) -> None:
        self.dropped = 0
        self._fd = fd
        self._waiting = waiting
        self._queue: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._broken = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aerofn-records", daemon=True)
        self._thread.start()

    def write(self, record: Record) -> None:
        """Hand over one record; returns at once."""
        if self._broken or self._queue.qsize() >= self._waiting:
            self.dropped += 1
        else:
            self._queue.put(record)

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, for at most `timeout_s` seconds, and end."""
        self._queue.put(None)
        self._closing.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        encoder = msgspec.json.Encoder()
        more = True
        while more:
            records, more = self._take()
            if not self._broken:
                self._put_out(b"".join(encoder.encode(record) + b"\n" for record in records))
            self._closing.wait(_PAUSE_S)

    def _take(self) -> tuple[list[Record], bool]:
        taken = [self._queue.get()]
        with contextlib.suppress(queue.Empty):
            while taken[-1] is not None and len(taken) < _AT_ONCE:
                taken.append(self._queue.get_nowait())
        return [record for record in taken if record is not None], taken[-1] is not None

    def _put_out(self, lines: bytes) -> None:
        try:
            while lines:
                lines = lines[os.write(self._fd, lines) :]
        except OSError as error:
            # The reader has gone. That is no reason to stop serving; one line says so.
            self._broken = True
            structlog.get_logger(__name__).warning("records are no longer written", error=str(error))


class Metrics:
    """The service's metrics. What an invocation touches is looked up once for each function and kept."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._dropped: dict[str, Callable[[], int]] = {}
        self._registry.register(_Dropped(self._dropped))
        version = self._metric(Gauge, "build_info", "Which AeroFn runs; always 1.", ["version"])
        version.labels(__version__).set(1)
        self._invocations = Counts(
            "aerofn_invocations", "Invocations that have ended.", ["function", "trigger", "status"]
        )
        self._registry.register(self._invocations)
        self._durations = self._histograms("invocation_duration_seconds", "Time it took.", DURATION_BUCKETS)
        self._memory = self._histograms("invocation_memory_bytes", "Peak of its memory.", MEMORY_BUCKETS)
        self._delays = self._histograms("event_queue_delay_seconds", "From due to started.", DELAY_BUCKETS)
        self._fetches = self._metric(
            Counter, "fetches_total", "HTTP requests of functions that have ended.", ["function", "outcome"]
        )
        self._events = self._metric(Gauge, "events", "Events now.", ["state"])
        self._pool = self._metric(Gauge, "pool_connections_in_use", "Database connections in use.", ["pool"])
        self._limit = self._metric(
            Gauge, "pool_connections_limit", "Database connections there may be.", ["pool"]
        )
        self._lag = self._metric(Gauge, "event_loop_lag_seconds", "How late the event loop runs.")
        self._kept: dict[Series, Callable[[float, float | None], None]] = {}
        self._ended: list[tuple[Series, float, float | None]] = []  # that are not counted yet
        self._observing: dict[str, Callable[[float], None]] = {}
        self._seen: set[str] = set()

    def _metric(self, kind: type[Kind], name: str, text: str, labels: Sequence[str] = ()) -> Kind:
        return kind(f"aerofn_{name}", text, labels, registry=self._registry)

    def _histograms(self, name: str, text: str, bounds: Sequence[float]) -> Histograms:
        histograms = Histograms(f"aerofn_{name}", text, bounds)
        self._registry.register(histograms)
        return histograms

    def invocation(self, record: Record) -> None:
        """Count an invocation that has ended: soon, for many in one go take half as long."""
        series = record.function, record.trigger, record.status
        self._ended.append((series, record.duration_ms, record.memory_peak_mb))  # its log may be long
        if len(self._ended) >= _COUNTED_TOGETHER:
            self._count()

    def _count(self) -> None:
        ended, self._ended = self._ended, []
        for series, duration_ms, memory_peak_mb in ended:
            count = self._kept.get(series)
            if count is None:
                count = self._kept[series] = self._counting(*series)
            count(duration_ms, memory_peak_mb)

    def _counting(self, function: str, trigger: str, status: str) -> Callable[[float, float | None], None]:
        one_more = self._invocations.of(function, trigger, status)
        duration, memory = self._durations.of(function), self._memory.of(function)

        def count(duration_ms: float, memory_peak_mb: float | None) -> None:
            one_more()
            duration(duration_ms / 1000)
            if memory_peak_mb is not None:
                memory(memory_peak_mb * MIB)

        return count

    def event_delay(self, function: str, seconds: float) -> None:
        """An event was started `seconds` after it was due."""
        observe = self._observing.get(function)
        if observe is None:
            observe = self._observing[function] = self._delays.of(function)
        observe(max(0.0, seconds))

    def fetch(self, function: str, outcome: str) -> None:
        """Count an HTTP request of a function: `answered`, `kept`, or the error's code."""
        self._seen.add(function)
        self._fetches.labels(function, outcome).inc()

    def events(self, state: str, number: int) -> None:
        """How many events are `pending`, `running` or `dead` now."""
        self._events.labels(state).set(number)

    def pool_in_use(self, pool: str, in_use: Callable[[], float], limit: int) -> None:
        """Ask `in_use` for the connections of `pool` in use whenever the metrics are read."""
        self._pool.labels(pool).set_function(in_use)
        self._limit.labels(pool).set(limit)

    def records_dropped(self, sink: str, dropped: Callable[[], int]) -> None:
        """Ask `dropped` for the records that found no room on their way to `sink`, likewise."""
        self._dropped[sink] = dropped

    async def watch_loop(self, every_s: float = 0.5) -> None:
        """Measure the lag of the running event loop until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + every_s
            await asyncio.sleep(every_s)
            self._lag.set(max(0.0, clock() - due))

    def keep(self, functions: set[str]) -> None:
        """Drop the series of all other functions: they no longer exist."""
        self._count()
        self._kept = {key: count for key, count in self._kept.items() if key[0] in functions}
        self._observing = {key: observe for key, observe in self._observing.items() if key in functions}
        for gone in self._seen - functions:
            self._fetches.remove_by_labels({"function": gone})
        for series in (self._invocations, self._durations, self._memory, self._delays):
            series.keep(functions)
        self._seen &= functions

    def exposition(self) -> tuple[bytes, str]:
        """The text for `GET /metrics` and its content type."""
        self._count()
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4


class _Dropped(Collector):
    """Counters that others keep."""

    def __init__(self, dropped: dict[str, Callable[[], int]]) -> None:
        self._dropped = dropped

    def collect(self) -> Iterable[Metric]:
        text = "Invocation records that found no room."
        family = CounterMetricFamily("aerofn_records_dropped", text, labels=["sink"])
        for sink, dropped in self._dropped.items():
            family.add_metric([sink], dropped())
        yield family
