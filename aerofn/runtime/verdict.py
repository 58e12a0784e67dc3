"""From what wasmtime or the guest said to an outcome and an error that its author understands."""

import re

import msgspec

from aerofn.model import CUT, LONGEST_TEXT, GuestError, Limits, Outcome
from aerofn.runtime.growth import LIMIT_FUNCTION
from aerofn.runtime.wasi import NO_SLEEP, TOO_MUCH_RANDOM

Verdict = tuple[Outcome, GuestError]

_TRAP = re.compile(r"wasm trap: (.+)")
# the guest's first memory is larger than its limit, or growing it further was refused (see `growth`)
_ABOVE_LIMIT = re.compile(rf"memory minimum size of \d+ pages exceeds|\n\s+0: .*!{LIMIT_FUNCTION.decode()}\n")
# the pool is used up, or the system gives no more memory: no fault of the guest's
_NO_ROOM = re.compile(r"maximum concurrent|os error|mmap|Cannot allocate memory")
_NEVER_RETURNED = "failed to produce a result"
_DEEP = "call stack exhausted"
# what our parts of WASI say when they refuse a call, and the error that it is
_REFUSED = ((NO_SLEEP, "WasiSleep", "wasi_sleep"), (TOO_MUCH_RANDOM, "WasiRandom", "wasi_random"))


def of_failure(text: str, limits: Limits) -> Verdict:
    """Of wasmtime's account of why a guest did not come to its end."""
    if _NO_ROOM.search(_last_cause(text)):
        return host_error()
    if _ABOVE_LIMIT.search(text):
        return memory_limit(limits)
    for said, name, code in _REFUSED:
        if said in text:
            return Outcome.TRAP, GuestError(said, name=name, stack=_kept(text), retry=False, code=code)
    if _NEVER_RETURNED in text or "deadlock" in text:
        message = "The function never finished: it waits for something that cannot happen."
        return Outcome.TRAP, GuestError(message, name="Trap", stack=_kept(text))
    trap = _TRAP.search(text)
    message = trap.group(1) if trap else _last_cause(text)
    if message == _DEEP:
        message += ": a function calls itself too often, or a value is nested too deep"
    return Outcome.TRAP, GuestError(_kept(message), name="Trap", stack=_kept(text))


def _last_cause(text: str) -> str:
    """The innermost of "Caused by:", or all there is."""
    last = text.strip().rsplit("\n", 1)[-1].strip()
    return re.sub(r"^\d+: ", "", last)


def of_error(text: bytes) -> Verdict:
    """Of the error that a function returned: an object with `message`, or plain text."""
    return Outcome.FUNCTION_ERROR, _guest_error(text)


class _Told(msgspec.Struct):
    """What is taken of it; nothing becomes a Python object that is not."""

    message: msgspec.Raw
    name: msgspec.Raw = msgspec.Raw(b"null")
    stack: msgspec.Raw = msgspec.Raw(b"null")
    retry: msgspec.Raw = msgspec.Raw(b"null")


_told = msgspec.json.Decoder(_Told).decode
_text = msgspec.json.Decoder(str).decode
_MOST_BYTES = 4 * (LONGEST_TEXT + 1)  # of UTF-8, if it is not to be cut


def _guest_error(text: bytes) -> GuestError:
    try:
        told = _told(text)
        message = _string(told.message)
        name, stack = _string(told.name), _string(told.stack)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the last for what is nested too deep
        message = None
    if message is None:
        return GuestError(_kept(text[:_MOST_BYTES].decode("utf-8", "replace")))
    return GuestError(message, name=name, stack=stack, retry=told.retry != msgspec.Raw(b"false"))


def _string(raw: msgspec.Raw) -> str | None:
    return _kept(_text(raw)) if bytes(memoryview(raw)[:1]) == b'"' else None


def _kept(text: str) -> str:
    """As much of a text as an error may have."""
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - len(CUT)] + CUT


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
