"""The one code path of every invocation: run the version in a sandbox, settle its effects, write the record."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import structlog

from aerofn.db.events import Lease
from aerofn.db.results import Kept, Taken
from aerofn.dispatch.contract import Hosts, RecordSink, Registry, Sandbox, Secured
from aerofn.dispatch.recorded import record_of
from aerofn.dispatch.told import told
from aerofn.dispatch.traced import REPEATED, begun, ended, traced
from aerofn.errors import AeroFnError, DatabaseUnavailable, HostError, LeaseLost, QueryError
from aerofn.model import Caller, GuestError, Limits, Outcome, Parent, Record, Run, Usage, Version, random_id
from aerofn.tracing import Trace, Tracing

log = structlog.get_logger(__name__)
_LEAST_COMMIT_S = 1.0
_CANCELLED = Run(Outcome.CANCELLED, None, GuestError("cancelled"), Usage(0, 0, None, 0, 0, 0))
# What a run in a shared transaction may have to thank its neighbours for: its time there is short.
_NOT_ITS_OWN = frozenset({Outcome.TIMEOUT, Outcome.HOST_ERROR, Outcome.CANCELLED})
Complete = Callable[[Sequence[Lease]], Awaitable[None]]
Keep = Callable[[Lease | None, Kept], Awaitable[None]]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What to invoke. `payload` is the event's JSON; `leases`: of the events that asked for it; `taken` is there when
    a request did that must not run twice; `parents`: what caused it, of each event; `secured`: see `Secured`; `due`:
    since when it could have run, of an event (`time.perf_counter`).

    `trigger` is `http`, `row`, `schedule`, `webhook` or `invoke`; `depth` counts the functions behind it.
    """

    version: Version
    caller: Caller
    payload: bytes
    trigger: str
    leases: tuple[Lease, ...] = ()
    secured: Secured | None = None
    taken: Taken | None = None
    attempt: int = 1
    depth: int = 0
    parents: tuple[Parent, ...] = ()
    due: float | None = None
    id: str = msgspec.field(default_factory=random_id)

    @property
    def acts_as(self) -> Caller:
        """The caller, in the role that the version is bound to if it is bound to one."""
        bound = self.version.run_as
        return self.caller if bound is None else Caller(bound, self.caller.claims)


class Completed(msgspec.Struct, frozen=True):
    """An invocation that has ended: its run, its record, and AeroFn's own error if that was the cause."""

    run: Run
    record: Record
    failure: AeroFnError | None = None


class Trial(msgspec.Struct):
    """A run that is over; in a shared transaction, before it is known whether that commits."""

    call: Call
    run: Run
    host: Any
    queries: int
    started: float
    duration_ms: float
    trace: Trace | None = None

    @property
    def aside(self) -> bool:
        """Whether the run counts for nothing and must be repeated in a transaction of its own."""
        return self.run.outcome in _NOT_ITS_OWN


