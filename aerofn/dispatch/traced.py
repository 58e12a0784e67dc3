"""Spans of invocations, where they are traced: what is told of one when it begins, and how it ended."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aerofn.model import Outcome
from aerofn.tracing import Trace, Tracing

if TYPE_CHECKING:
    from aerofn.dispatch.invoker import Call, Completed

# Of a member's run in a shared transaction that did not count.
REPEATED = "repeated"


def traced(
    tracing: Tracing | None, call: "Call", invoke: "Callable[[Call, Trace | None], Awaitable[Completed]]"
) -> "Awaitable[Completed]":
    """`invoke`, in a span of its own if there is tracing."""
    return invoke(call, None) if tracing is None else _in_span(tracing, call, invoke)


async def _in_span(
    tracing: Tracing, call: "Call", invoke: "Callable[[Call, Trace | None], Awaitable[Completed]]"
) -> "Completed":
    trace, outcome = begun(tracing, call), Outcome.HOST_ERROR
    try:
        completed = await invoke(call, trace)
        outcome = completed.run.outcome
    except asyncio.CancelledError:
        outcome = Outcome.CANCELLED
        raise
    finally:
        ended(trace, outcome)
    return completed


def begun(tracing: Tracing, call: "Call") -> Trace:
    """The span of an invocation that begins."""
    return tracing.invocation(
        call.version.function,
        call.trigger,
        call.parents,
        faas__version=str(call.version.number),
        faas__invocation_id=call.id,
        aerofn__trigger=call.trigger,
        aerofn__role=call.acts_as.role,
        aerofn__attempt=call.attempt,
        aerofn__event_id=call.leases[0].event if call.leases else None,
        aerofn__events=len(call.leases) if len(call.leases) > 1 else None,
    )


def ended(trace: Trace, outcome: Outcome) -> None:
    """The invocation is settled."""
    trace.end(None if outcome is Outcome.SUCCESS else str(outcome), aerofn__outcome=str(outcome))
