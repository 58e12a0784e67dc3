"""The one code path of every invocation: run the version in a sandbox, settle its effects, write the record."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from aerofn.db.events import Lease
from aerofn.db.results import Kept, Taken
from aerofn.dispatch.contract import Hosts, RecordSink, Registry, Sandbox
from aerofn.errors import AeroFnError, DatabaseUnavailable, HostError, LeaseLost, QueryError
from aerofn.model import Caller, GuestError, Outcome, Record, Run, Usage, Version, random_id

log = structlog.get_logger(__name__)
_LEAST_COMMIT_S = 1.0
_NOTHING_USED = Usage(0, 0, None, 0, 0, 0)
Complete = Callable[[Lease], Awaitable[None]]
Keep = Callable[[Lease | None, Kept], Awaitable[None]]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What to invoke. `payload` is the event's JSON; `lease` is there when an event asked for it, and `taken` when
    a request did that must not run twice.

    `trigger` is `http`, `row`, `schedule`, `webhook` or `invoke`; `depth` counts the functions behind it.
    """

    version: Version
    caller: Caller
    payload: bytes
    trigger: str
    lease: Lease | None = None
    taken: Taken | None = None
    attempt: int = 1
    depth: int = 0
    id: str = msgspec.field(default_factory=random_id)


class Completed(msgspec.Struct, frozen=True):
    """An invocation that has ended: its run, its record, and AeroFn's own error if that was the cause."""

    run: Run
    record: Record
    failure: AeroFnError | None = None


class Invoker:
    """Invokes versions.

    Args:
        complete: settles an event whose function opened no transaction; raises LeaseLost.
        keep: keeps the result of a function that opened none, and settles its event if there is one; the same.
        record: takes every invocation's record; must not raise or block.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        registry: Registry,
        hosts: Hosts,
        *,
        complete: Complete,
        keep: Keep,
        record: RecordSink,
    ) -> None:
        self._sandbox = sandbox
        self._registry = registry
        self._hosts = hosts
        self._complete = complete
        self._keep = keep
        self._record = record

    async def invoke(self, call: Call) -> Completed:
        """Run `call` to its end. What the function does wrong is in the result, never raised.

        Raises:
            AeroFnError: it could not be started at all (no component, role not exposed).
            asyncio.CancelledError: cancelled; the function was stopped and its effects undone.
        """
        started = time.perf_counter()
        version = call.version
        caller = call.caller if version.run_as is None else Caller(version.run_as, call.caller.claims)
        component = await self._sandbox.load(version.digest, lambda: self._registry.component(version.digest))
        host = await self._hosts.host(version, caller, call.depth)
        run = Run(Outcome.CANCELLED, None, GuestError("cancelled"), _NOTHING_USED)
        try:
            run = await self._sandbox.run(component, call.payload, host, version.limits)
            if run.outcome is Outcome.FUNCTION_ERROR:
                await host.rollback()
            elif run.outcome is Outcome.SUCCESS:
                run = await self._settle(call, run, host, started)
            run = host.redacted(run)
        finally:
            host.abandon()  # does nothing once settled
            record = _record(call, caller, run, host, (time.perf_counter() - started) * 1000)
            self._record(record)
        return Completed(run, record, host.failure)

    async def _settle(self, call: Call, run: Run, host: Any, started: float) -> Run:
        """Commit what a success wrote; the run as it then is."""
        kept = _kept(call, run)
        if kept is None and call.lease is None and not host.wrote:
            return run
        left = call.version.limits.timeout_ms / 1000 - (time.perf_counter() - started)
        try:
            async with asyncio.timeout(max(left, _LEAST_COMMIT_S)):
                if host.wrote:
                    await host.commit(call.lease, kept)
                elif kept is not None:
                    await self._keep(call.lease, kept)
                elif call.lease is not None:
                    await self._complete(call.lease)
        except TimeoutError:
            return _failed(run, Outcome.TIMEOUT, "the commit did not end within the time limit")
        except QueryError as error:
            return _failed(run, Outcome.FUNCTION_ERROR, error.message, "PgError")
        except LeaseLost as error:
            return _failed(run, Outcome.CANCELLED, error.message)
        except (DatabaseUnavailable, HostError) as error:
            host.failure = error
            return _failed(run, Outcome.HOST_ERROR, error.message)
        return run


def _kept(call: Call, run: Run) -> Kept | None:
    """What is kept of the run for whoever sent the request."""
    if call.taken is not None:
        return Kept(run.output or b"", call.id, call.taken.id, call.taken.token)
    if call.lease is not None and call.trigger == "http":
        return Kept(run.output or b"", call.id)
    return None


def _failed(run: Run, outcome: Outcome, message: str, name: str | None = None) -> Run:
    return Run(outcome, None, GuestError(message, name), run.usage)


def error_of(run: Run, failure: AeroFnError | None) -> dict[str, Any] | None:
    """An unsuccessful run's error, as records and events keep it."""
    if run.outcome is Outcome.SUCCESS:
        return None
    if failure is not None:
        return {k: v for k, v in failure.body().items() if v is not None}
    error = run.error or GuestError(str(run.outcome))
    fields = {"code": str(run.outcome), "name": error.name, "message": error.message, "stack": error.stack}
    return {k: v for k, v in fields.items() if v is not None}


def _record(call: Call, caller: Caller, run: Run, host: Any, duration_ms: float) -> Record:
    peak = run.usage.memory_peak
    return Record(
        id=call.id,
        function=call.version.function,
        version=call.version.number,
        trigger=call.trigger,
        event_id=None if call.lease is None else call.lease.event,
        attempt=call.attempt,
        status=run.outcome,
        duration_ms=round(duration_ms, 3),
        cpu_ms=round(run.usage.cpu_ms, 3),
        memory_peak_mb=None if peak is None else round(peak / (1 << 20), 3),
        queries=host.queries,
        user_id=caller.subject,
        role=caller.role,
        error=error_of(run, host.failure),
        logs=host.logs,
        timestamp=datetime.now(UTC),
    )
