"""Traces on their way out: what is said to a collector, and what is wrong with the environment."""

import http.server
import subprocess
import sys
import threading

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from aerofn import tracing
from aerofn.errors import SettingsError

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LONG = "a" * 3 + "=" + "x" * 200


class Collector(http.server.BaseHTTPRequestHandler):
    """Keeps what it is sent."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.path, self.headers["content-type"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector(monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.got = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()


def test_spans_reach_a_collector_by_the_environments_variables(collector, monkeypatch):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    traces = tracing.exporting()
    trace = traces.invocation("greet", "row", [], aerofn__event_id=7, aerofn__events=None)
    trace.request("GET", "api.example.com", 443).end("fetch_timeout")
    trace.end("trap", aerofn__outcome="trap")
    traces.close()
    ((path, kind, body),) = collector.got
    assert (path, kind) == ("/v1/traces", "application/x-protobuf")
    (told,) = ExportTraceServiceRequest.FromString(body).resource_spans
    about = {pair.key: pair.value.string_value for pair in told.resource.attributes}
    assert (about["service.name"], about["deployment.environment.name"]) == ("aerofn", "test")
    request, invocation = told.scope_spans[0].spans
    assert (invocation.name, request.parent_span_id) == ("invoke greet", invocation.span_id)
    attributes = {pair.key for pair in invocation.attributes}
    assert {"faas.name", "faas.trigger", "aerofn.event_id", "aerofn.outcome", "error.type"} == attributes


def test_the_operator_names_the_service(collector, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    traces = tracing.exporting()
    traces.invocation("greet", "http", []).end()
    traces.close()
    assert b"shop" in collector.got[0][2]


def test_another_protocol_is_refused(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(SettingsError) as refused:
        tracing.exporting()
    assert "'grpc'" in refused.value.message
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in refused.value.hint


def test_without_the_extra_it_says_what_to_install_and_the_rest_works():
    """In a process of its own, in which OpenTelemetry cannot be imported."""
    code = """
import sys
sys.modules["opentelemetry"] = None
import aerofn.app
from aerofn import tracing
try:
    tracing.exporting()
except Exception as error:
    print(type(error).__name__, error.message, error.hint)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert (
        said
        == "SettingsError AEROFN_TRACING is set, and OpenTelemetry is not installed pip install 'aerofn[otel]'\n"
    )


@pytest.mark.parametrize(("given", "kept"), [
    (PARENT, PARENT),
    (f" {PARENT}\t", PARENT),
    ("cc" + PARENT[2:] + "-what-is-to-come", PARENT),  # of a later version: what this one says
    ("cc" + PARENT[2:-2] + "ff", PARENT),
    ("ff" + PARENT[2:], None), (PARENT + "-more", None), (PARENT + "\n", None), (PARENT.upper(), None),
    (f"{PARENT}, {PARENT}", None), (PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32), None),
    (PARENT.replace("b7ad6b7169203331", "0" * 16), None), ("", None), (None, None),
])  # fmt: skip
def test_a_traceparent_is_read_as_w3c_says(given, kept):
    found = tracing.parent_of({"traceparent": given})
    assert (found and found.traceparent) == kept


@pytest.mark.parametrize(("given", "kept"), [
    ("rojo=1,congo=2", "rojo=1,congo=2"),
    (" rojo=1 ,\t, congo@vendor=a b", "rojo=1,congo@vendor=a b"),
    ("rojo=1,rojo=2", None), ("Rojo=1", None), ("rojo", None), ("rojo=", None), ("rojo=a=b", None),
    ("rojo=\u00e9", None), ("rojo=\x1b[31m", None), ("", None), (",".join(f"k{n}=1" for n in range(33)), None),
    (f"a1=1,{LONG},b=2,c={'y' * 120},d={'y' * 120},e={'y' * 120},f={'y' * 120}",
     f"a1=1,b=2,c={'y' * 120},d={'y' * 120},e={'y' * 120},f={'y' * 120}"),  # what is long goes first
    (",".join(f"k{n}={'y' * 120}" for n in range(6)), ",".join(f"k{n}={'y' * 120}" for n in range(4))),  # then the last
])  # fmt: skip
def test_a_tracestate_is_read_as_w3c_says(given, kept):
    assert tracing.parent_of({"traceparent": PARENT, "tracestate": given}).tracestate == kept
    assert tracing.parent_of({"tracestate": given}) is None
