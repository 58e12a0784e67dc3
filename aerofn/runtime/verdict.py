"""From what wasmtime or the guest said to an outcome and an error that its author understands."""

import re
from typing import Any

import msgspec

from aerofn.model import GuestError, Limits, Outcome

Verdict = tuple[Outcome, GuestError]

_TRAP = re.compile(r"wasm trap: (.+)")
_ABOVE_LIMIT = re.compile(r"memory minimum size of \d+ pages exceeds memory limits|forcing trap when growing memory")
_OUT_OF_MEMORY = re.compile(r"out of memory|memory allocation of \d+ bytes failed|MemoryError", re.IGNORECASE)
_NEVER_RETURNED = "failed to produce a result"


def of_failure(text: str, limits: Limits) -> Verdict:
    """Of wasmtime's account of why a guest did not come to its end."""
    if _ABOVE_LIMIT.search(text):
        return memory_limit(limits)
    if _NEVER_RETURNED in text or "deadlock" in text:
        return Outcome.TRAP, GuestError("The function never finished: it waits for something that cannot happen.",
                                        name="Trap", stack=text)  # fmt: skip
    trap = _TRAP.search(text)
    message = trap.group(1) if trap else text.split("\n", 1)[0]
    return Outcome.TRAP, GuestError(message, name="Trap", stack=text)


def of_error(text: bytes, full: bool, limits: Limits) -> Verdict:
    """Of the error a function returned; `full` if its memory was at the limit."""
    error = _guest_error(text)
    if full and _OUT_OF_MEMORY.search(error.message):
        return memory_limit(limits)
    return Outcome.FUNCTION_ERROR, error


def _guest_error(text: bytes) -> GuestError:
    try:
        fields: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        fields = None
    if not isinstance(fields, dict) or not isinstance(fields.get("message"), str):
        return GuestError(text.decode("utf-8", "replace"))
    return GuestError(
        fields["message"],
        name=_string(fields.get("name")),
        stack=_string(fields.get("stack")),
        retry=fields.get("retry") is not False,
    )


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def memory_limit(limits: Limits) -> Verdict:
    """The guest wanted more memory than it may have."""
    message = f"The function needs more than its {limits.memory_mb} MiB of memory."
    return Outcome.MEMORY_LIMIT, GuestError(message, name="MemoryLimit")


def timeout(limits: Limits) -> Verdict:
    """The guest was stopped at its time limit."""
    message = f"The function did not finish within {limits.timeout_ms} ms and was stopped."
    return Outcome.TIMEOUT, GuestError(message, name="Timeout")


def too_large(size: int, limit: int) -> Verdict:
    """The guest's result is larger than results may be."""
    message = f"The result is too large: {size:,} bytes, and the limit is {limit:,}."
    return Outcome.FUNCTION_ERROR, GuestError(message, name="ResultTooLarge", retry=False)


def host_error() -> Verdict:
    """AeroFn itself failed; what happened is for its operator's log, not for the function's author."""
    return Outcome.HOST_ERROR, GuestError("AeroFn failed while running the function.", name="HostError")
