"""Sends the requests that functions left to be sent after their commit: each is an event, run as any other.

An answer of 2xx or 3xx settles it, another 4xx than 408, 425 and 429 buries it, everything else is tried again. An
answer that got lost is asked for again: the receiver tells the repetition by its idempotency key.
"""

import time
from collections.abc import Awaitable, Callable, Sequence

from aerofn.db.events import Lease
from aerofn.dispatch.contract import Deliveries, RecordSink
from aerofn.dispatch.invoker import Call, Completed
from aerofn.dispatch.recorded import record_of
from aerofn.dispatch.traced import traced
from aerofn.errors import FetchError, LeaseLost
from aerofn.model import GuestError, LogLine, Outcome, Run, Usage
from aerofn.tracing import Trace, Tracing

_PASSING = frozenset({408, 425, 429})
# What the next attempt will be refused as well.
_FINAL = frozenset({"invalid_request", "request_too_large", "egress_denied", "redirect_refused"})


class Sender:
    """Runs events of source `fetch`, as `Invoker` runs the others.

    Args:
        complete: settles events; raises LeaseLost.
        record: takes every attempt's record; must not raise or block.
        tracing: begins a span for each attempt, if they are traced.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        complete: Callable[[Sequence[Lease]], Awaitable[None]],
        record: RecordSink,
        tracing: Tracing | None = None,
    ) -> None:
        self._deliveries = deliveries
        self._complete = complete
        self._record = record
        self._tracing = tracing

    async def invoke(self, call: Call) -> Completed:
        """Send the request of `call` once, by the grants its function has now.

        Raises:
            AeroFnError: it could not be tried at all.
        """
        return await traced(self._tracing, call, self._invoke)

    async def _invoke(self, call: Call, trace: Trace | None) -> Completed:
        started = time.perf_counter()
        said, outcome, error = await self._send(call, trace)
        if outcome is Outcome.SUCCESS and call.leases:
            try:
                await self._complete(call.leases)
            except LeaseLost as lost:
                outcome, error = Outcome.CANCELLED, GuestError(lost.message)
        ended = (time.perf_counter() - started) * 1000
        run = Run(
            outcome, b"null" if error is None else None, error, Usage(ended, 0, None, len(call.payload), 0, 0)
        )
        line = LogLine("info", said, round(ended, 3))
        record = record_of(call, run, duration_ms=ended, logs=[line], trace=trace)
        self._record(record)
        return Completed(run, record)

    async def _send(self, call: Call, trace: Trace | None) -> tuple[str, Outcome, GuestError | None]:
        where = self._deliveries.described(call.payload)
        try:
            status = await self._deliveries.deliver(call.version, call.payload, trace)
        except FetchError as error:
            failed = GuestError(f"{where}: {error.message}", error.code, retry=error.code not in _FINAL)
            return f"{where}: {error.code}", Outcome.FUNCTION_ERROR, failed
        said = f"{where}: {status}"
        if status < 400:
            return said, Outcome.SUCCESS, None
        again = status >= 500 or status in _PASSING
        return (
            said,
            Outcome.FUNCTION_ERROR,
            GuestError(f"{where} answered {status}", "http_status", retry=again),
        )