class Invoker:
    """Invokes versions.

    Args:
        complete: settles events whose function opened no transaction; raises LeaseLost.
        keep: keeps the result of a function that opened none, and settles its event if there is one; the same.
        record: takes every invocation's record; must not raise or block.
        delayed: told for each event how many seconds it was due before its function began.
        tracing: begins a span for each, if they are traced.
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
        delayed: Callable[[str, float], None] = lambda _function, _seconds: None,
        tracing: Tracing | None = None,
    ) -> None:
        self._sandbox = sandbox
        self._registry = registry
        self._hosts = hosts
        self._complete = complete
        self._keep = keep
        self._record = record
        self._delayed = delayed
        self._tracing = tracing
        self._last: tuple[Any, Limits] | None = None
        self._hosts_by_id: dict[str, Any] = {}  # of those under way by themselves

    def make_ready(self) -> None:
        """An event may be about to come: have a sandbox of what ran last, for it is the likeliest to run."""
        if self._last is not None:
            self._sandbox.make_ready(*self._last)

    def invoke(self, call: Call) -> Awaitable[Completed]:
        """Run `call` to its end. What the function does wrong is in the result, never raised.

        Raises:
            AeroFnError: it could not be started at all (no component, role not exposed).
            asyncio.CancelledError: cancelled; the function was stopped and its effects undone.
        """
        return traced(self._tracing, call, self._invoke)

    async def _invoke(self, call: Call, trace: Trace | None) -> Completed:
        started = time.perf_counter()
        version = call.version
        component = await self._component(version)
        host = await self._hosts.host(version, call.acts_as, call.depth, trace)
        host.secured = call.secured
        self._hosts_by_id[call.id] = host
        if call.leases:
            self._last = component, version.limits
        run = _CANCELLED  # unless it comes to its end
        try:
            run = await self._sandbox.run(
                component, told(call.payload), host, version.limits, version.function
            )
            if run.outcome is Outcome.FUNCTION_ERROR:
                await host.rollback()
            elif run.outcome is Outcome.SUCCESS and (host.wrote or call.leases or call.taken is not None):
                run = await self._settle(call, run, host, started)
            run = host.redacted(run)
        finally:
            self._hosts_by_id.pop(call.id, None)
            host.abandon()  # does nothing once settled
            duration_ms = (time.perf_counter() - started) * 1000
            record = self._recorded(Trial(call, run, host, host.queries, started, duration_ms, trace))
        return Completed(run, record, host.failure)

    def in_transaction(self, invocation: str) -> bool:
        """Whether the invocation with this id holds a connection to the database now."""
        host = self._hosts_by_id.get(invocation)
        return host is not None and bool(host.in_transaction)

    def shared(self, call: Call) -> Any:
        """A transaction for calls of the same version, caller and depth as `call`; see `bridge.shared`.

        Raises:
            HostError: its role is not exposed.
        """
        return self._hosts.shared(call.version, call.acts_as, call.depth)

    async def join(self, call: Call, shared: Any, most_ms: int, *, more: bool) -> Trial:
        """Run `call` as the next member of `shared`, for `most_ms` at the longest. Nothing is settled by it.

        `more`: another one is likely to follow; its sandbox is made while this one waits.

        Raises: as `invoke`.
        """
        started = time.perf_counter()
        version = call.version
        component = await self._component(version)
        if more:
            asyncio.get_running_loop().call_soon(self._sandbox.make_ready, component, version.limits)
        trace = None if self._tracing is None else begun(self._tracing, call)
        host = await self._hosts.member(version, shared, trace)
        host.secured = call.secured
        limits = Limits(min(version.limits.timeout_ms, most_ms), version.limits.memory_mb)
        run = await self._sandbox.run(component, told(call.payload), host, limits, version.function)
        run = host.redacted(run)
        duration_ms = (time.perf_counter() - started) * 1000
        return Trial(call, run, host, host.queries, started, duration_ms, trace)

    def conclude(self, trial: Trial) -> Completed:
        """Say that a member's run has counted: its effects are committed, or it failed."""
        record = self._recorded(trial)
        if trial.trace is not None:
            ended(trial.trace, trial.run.outcome)
        return Completed(trial.run, record, trial.host.failure)

    def _recorded(self, trial: Trial) -> Record:
        call, host = trial.call, trial.host
        record = record_of(
            call, trial.run, duration_ms=trial.duration_ms, logs=host.logs, queries=trial.queries,
            failure=host.failure, trace=trial.trace,
        )  # fmt: skip
        self._record(record)
        if call.due is not None:
            self._delayed(call.version.function, trial.started - call.due)
        return record

    def forget(self, trial: Trial) -> None:
        """Say that a member's run has not counted: it is undone, and will be repeated."""
        if trial.trace is not None:
            trial.trace.end(aerofn__outcome=REPEATED)

    def _component(self, version: Version) -> Awaitable[Any]:
        return self._sandbox.load(version.digest, lambda: self._registry.component(version.digest))

    async def _settle(self, call: Call, run: Run, host: Any, started: float) -> Run:
        """Commit what a success wrote; the run as it then is."""
        kept = _kept(call, run)
        if kept is None and not call.leases and host.leave():
            return run
        left = call.version.limits.timeout_ms / 1000 - (time.perf_counter() - started)
        try:
            async with asyncio.timeout(max(left, _LEAST_COMMIT_S)):
                if host.wrote:
                    await host.commit(call.leases, kept)
                elif kept is not None:
                    await self._keep(call.leases[0] if call.leases else None, kept)
                else:
                    await self._complete(call.leases)
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
    if call.leases and call.trigger == "http":
        return Kept(run.output or b"", call.id)
    return None


def _failed(run: Run, outcome: Outcome, message: str, name: str | None = None) -> Run:
    return Run(outcome, None, GuestError(message, name), run.usage)
