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
    usage, caller = run.usage, call.acts_as
    peak = usage.memory_peak
    # In the record's own order: to find twenty fields by their names takes as long as all the rest here.
    return Record(
        call.id,
        call.version.function,
        call.version.number,
        call.trigger,
        call.leases[0].event if call.leases else None,
        call.attempt,
        run.outcome,
        _thousandths(duration_ms),
        _thousandths(usage.cpu_ms),
        None if peak is None else _thousandths(peak / _MIB),
        queries,
        usage.host_calls,
        usage.bytes_in,
        usage.bytes_out,
        caller.subject,
        caller.role,
        error_of(run, failure),
        logs,
        datetime.now(UTC),
        trace_of(call.parents) if trace is None else trace.trace_id,
    )


def _thousandths(value: float) -> float:
    """Rounded to three places, for a third of what `round` takes."""
    return int(value * 1000 + 0.5) / 1000


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
