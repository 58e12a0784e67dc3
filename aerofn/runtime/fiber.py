"""One run of one component: a store, a guest on a stack of its own, and what it used.

`advance` runs the guest until it ends, asks the host for something, waits for a WASI clock or has used its
slice of time. It may be called on any thread, but only on one at a time, and never after `release`. The steps
themselves are C (`native/`); a thread of the pool takes them without Python.
"""

from typing import TYPE_CHECKING

from aerofn.model import Limits
from aerofn.runtime import ffi, sandbox
from aerofn.runtime.host import Host
from aerofn.runtime.links import CannotLoad
from aerofn.runtime.oversized import refusal
from aerofn.runtime.sandbox import READY, Block, Seen
from aerofn.runtime.surgery import PAGE

if TYPE_CHECKING:
    from aerofn.runtime.components import Component
    from aerofn.runtime.tier import Tier

LONGEST_PAUSE_S = 86_400.0  # far beyond any time limit, and a number that every loop's timers take

_blocks: list[Block] = []
running: dict[int, "Fiber"] = {}  # by address: those that are not released


class Fiber:
    """A guest's run, from its place in a tier to its release. `begin` comes before the first `advance`.

    A place of `tier` was taken for it: it gives it back when it is released, or cannot be made (`CannotLoad`).
    """

    __slots__ = (
        "_block", "_code", "_event", "_memory_mb", "_tier", "address", "component", "fault_error", "host",
        "until",
    )  # fmt: skip

    host: Host
    until: float  # how long it is kept, if it was made ahead: the loop's time

    def __init__(self, component: "Component", tier: "Tier", limits: Limits) -> None:
        self.fault_error: BaseException | None = None  # what the host raised
        self.component = component
        self._tier = tier
        self._memory_mb = limits.memory_mb
        try:
            self._code = code = component.code(tier)
        except CannotLoad:
            tier.give_back()
            raise
        self._event = b""
        self._block = block = _blocks.pop() if _blocks else Block()
        self.address = address = block.address
        running[address] = self
        sandbox.prepare(address, code.plan, component.anatomy.memory_size(limits.memory_mb << 20))

    # --- ahead of its run ---

    def make_ready(self) -> None:
        """Instantiate the guest, as far as that takes a moment and no host."""
        sandbox.make_ready(self.address)

    @property
    def ready(self) -> bool:
        """Whether the guest is instantiated and has not run yet."""
        return self._block.state() == READY

    def fits(self, component: "Component", limits: Limits) -> bool:
        """Whether it can be the sandbox of such a run."""
        return self.component is component and self._memory_mb == limits.memory_mb

    @property
    def at_home(self) -> bool:
        """Whether it lives in the tier where its component's runs belong."""
        return self._tier is self.component.tier

    # --- the run ---

    def begin(self, event: bytes, host: Host) -> None:
        """Say what the run is for; it goes on by `advance`."""
        self._event, self.host = event, host
        sandbox.begin(self.address, event, len(event))

    def advance(self) -> int:
        """Run the guest on this thread until it ends or has to wait: which of `OVER` and `ASKS` holds then."""
        return int(sandbox.advance(self.address))

    # --- what the guest asks ---

    async def answer(self) -> bool:
        """Answer what the guest asked, in order, up to the first call that the loop waits for; whether there was one.

        What the host raises is kept in `fault_error`.
        """
        try:
            while kind := sandbox.take(self.address):
                if kind == sandbox.LOG:
                    self._log()
                elif kind < 0:
                    self._refuse(-kind)
                elif await self._answer(kind):
                    return True
        except Exception as error:
            self.fault_error = error
        return False

    def keep_lines(self) -> None:
        """Pass on what a guest that goes no further has logged; what else it asked is nobody's business any more."""
        try:
            while kind := sandbox.take(self.address):
                if kind == sandbox.LOG:
                    self._log()
        except Exception as error:
            self.fault_error = error

    def _log(self) -> None:
        block = self._block
        level, message = block.texts(2)
        self.host.log(level, message, block.number() / 1e9)

    def _refuse(self, function: int) -> None:
        reply = refusal(function, self._block.number(), self.component.most)
        sandbox.answer(self.address, False, reply, len(reply))

    async def _answer(self, kind: int) -> bool:
        """Whether the loop had to wait for it."""
        address, host, block = self.address, self.host, self._block
        if kind == sandbox.ENV:
            value = host.env(*block.texts(1))
            data = None if value is None else value.encode("utf-8", "replace")
            sandbox.answer(address, True, data, len(data or b""))
            return False
        self.component.waits = True
        if kind == sandbox.WAIT:
            await host.wait(min(block.number() / 1e9, LONGEST_PAUSE_S))
            sandbox.answer(address, True, None, 0)
            return True
        ok, reply = await (
            host.db_query(*block.texts(2)) if kind == sandbox.DB_QUERY else host.http_fetch(*block.texts(1))
        )
        reply = ffi.valid_utf8(reply)
        sandbox.answer(address, ok, reply, len(reply))
        return True

    # --- the end ---

    def seen(self) -> Seen:
        """What the run was so far; while nobody advances it."""
        return self._block.seen()

    def said(self) -> int:
        """What the last `advance` said, on whatever thread."""
        return self._block.state()

    def memory_peak(self, pages: int) -> int | None:
        """Bytes; known when the guest came to its end, or where no memory can grow."""
        anatomy = self.component.anatomy
        return pages * PAGE + anatomy.static_bytes if pages or not anatomy.growable else None

    def failure(self) -> str | None:
        """Wasmtime's account of a trap, if there was one; given once."""
        return self._block.failure()

    def forget(self) -> None:
        """The run is over: another will have this fiber."""
        self.fault_error = None
        self._event = b""
        del self.host

    def release(self) -> None:
        """Unwind the guest if it still runs, and free all that belongs to it. Never during `advance`."""
        sandbox.release(self.address)
        self.released()

    def released(self) -> None:
        """Its C side was released: the block and the place are free."""
        del running[self.address]
        self._tier.give_back()
        _blocks.append(self._block)
