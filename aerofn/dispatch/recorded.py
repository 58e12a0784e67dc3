"""What is kept of an invocation, whether a sandbox ran it or a request was sent."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aerofn.errors import AeroFnError
from aerofn.model import GuestError, LogLine, Outcome, Record, Run
from aerofn.tracing import Trace, trace_of

if TYPE_CHECKING:
    from aerofn.dispatch.invoker import Call

_MIB = 1 << 20


def record_of(
    call: "Call",
    run: Run,
    *,
    duration_ms: float,
    logs: list[LogLine],
    queries: int = 0,
    failure: AeroFnError | None = None,
    trace: Trace | None = None,
) -> Record:
    """The record of an invocation that ends now; `failure` is AeroFn's own error if that was the cause."""
    peak, caller = run.usage.memory_peak, call.acts_as
    return Record(
        id=call.id,
        function=call.version.function,
        version=call.version.number,
        trigger=call.trigger,
        event_id=call.leases[0].event if call.leases else None,
        attempt=call.attempt,
        status=run.outcome,
        duration_ms=round(duration_ms, 3),
        cpu_ms=round(run.usage.cpu_ms, 3),
        memory_peak_mb=None if peak is None else round(peak / _MIB, 3),
        queries=queries,
        host_calls=run.usage.host_calls,
        bytes_in=run.usage.bytes_in,
        bytes_out=run.usage.bytes_out,
        user_id=caller.subject,
        role=caller.role,
        error=error_of(run, failure),
        logs=logs,
        timestamp=datetime.now(UTC),
        trace_id=trace_of(call.parents) if trace is None else trace.trace_id,
    )


def error_of(run: Run, failure: AeroFnError | None) -> dict[str, Any] | None:
    """An unsuccessful run's error, as records and events keep it."""
    if run.outcome is Outcome.SUCCESS:
        return None
    if failure is not None:
        return {k: v for k, v in failure.body().items() if v is not None}
    error = run.error or GuestError(str(run.outcome))
    code = error.code or str(run.outcome)
    fields = {"code": code, "name": error.name, "message": error.message, "stack": error.stack}
    return {k: v for k, v in fields.items() if v is not None}
