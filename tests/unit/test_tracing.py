"""Traces on their way out: what is said to a collector, and what is wrong with the environment."""

import http.server
import subprocess
import sys
import threading

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from aerofn import tracing
from aerofn.errors import SettingsError


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
