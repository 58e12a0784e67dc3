"""The metrics of all workers in one answer: whichever of them is asked, it asks the others.

Workers share a port, so a scraper cannot choose one; and counters that are another process's each time make no sense.
Each serves its own metrics on a socket in a directory that only this user may enter; the answer has all of them,
told apart by the label `worker`, and the gauge `aerofn_worker_up`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from prometheus_client import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

_WAIT_S = 1.0
Exposition = tuple[bytes, str]


class Place(NamedTuple):
    """One of `number` workers, whose sockets are in `directory`."""

    directory: Path
    worker: int
    number: int


class Siblings:
    """A worker among others.

    Args:
        own: this worker's metrics and their content type.
    """

    def __init__(self, place: Place, own: Callable[[], Exposition]) -> None:
        self._place = place
        self._own = own

    async def serve(self) -> None:
        """Answer the others, until cancelled."""
        socket = self._socket(self._place.worker)
        socket.unlink(missing_ok=True)  # of the one before, if that was killed
        async with await asyncio.start_unix_server(self._answer, socket) as server:
            await server.serve_forever()

    async def exposition(self) -> Exposition:
        """The metrics of all workers; one that does not answer at once is down."""
        workers = range(1, self._place.number + 1)
        texts = await asyncio.gather(*(self._text(worker) for worker in workers))
        return generate_latest(_All(dict(zip(workers, texts, strict=True)))), self._own()[1]

    async def _text(self, worker: int) -> str | None:
        if worker == self._place.worker:
            return self._own()[0].decode()
        try:
            async with asyncio.timeout(_WAIT_S):
                reader, writer = await asyncio.open_unix_connection(self._socket(worker))
                with contextlib.closing(writer):
                    return (await reader.read()).decode() or None
        except (OSError, TimeoutError):
            return None

    async def _answer(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            writer.write(self._own()[0])
            await writer.drain()

    def _socket(self, worker: int) -> Path:
        return self._place.directory / f"{worker}.metrics"


class _All:
    """A collector of what the workers said; None of one that said nothing."""

    def __init__(self, texts: dict[int, str | None]) -> None:
        self._texts = texts

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("aerofn_worker_up", "Whether the worker answers.", labels=["worker"])
        families: dict[str, Metric] = {}
        for worker, text in self._texts.items():
            up.add_metric([str(worker)], float(text is not None))
            for family in text_string_to_metric_families(text or ""):
                merged = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = {**sample.labels, "worker": str(worker)}
                    merged.samples.append(sample._replace(labels=labels))
        return [up, *families.values()]
