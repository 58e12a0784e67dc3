"""Log lines, records and metrics: what is in them, and that nobody waits for their reader."""

import asyncio
import contextlib
import io
import json
import logging
import os
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import structlog
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from aerofn.app.siblings import Place, Siblings
from aerofn.histograms import Histograms
from aerofn.model import LogLine, Outcome, Record, Status
from aerofn.observe import Metrics, RecordLines, configure_logging

RECORD = Record(
    id="r1", function="greet", version=3, trigger="http", event_id=None, attempt=1, status=Outcome.SUCCESS,
    duration_ms=12.5, cpu_ms=3.0, memory_peak_mb=2.0, queries=1, host_calls=2, bytes_in=3, bytes_out=4,
    user_id="u", role="anon", error=None, logs=[LogLine("info", "größe\n", 0.5)],
    timestamp=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)  # fmt: skip


def changed(**fields: Any) -> Record:
    return msgspec.structs.replace(RECORD, **fields)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def logged():
    """Configures logging for one test; gives what was written."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    yield configure_logging
    root.handlers[:], root.level = before
    structlog.reset_defaults()


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(end)


def test_log_lines_are_json_with_level_logger_and_time(logged):
    out = io.StringIO()
    logged("info", out)
    structlog.get_logger("aerofn.x").warning("lease lost", event_id=7, where=object)
    logging.getLogger("uvicorn").info("started on %s", 8787, extra={"pid": 1, "color_message": "\x1b[1m"})
    structlog.get_logger("aerofn.x").debug("not wanted")
    ours, theirs = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (ours["event"], ours["level"], ours["logger"], ours["event_id"]) == (
        "lease lost",
        "warning",
        "aerofn.x",
        7,
    )
    assert datetime.fromisoformat(ours["timestamp"]).tzinfo is UTC
    assert (theirs["event"], theirs["logger"], theirs["pid"]) == ("started on 8787", "uvicorn", 1)
    assert "color_message" not in theirs


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_traceback_does_not_give_away_local_variables(logged, stream):
    out = stream()
    logged("info", out)
    key = "se" + "cret" * 5
    try:
        raise ValueError("wrong key")
    except ValueError:
        structlog.get_logger("aerofn.x").exception("failed", length=len(key))
    assert "ValueError: wrong key" in out.getvalue()
    assert key not in out.getvalue()


def test_at_a_terminal_people_read_it(logged):
    out = Terminal()
    logged("debug", out)
    structlog.get_logger("aerofn.x").debug("lease lost")
    assert "lease lost" in out.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(out.getvalue())


def test_a_record_is_one_line_of_json(pipe):
    reader, writer = pipe
    lines = RecordLines(writer)
    lines.write(RECORD)
    lines.write(changed(id="r2", status=Outcome.TRAP, memory_peak_mb=None))
    lines.close()
    first, second = [json.loads(line) for line in os.read(reader, 10_000).splitlines()]
    assert list(first) == list(Record.__struct_fields__)
    assert (first["status"], first["timestamp"], first["logs"][0]["message"]) == (
        "success", "2026-01-02T03:04:05Z", "größe\n",
    )  # fmt: skip
    assert (second["id"], second["status"], second["memory_peak_mb"]) == ("r2", "trap", None)


def test_a_reader_that_does_not_read_costs_records_and_no_time(pipe):
    reader, writer = pipe
    lines = RecordLines(writer, waiting=5)
    big = changed(logs=[LogLine("info", "x" * 100_000, 0.0)])
    for _ in range(2_000):
        lines.write(big)
    assert 0 < lines.dropped < 2_000
    os.close(reader)
    lines.close()
    assert not lines._thread.is_alive()


def test_a_reader_that_has_gone_is_survived(pipe, logged):
    reader, writer = pipe
    out = io.StringIO()
    logged("info", out)
    os.close(reader)
    lines = RecordLines(writer)
    lines.write(RECORD)
    lines.close()
    lines.write(RECORD)
    assert lines.dropped == 1
    assert json.loads(out.getvalue())["event"] == "records are no longer written"


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """As a scraper reads it."""
    for family in text_string_to_metric_families(metrics.exposition()[0].decode()):
        for sample in family.samples:
            if (sample.name, sample.labels) == (name, labels):
                return sample.value
    return None


def test_an_invocation_is_counted_timed_and_weighed():
    metrics = Metrics()
    metrics.invocation(RECORD)
    metrics.invocation(changed(duration_ms=0.2, memory_peak_mb=None))
    metrics.invocation(changed(status=Outcome.TIMEOUT, trigger="row"))
    assert value(metrics, "aerofn_invocations_total", function="greet", trigger="http", status="success") == 2
    assert value(metrics, "aerofn_invocations_total", function="greet", trigger="row", status="timeout") == 1
    assert value(metrics, "aerofn_invocation_duration_seconds_sum", function="greet") == pytest.approx(0.0252)
    assert value(metrics, "aerofn_invocation_duration_seconds_bucket", function="greet", le="0.0005") == 1
    assert value(metrics, "aerofn_invocation_memory_bytes_count", function="greet") == 2
    assert value(metrics, "aerofn_invocation_memory_bytes_sum", function="greet") == 2 * 2 * 1024 * 1024


def test_many_invocations_are_each_counted_once():
    metrics = Metrics()
    for ended in range(1, 200):
        metrics.invocation(RECORD)
        if ended in (1, 64, 100, 199):
            counted = value(
                metrics, "aerofn_invocations_total", function="greet", trigger="http", status="success"
            )
            assert counted == ended


def test_histograms_are_told_as_the_library_tells_its_own():
    bounds, values = (0.0005, 0.25, 1, 1048576), (0.0, 0.0005, 0.0006, 0.25, 1, 1.5, 1048576, 2e9)
    ours, theirs = Histograms("x_seconds", "Time.", bounds), CollectorRegistry()
    library = Histogram("x_seconds", "Time.", ["function"], buckets=bounds, registry=theirs)
    for function in ("one", 'the "other"'):
        observe = ours.of(function)
        for value in values:
            observe(value)
            library.labels(function).observe(value)
    assert generate_latest(ours) == generate_latest(theirs)


def test_queues_pools_and_delays():
    metrics = Metrics()
    in_use = [3]
    metrics.events("dead", 2)
    metrics.pool_in_use("anon", lambda: in_use[0], 10)
    metrics.event_delay("greet", 0.5)
    metrics.event_delay("greet", -0.1)
    assert value(metrics, "aerofn_events", state="dead") == 2
    assert value(metrics, "aerofn_pool_connections_in_use", pool="anon") == 3
    in_use[0] = 4
    assert value(metrics, "aerofn_pool_connections_in_use", pool="anon") == 4
    assert value(metrics, "aerofn_event_queue_delay_seconds_count", function="greet") == 2
    assert value(metrics, "aerofn_event_queue_delay_seconds_sum", function="greet") == 0.5


def test_a_dropped_function_leaves_no_series():
    metrics = Metrics()
    metrics.invocation(RECORD)
    metrics.invocation(changed(function="other"))
    metrics.fetch("greet", "answered")
    metrics.event_delay("greet", 1)
    metrics.keep({"other", "never seen"})
    text, kind = metrics.exposition()
    assert b'function="greet"' not in text
    assert b'function="other"' in text
    assert kind.startswith("text/plain; version=0.0.4")
    metrics.invocation(RECORD)
    assert value(metrics, "aerofn_invocations_total", function="greet", trigger="http", status="success") == 1


async def test_the_lag_of_a_loop_that_is_held_up_is_seen():
    metrics = Metrics()
    clock = asyncio.get_running_loop().time
    watch = asyncio.create_task(metrics.watch_loop(every_s=0.001))
    await asyncio.sleep(0)
    until = clock() + 0.03
    while clock() < until:
        pass
    while not value(metrics, "aerofn_event_loop_lag_seconds"):
        await asyncio.sleep(0)
    watch.cancel()
    assert value(metrics, "aerofn_event_loop_lag_seconds") > 0.01


def families(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_what_prometheus_is_told_is_well_formed():
    metrics = Metrics()
    metrics.invocation(RECORD)
    metrics.event_delay("greet", 1)
    metrics.fetch("greet", "answered")
    metrics.events("pending", 1)
    metrics.pool_in_use("anon", lambda: 1, 10)
    metrics.records_dropped("table", lambda: 3)
    told = families(metrics.exposition()[0].decode())
    ours = {name: family for name, family in told.items() if name.startswith("aerofn_")}
    assert set(ours) == {
        "aerofn_invocations", "aerofn_invocation_duration_seconds", "aerofn_invocation_memory_bytes",
        "aerofn_event_queue_delay_seconds", "aerofn_fetches", "aerofn_events", "aerofn_pool_connections_in_use",
        "aerofn_pool_connections_limit", "aerofn_event_loop_lag_seconds", "aerofn_records_dropped", "aerofn_build_info",
    }  # fmt: skip
    assert {"process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds"} <= set(told)
    for name, family in ours.items():
        assert family.documentation.endswith("."), name
        assert re.fullmatch(r"[a-z_]+", name), name
        assert not name.endswith(("_ms", "_milliseconds", "_mb", "_kb")), name
        samples = {sample.name for sample in family.samples}
        assert family.type != "counter" or samples == {f"{name}_total"}, name
        assert family.type != "histogram" or name.endswith(("_seconds", "_bytes")), name
        labels = {label for sample in family.samples for label in sample.labels}
        assert labels <= {
            "function",
            "trigger",
            "status",
            "outcome",
            "state",
            "pool",
            "sink",
            "version",
            "le",
        }, name
    assert told["aerofn_records_dropped"].samples[0].value == 3


async def test_workers_tell_of_each_other(tmp_path):
    workers = {}
    for number in (1, 2, 3):
        metrics = Metrics()
        for _ in range(number):
            metrics.invocation(RECORD)
        workers[number] = Siblings(Place(tmp_path, number, 4), metrics.exposition)
    (tmp_path / "2.metrics").touch()  # what a killed one left
    serving = [asyncio.create_task(worker.serve()) for worker in workers.values()]
    async with asyncio.timeout(30):
        while not all((tmp_path / f"{n}.metrics").is_socket() for n in workers):
            await asyncio.sleep(0.001)
    answers = [await worker.exposition() for worker in workers.values()]
    serving[2].cancel()
    await asyncio.gather(serving[2], return_exceptions=True)
    answers.append(await workers[1].exposition())
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
    for place, (text, kind) in enumerate(answers):
        told = families(text.decode())
        counted = {sample.labels["worker"]: sample.value for sample in told["aerofn_invocations"].samples}
        up = {sample.labels["worker"]: sample.value for sample in told["aerofn_worker_up"].samples}
        alive = 3 if place < 3 else 2
        assert counted == {str(n): n for n in range(1, alive + 1)}
        assert up == {str(n): float(n <= alive) for n in range(1, 5)}
        assert kind.startswith("text/plain; version=0.0.4")


def test_records_are_asked_for_by_each_outcome_or_all_that_failed():
    assert list(Status) == ["failed", *Outcome]  # a typed enum cannot be extended
