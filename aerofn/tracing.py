"""Traces by OpenTelemetry, where the operator asks for them (AEROFN_TRACING, extra `otel`): each invocation is a span.

W3C Trace Context (`traceparent`, `tracestate`) comes in with a request or from the writer's transaction, is kept with
the event, and goes out with functions' own requests. No text of a function's is ever an attribute, not even its error:
there may be a secret in it.
"""

import os
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aerofn import __version__
from aerofn.errors import SettingsError
from aerofn.model import Parent

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

HEADERS = _PARENT, _STATE = "traceparent", "tracestate"
_TRACEPARENT = re.compile(
    "(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_KEY = r"[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}"
# Printable ASCII without comma and equals sign, no space at the end.
_MEMBER = re.compile(rf"(?:{_KEY})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
_MOST_MEMBERS, _LONG_MEMBER, _MOST_STATE = 32, 128, 512
# https://opentelemetry.io/docs/specs/semconv/registry/attributes/faas/
_STARTED_BY = {"http": "http", "webhook": "http", "row": "datasource", "schedule": "timer"}
_PROTOCOL = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_OURS = "http/protobuf"


def parent_of(headers: Mapping[str, str | None]) -> Parent | None:
    """What headers, or columns of the same names, say of the cause; None if nothing, or nothing that is well-formed.

    A malformed `tracestate` is left out, one of more than 512 characters loses what is long, then what is last.
    """
    traceparent, state = headers.get(_PARENT), headers.get(_STATE)
    found = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent.strip(" \t"))
    if found is None:
        return None
    version, ids, flags, more = found.groups()
    if version != "00":  # of days to come: what this one says is in it too
        flags = f"{int(flags, 16) & 1:02x}"
    elif more is not None:
        return None
    return Parent(f"00-{ids}-{flags}", _fitting(state) if state else None)


def columns_of(parent: Parent | None) -> tuple[str | None, str | None]:
    """The two columns, or arguments, that `parent_of` reads again."""
    return (None, None) if parent is None else (parent.traceparent, parent.tracestate)


def trace_of(parents: Sequence[Parent]) -> str | None:
    """The trace that all of them belong to; None if there is none, or more than one."""
    traces = {parent.trace_id for parent in parents} if parents else None
    return traces.pop() if traces and len(traces) == 1 else None


def _fitting(state: str) -> str | None:
    members = [member for member in (one.strip(" \t") for one in state.split(",")) if member]
    different = {member.partition("=")[0] for member in members}
    if not 0 < len(members) == len(different) <= _MOST_MEMBERS or not all(map(_MEMBER.fullmatch, members)):
        return None
    for least in (_LONG_MEMBER, 0):
        for member in reversed(members.copy()):
            if sum(map(len, members)) + len(members) - 1 > _MOST_STATE and len(member) > least:
                members.remove(member)
    return ",".join(members)


class Trace:
    """A span under way: of an invocation, or of a request within it."""

    __slots__ = ("_span", "_tracing")

    def __init__(self, tracing: "Tracing", span: Any) -> None:
        self._tracing = tracing
        self._span = span

    @property
    def parent(self) -> Parent:
        """What makes others' spans children of this one."""
        context = self._span.get_span_context()
        traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        return Parent(traceparent, context.trace_state.to_header() or None)

    @property
    def trace_id(self) -> str:
        """The trace it belongs to."""
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def headers(self) -> dict[str, str]:
        """What the receiver of a request is told."""
        return {name: value for name, value in zip(HEADERS, columns_of(self.parent), strict=True) if value}

    def request(self, method: str, host: str, port: int) -> "Trace":
        """A request to `host` begins; its path and query may hold secrets and are not told."""
        return self._tracing.request(self._span, method, host, port)

    def end(self, error: str | None = None, **attributes: str | int) -> None:
        """It has ended; `error` is a code of AeroFn's, if it did not succeed.

        Args:
            attributes: dots of their names written as double underscores.
        """
        span = self._span
        if span.is_recording():
            span.set_attributes({name.replace("__", "."): value for name, value in attributes.items()})
            if error is not None:
                span.set_attribute("error.type", error)
                span.set_status(self._tracing.failed)
        span.end()


class Tracing:
    """Begins the spans of a node.

    Args:
        provider: where they go, and which are sampled.
    """

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.context import Context  # noqa: PLC0415  an extra
        from opentelemetry.trace import Link, SpanKind, Status, StatusCode, get_current_span  # noqa: PLC0415
        from opentelemetry.trace import set_span_in_context as inside  # noqa: PLC0415
        from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415

        self._provider = provider
        self._tracer = provider.get_tracer("aerofn", __version__)
        self._propagator = tracecontext.TraceContextTextMapPropagator()
        self._nothing = Context()
        self._link, self._kind, self._inside, self._span_of = Link, SpanKind, inside, get_current_span
        self.failed = Status(StatusCode.ERROR)

    def invocation(
        self, function: str, started_by: str, parents: Sequence[Parent], **attributes: Any
    ) -> Trace:
        """An invocation begins, as the child of the span that caused it, if that is known.

        Args:
            parents: more than one, of a batch's events, become links.
            attributes: dots of their names written as double underscores; None is left out.
        """
        contexts = [self._context(parent) for parent in parents]
        alone = len(contexts) == 1
        links = () if alone else [self._link(self._span_of(one).get_span_context()) for one in contexts]
        told = {name.replace("__", "."): value for name, value in attributes.items() if value is not None}
        span = self._tracer.start_span(
            f"invoke {function}",
            context=contexts[0] if alone else self._nothing,
            kind=self._kind.SERVER if started_by == "http" else self._kind.CONSUMER,
            attributes={"faas.name": function, "faas.trigger": _STARTED_BY.get(started_by, "other"), **told},
            links=[link for link in links if link.context.is_valid],
        )
        return Trace(self, span)

    def request(self, parent: Any, method: str, host: str, port: int) -> Trace:
        """A request of the invocation `parent` begins."""
        return Trace(
            self,
            self._tracer.start_span(
                method,
                context=self._inside(parent, self._nothing),
                kind=self._kind.CLIENT,
                attributes={"http.request.method": method, "server.address": host, "server.port": port},
            ),
        )

    def _context(self, parent: Parent) -> Any:
        told = {_PARENT: parent.traceparent, _STATE: parent.tracestate or ""}
        return self._propagator.extract(told, self._nothing)

    def close(self) -> None:
        """Send what waits, within the exporter's own time limit; blocks."""
        self._provider.shutdown()


def exporting() -> Tracing:
    """Traces to where the variables OTEL_* say, by OTLP over HTTP.

    Raises:
        SettingsError: the extra `otel` is not installed, or another protocol is asked for.
    """
    protocol = next((os.environ[name] for name in _PROTOCOL if os.environ.get(name)), _OURS)
    if protocol != _OURS:
        raise SettingsError(
            f"traces cannot be sent by the OTLP protocol {protocol!r}",
            hint=f"set {_PROTOCOL[1]}={_OURS}, or leave it out, and OTEL_EXPORTER_OTLP_ENDPOINT likewise",
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(
            "AEROFN_TRACING is set, and OpenTelemetry is not installed",
            detail=str(error),
            hint="pip install 'aerofn[otel]'",
        ) from None
    about = {"service.version": __version__, "service.instance.id": str(uuid.uuid4())}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        about["service.name"] = "aerofn"
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)
