"""The nouns of AeroFn as plain data: limits, callers, functions, events, outcomes and records.

No behaviour beyond conversion; every layer above shares these shapes.
"""

import os
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec


class Outcome(StrEnum):
    """How an invocation ended."""

    SUCCESS = "success"
    FUNCTION_ERROR = "function_error"
    TRAP = "trap"
    TIMEOUT = "timeout"
    MEMORY_LIMIT = "memory_limit"
    CANCELLED = "cancelled"
    HOST_ERROR = "host_error"


class Status(StrEnum):
    """Which invocations are asked for: those with an outcome, or all that failed."""

    FAILED = "failed"
    SUCCESS = "success"
    FUNCTION_ERROR = "function_error"
    TRAP = "trap"
    TIMEOUT = "timeout"
    MEMORY_LIMIT = "memory_limit"
    CANCELLED = "cancelled"
    HOST_ERROR = "host_error"


_IDS = 64  # drawn at once: asking the system takes longer than all the rest
_drawn: list[str] = []
os.register_at_fork(after_in_child=_drawn.clear)
# Where an id's digits are between its dashes, and what becomes of the one that tells the variant.
_DIGITS = (*range(8), *range(9, 13), *range(14, 18), *range(19, 23), *range(24, 36))
_VERSION_AT, _VARIANT_AT = 14, 19
_VARIANT = bytes.maketrans(b"0123456789abcdef", b"89ab" * 4)


def random_id() -> str:
    """A random UUID (version 4) as text, in a fraction of the time that `str(uuid.uuid4())` takes."""
    try:
        return _drawn.pop()
    except IndexError:
        _draw()
        return _drawn.pop()


def _draw() -> None:
    """More ids: written side by side, the first digit of all of them, then the second, and so on."""
    fresh, text = os.urandom(16 * _IDS).hex().encode(), bytearray(b"-" * 36 * _IDS)
    for number, at in enumerate(_DIGITS):
        text[at::36] = fresh[number::32]
    text[_VERSION_AT::36] = b"4" * _IDS
    text[_VARIANT_AT::36] = text[_VARIANT_AT::36].translate(_VARIANT)
    ids = text.decode()
    _drawn.extend(ids[at : at + 36] for at in range(0, len(ids), 36))


class Limits(msgspec.Struct, frozen=True):
    """What one invocation may use. Units: milliseconds and mebibytes."""

    timeout_ms: int = 10_000
    memory_mb: int = 128


class Caller(msgspec.Struct, frozen=True):
    """Database role and JWT claims that an invocation acts as."""

    role: str
    claims: dict[str, Any] = {}

    @property
    def subject(self) -> str | None:
        """The claims' `sub`, the user's id, if there is one."""
        sub = self.claims.get("sub")
        return None if sub is None else str(sub)


LONGEST_TEXT = 16_384  # characters of an error's message, stack or name
CUT = " ... (it was longer)"  # the end of one that was cut


class GuestError(msgspec.Struct, frozen=True):
    """An error as the function reported it, or as the sandbox did for it; `code` where the outcome says too little.

    Its texts have `LONGEST_TEXT` characters at most, `CUT` included.
    """

    message: str
    name: str | None = None
    stack: str | None = None
    retry: bool = True
    code: str | None = None


class LogLine(msgspec.Struct, frozen=True):
    """One line a function logged; `at_ms` counts from the invocation's start."""

    level: str
    message: str
    at_ms: float


class Usage(msgspec.Struct, frozen=True):
    """What one run of a component took.

    `memory_peak` is in bytes; None when the guest did not come to its end, for then nothing can be asked inside it
    any more, and where several of its memories can grow; always known where none can. `bytes_in` is the event's size,
    `bytes_out` that of the result or the error, whatever became of it. `host_calls` are queries, requests, log lines,
    environment keys and waits.
    """

    wall_ms: float
    cpu_ms: float
    memory_peak: int | None
    bytes_in: int
    bytes_out: int
    host_calls: int


class Run(msgspec.Struct, frozen=True):
    """The end of one run in a sandbox: `output` is the function's JSON text on success, else `error` says why not."""

    outcome: Outcome
    output: bytes | None
    error: GuestError | None
    usage: Usage


class Version(msgspec.Struct, frozen=True):
    """An immutable version of a function; `digest` is the SHA-256 of its component bytes."""

    id: int
    function_id: int
    function: str
    number: int
    digest: bytes
    limits: Limits
    env_keys: frozenset[str] = frozenset()
    hosts: tuple[str, ...] = ()
    roles: frozenset[str] | None = None
    run_as: str | None = None
    rate_limit: str | None = None


class Parent(msgspec.Struct, frozen=True):
    """What caused an invocation, as W3C Trace Context says it; well-formed (`tracing.parent_of`)."""

    traceparent: str
    tracestate: str | None = None

    @property
    def trace_id(self) -> str:
        """The trace it belongs to."""
        return self.traceparent[3:35]


class Event(msgspec.Struct, frozen=True):
    """A leased event: what to run, as whom, and the fencing `token` that settling must present.

    `payload` is the event's JSON object as the guest receives it; `batch_size`: events that its trigger's function
    is given at once; `parent`: what caused it, if that is traced; `held`:
    others may wait for its end (order, caps); `due`: since when it could have run (`time.perf_counter`), unless held.
    """

    id: int
    function: str
    trigger: str
    trigger_name: str | None
    payload: bytes
    caller: Caller
    attempt: int
    max_attempts: int
    token: int
    depth: int
    created_at: datetime
    batch_size: int = 1
    parent: Parent | None = None
    held: bool = False
    due: float | None = None


class Record(msgspec.Struct, frozen=True):
    """What is kept of one invocation: a JSON line on stdout and a row of `aerofn.invocations`."""

    id: str
    function: str
    version: int | None
    trigger: str
    event_id: int | None
    attempt: int
    status: Outcome
    duration_ms: float
    cpu_ms: float
    memory_peak_mb: float | None
    queries: int
    host_calls: int
    bytes_in: int
    bytes_out: int
    user_id: str | None
    role: str
    error: dict[str, Any] | None
    logs: list[LogLine]
    timestamp: datetime
    trace_id: str | None = None
