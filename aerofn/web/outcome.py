"""How an invocation that did not succeed is told to its HTTP caller."""

from typing import Any

from aerofn.dispatch.invoker import Completed
from aerofn.errors import (
    AeroFnError,
    Cancelled,
    FunctionError,
    HostError,
    InvocationError,
    InvocationTimeout,
    MemoryLimitExceeded,
    Trap,
)
from aerofn.model import GuestError, Outcome

_KINDS: dict[Outcome, tuple[type[InvocationError], str | None]] = {
    Outcome.TRAP: (Trap, "the sandbox stopped it; the invocation's record says where"),
    Outcome.TIMEOUT: (InvocationTimeout, "deploy it with a larger timeout_ms, or do less at once"),
    Outcome.MEMORY_LIMIT: (MemoryLimitExceeded, "deploy it with a larger memory_mb, or hold less at once"),
    Outcome.CANCELLED: (Cancelled, "try again"),
}


def error_of(completed: Completed, *, with_stack: bool) -> AeroFnError:
    """The error of an unsuccessful invocation.

    Args:
        with_stack: whether the caller may see where in the function's source it happened.
    """
    if completed.failure is not None:
        return completed.failure
    outcome, error = completed.run.outcome, completed.run.error or GuestError(str(completed.run.outcome))
    if outcome is Outcome.FUNCTION_ERROR:
        return FunctionError(error.message, detail=_detail(error, with_stack))
    if outcome in _KINDS:
        kind, hint = _KINDS[outcome]
        return kind(error.message, hint=hint, code=error.code)
    return _host_error()


def error_of_event(kept: dict[str, Any], *, with_stack: bool) -> AeroFnError:
    """The error of an event that was given up, from the last of those that are kept with it."""
    error = GuestError(str(kept.get("message")), kept.get("name"), kept.get("stack"))
    code = str(kept.get("code"))
    if code == Outcome.FUNCTION_ERROR:
        return FunctionError(error.message, detail=_detail(error, with_stack))
    for outcome, (kind, hint) in _KINDS.items():
        if code == outcome:
            return kind(error.message, hint=hint)
    if code == Outcome.HOST_ERROR:
        return _host_error()
    return AeroFnError(error.message, detail=kept.get("detail"), hint=kept.get("hint"), code=code)


def _host_error() -> HostError:
    # What went wrong inside the service is for its log and the record, not for a client.
    return HostError(
        "the service failed while it ran the function", hint="try again; the record has the cause"
    )


def _detail(error: GuestError, with_stack: bool) -> str | None:
    parts = [error.name, error.stack if with_stack else None]
    return "\n".join(part for part in parts if part) or None
