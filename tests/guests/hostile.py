"""Every kind of hostile guest, in JavaScript, C and WAT: what it is sent, and how that must end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import wat

from aerofn.model import Limits, Outcome

MB = 1 << 20
FOLDER = Path(__file__).parent


def do(deed: str, **fields: object) -> bytes:
    """An event for `js/hostile.js`."""
    return json.dumps({"do": deed, **fields}).encode()


class Case(NamedTuple):
    """A guest ("js", one in C by its name, or a component), what it is sent, and how that must end."""

    guest: str | Callable[[], bytes]
    event: bytes | Callable[[], bytes]
    outcome: Outcome
    says: str = ""
    timeout_ms: int = 30_000
    code: str | None = None
    memory_mb: int = 64

    def wasm(self, javascript: bytes) -> bytes:
        """The component; `javascript` is that of `js/hostile.js`."""
        if callable(self.guest):
            return self.guest()
        return javascript if self.guest == "js" else compiled(self.guest)

    def sent(self) -> bytes:
        """The event."""
        return self.event() if callable(self.event) else self.event

    @property
    def limits(self) -> Limits:
        """Those that it must end within."""
        return Limits(timeout_ms=self.timeout_ms, memory_mb=self.memory_mb)


def compiled(name: str) -> bytes:
    """A guest in C as `c/build.py` built it."""
    return FOLDER.joinpath("c", "hostile.wasm" if name == "c" else f"{name}.wasm").read_bytes()


CASES = {
    "js endless loop": Case("js", do("spin"), Outcome.TIMEOUT, "300 ms", 300),
    "c endless loop": Case("c", b"s", Outcome.TIMEOUT, "300 ms", 300),
    "wat endless loop": Case(lambda: wat.component(wat.SPIN), b"", Outcome.TIMEOUT, "300 ms", 300),
    "start function loops": Case(
        lambda: wat.component(fields=wat.STARTS_SPINNING), b"", Outcome.TIMEOUT, "300 ms", 300
    ),
    "js endless recursion": Case("js", do("recurse"), Outcome.TRAP, "a function calls itself too often"),
    "c endless recursion": Case("c", b"r", Outcome.TRAP, "call stack exhausted"),
    "wat endless recursion": Case(
        lambda: wat.component("(drop (call $down (i32.const 0)))", fields=wat.RECURSION),
        b"",
        Outcome.TRAP,
        "call stack exhausted",
    ),
    "wat memory bomb": Case(lambda: wat.component(wat.GROWTH), b"", Outcome.MEMORY_LIMIT, "64 MiB"),
    "js log flood": Case("js", do("log", times=100_000_000), Outcome.TIMEOUT, "300 ms", 300),
    "js memory bomb": Case("js", do("bomb"), Outcome.MEMORY_LIMIT, "64 MiB"),
    "c memory bomb": Case("c", b"b", Outcome.MEMORY_LIMIT, "64 MiB"),
    "c grows page by page": Case("c", b"g", Outcome.MEMORY_LIMIT, "64 MiB"),
    "first memory above the limit": Case(
        lambda: wat.component(memory="2000"), b"", Outcome.MEMORY_LIMIT, "64 MiB"
    ),
    "promise that never resolves": Case("js", do("never"), Outcome.TRAP, "never finished"),
    "output of 100 MB": Case("js", do("large", bytes=100 * MB), Outcome.MEMORY_LIMIT, "64 MiB", 20_000),
    "c output of 100 MB that arrives": Case(
        "calls", b"g", Outcome.FUNCTION_ERROR, "too large", 20_000, memory_mb=256
    ),
    "wat output of 100 MB that arrives": Case(
        lambda: wat.component(wat.LARGE, memory="1700"),
        b"",
        Outcome.FUNCTION_ERROR,
        "too large",
        20_000,
        memory_mb=256,
    ),
    "js output of 20 MB that arrives": Case(
        "js", do("large", bytes=20 * MB), Outcome.FUNCTION_ERROR, "too large", 20_000, memory_mb=512
    ),
    "output over its limit": Case(
        "js", do("large", bytes=7 * MB), Outcome.FUNCTION_ERROR, "too large", 20_000
    ),
    "input of 100 MB": Case("c", lambda: b"e" * (100 * MB), Outcome.MEMORY_LIMIT, "64 MiB"),
    "result of broken UTF-8": Case("c", b"u", Outcome.TRAP, "utf-8"),
    "result out of range": Case("c", b"p", Outcome.TRAP, "out of bounds"),
    "result longer than memory": Case("c", b"z", Outcome.TRAP, "out of bounds"),
    "broken UTF-8 to the host": Case("c", b"l", Outcome.TRAP, "utf-8"),
    "pointer out of range to the host": Case("c", b"o", Outcome.TRAP, "out of bounds"),
    "reads out of range": Case("c", b"a", Outcome.TRAP, "out of bounds memory access"),
    "plain trap": Case("c", b"t", Outcome.TRAP, "unreachable"),
    "sleeps through a WASI clock": Case(
        lambda: wat.sleeper(3_600_000_000_000),
        b"",
        Outcome.TRAP,
        "wait with aerofn:function/clock",
        code="wasi_sleep",
    ),
    "waits for an hour": Case(lambda: wat.waiter(3_600_000_000_000), b"", Outcome.TIMEOUT, "300 ms", 300),
    "waits for ever": Case(lambda: wat.waiter(-1), b"", Outcome.TIMEOUT, "300 ms", 300),
    "log flood": Case("c", b"f", Outcome.TIMEOUT, "300 ms", 300),
    "host calls without end": Case("js", do("queries", times=100_000_000), Outcome.TIMEOUT, "300 ms", 300),
    "js input of 100 MB": Case(
        "js", lambda: do("echo", text="x" * (100 * MB)), Outcome.MEMORY_LIMIT, "64 MiB", 20_000
    ),
    "wat input of 100 MB": Case(wat.component, lambda: b"e" * (100 * MB), Outcome.MEMORY_LIMIT, "64 MiB"),
    "c call that never comes back": Case("calls", b"w", Outcome.TIMEOUT, "300 ms", 300),
    "c queries without end": Case("calls", b"mq", Outcome.TIMEOUT, "300 ms", 300),
    "wat log flood": Case(lambda: wat.logger(wat.FLOOD), b"", Outcome.TIMEOUT, "300 ms", 300),
    "c log flood of large lines": Case("calls", b"f", Outcome.TIMEOUT, "300 ms", 300),
    "js log flood of large lines": Case(
        "js", do("log", times=100_000_000, text="x" * MB), Outcome.TIMEOUT, "300 ms", 300
    ),
    "c sleeps through a WASI clock": Case(
        "sleeper", b"", Outcome.TRAP, "wait with aerofn:function/clock", code="wasi_sleep"
    ),
    "c initialiser loops": Case("starts", b"", Outcome.TIMEOUT, "300 ms", 300),
    **{
        f"{how} to {function}": Case("calls", deed + letter, Outcome.TRAP, says)
        for deed, how, says in (
            (b"b", "broken UTF-8", "utf-8"),
            (b"o", "pointer out of range", "out of bounds"),
            (b"z", "text longer than memory", "out of bounds"),
        )
        for letter, function in ((b"q", "db-query"), (b"x", "http-fetch"), (b"v", "env"), (b"l", "log"))
    },
}
