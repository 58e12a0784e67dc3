"""One run of one component: a store, a guest on a stack of its own, and what it used.

`advance` runs the guest until it ends, asks the host for something, waits for a WASI clock or has used its
slice of time. It may be called on any thread, but only on one at a time, and never after `release`.
"""

import ctypes
import time
from collections import deque
from typing import TYPE_CHECKING

from aerofn.model import Limits
from aerofn.runtime import ffi, linker
from aerofn.runtime.config import MAX_TABLE_ELEMENTS, MAX_TABLES
from aerofn.runtime.host import Host
from aerofn.runtime.linker import Ask, GuestFault, Pause
from aerofn.runtime.surgery import PAGE

if TYPE_CHECKING:
    from aerofn.runtime.components import Component
    from aerofn.runtime.tier import Tier

MAX_PENDING_ASKS = 256  # an async guest may have several host calls under way

MAX_INSTANCES = 10_000  # of core modules; the pool's bound on one component is the real one
_INSTANTIATING, _CALLING, _MEASURING = range(3)

_frames: list["_Block"] = []
_thread_time = time.thread_time_ns


class _Block:
    """A reusable `ffi.Frame` and the addresses of its fields."""

    __slots__ = ("argument", "error", "error_at", "frame", "function", "instance", "pages", "result")

    def __init__(self) -> None:
        frame = self.frame = ffi.Frame()
        start = ctypes.addressof(frame)
        self.instance = start + ffi.Frame.instance.offset
        self.function = start + ffi.Frame.function.offset
        self.error_at = start + ffi.Frame.error.offset
        self.argument = start + ffi.Frame.argument.offset
        self.result = start + ffi.Frame.result.offset
        self.pages = start + ffi.Frame.pages.offset


class Fiber:
    """A guest's run, from its store's making to its release. `begin` comes before the first `advance`."""

    __slots__ = (
        "_anatomy", "_asks", "_block", "_code", "_context", "_event", "_future", "_number", "_phase", "_store", "_tier",
        "cpu_ns", "failure", "fault_error", "finished", "host", "host_calls", "last_poll_ns",
        "memory_peak",
    )  # fmt: skip

    host: Host

    def __init__(self, component: "Component", tier: "Tier", limits: Limits) -> None:
        self.host_calls = 0
        self.cpu_ns = 0
        self.last_poll_ns = 0
        self.finished = False
        self.failure: str | None = None  # wasmtime's account of a trap
        self.fault_error: BaseException | None = None  # what the host raised
        self._asks: deque[Ask | Pause] = deque()
        self._anatomy = component.anatomy
        self._code = code = component.code(tier)
        self._tier = tier
        self._event = b""
        self._phase = _INSTANTIATING
        self.memory_peak: int | None = None  # bytes; known when the guest came to its end
        self._number = linker.enter(self)
        self._store = ffi.store_new(tier.engine_at, self._number, None)
        self._context = context = ffi.store_context(self._store)
        self._confine(limits)
        self._block = block = _frames.pop() if _frames else _Block()
        self._future = ffi.instantiate_async(code.linker_at, context, code.at, block.instance, block.error_at)

    def _confine(self, limits: Limits) -> None:
        anatomy = self._anatomy
        memory = anatomy.memory_size(limits.memory_mb << 20)
        ffi.store_limiter(
            self._store, memory, MAX_TABLE_ELEMENTS, MAX_INSTANCES, MAX_TABLES, anatomy.memories
        )
        context = self._context
        ffi.context_set_epoch_deadline(context, 1)
        ffi.context_epoch_yield(context, 1)
        if anatomy.wasi:
            ffi.context_set_wasi(context, ffi.wasi_config_new())

    # --- what host functions call, on the polling thread ---

    def ask(self, ask: Ask | Pause) -> None:
        """Note a host call that the loop must answer."""
        self.host_calls += 1
        if len(self._asks) >= MAX_PENDING_ASKS:
            raise GuestFault(f"more than {MAX_PENDING_ASKS} host calls at once")
        self._asks.append(ask)

    def log(self, level: str, message: str) -> None:
        """Pass a log line on."""
        self.host_calls += 1
        self.host.log(level, message)

    def env(self, key: str) -> str | None:
        """A granted key's value."""
        self.host_calls += 1
        return self.host.env(key)

    def fault(self, error: BaseException) -> None:
        """Note that the host itself failed."""
        self.fault_error = error

    # --- driving ---

    def instantiate(self, most_ns: int) -> bool:
        """Ahead of the run: false if it failed, computed longer, or called the host, which is not there yet."""
        done = False
        while not (done or self._asks) and self.cpu_ns < most_ns:  # slices end by the clock
            began = _thread_time()
            done = ffi.future_poll(self._future)
            self.cpu_ns += _thread_time() - began
        if done:
            ffi.future_free(self._future)
            self._future = None
        return done and not self._failed()

    def begin(self, event: bytes, host: Host) -> None:
        """Say what the run is for; it goes on by `advance`."""
        self._event, self.host = event, host
        if self._future is None:  # it was instantiated ahead
            self.begin_slice()
            self._begin_call()

    def advance(self) -> bool:
        """Run the guest on this thread until it ends (true) or has to wait (false)."""
        while True:
            began = _thread_time()
            done = ffi.future_poll(self._future)
            self.last_poll_ns = spent = _thread_time() - began
            self.cpu_ns += spent
            if not done:
                return False
            ffi.future_free(self._future)
            self._future = None
            if self._next_phase():
                self.finished = True
                return True

    def _next_phase(self) -> bool:
        """Begin what comes after the future that ended; true if that was all."""
        failed = self._failed()
        if self._phase == _INSTANTIATING and not failed:
            self._begin_call()
        elif self._phase == _CALLING and not failed and self._code.pages_at:
            self._begin_measuring()
        else:
            if self._phase == _MEASURING:
                self._measured()
            return True
        return False

    def _begin_call(self) -> None:
        block, context = self._block, self._context
        self._phase = _CALLING
        ffi.put_string(block.frame.argument, block.argument, self._event)
        ffi.instance_get_func(block.instance, context, self._code.handle_at, block.function)
        self._future = ffi.func_call_async(
            block.function, context, block.argument, 1, block.result, 1, block.error_at
        )

    def _begin_measuring(self) -> None:
        block, context = self._block, self._context
        self._phase = _MEASURING
        ffi.instance_get_func(block.instance, context, self._code.pages_at, block.function)
        self._future = ffi.func_call_async(block.function, context, None, 0, block.pages, 1, block.error_at)

    def _measured(self) -> None:
        self.failure = None  # the guest had already succeeded
        pages = self._block.frame.pages
        if pages.kind == ffi.KIND_U32:
            self.memory_peak = pages.of.u32 * PAGE + self._anatomy.static_bytes
            pages.kind = 0

    def _failed(self) -> bool:
        block = self._block
        error = block.frame.error
        if error:
            block.frame.error = None
            self.failure = ffi.take_error(error)
        return self.failure is not None

    def begin_slice(self) -> None:
        """Give the guest a whole slice again: while it waited the clock went on, and it would give way at once."""
        ffi.context_set_epoch_deadline(self._context, 1)

    def next_ask(self) -> Ask | Pause | None:
        """The host call to answer next, if the guest waits for one."""
        return self._asks.popleft() if self._asks else None

    def result(self, limit: int) -> tuple[bool, bytes | None, int]:
        """After a call that did not fail: is it ok, its text (None if over `limit` bytes), its size."""
        result = self._block.frame.result.of.result
        payload = result.payload
        size = ffi.Value.from_address(payload).of.string.size
        text = ffi.get_string(payload) if size <= limit else None
        return result.is_ok, text, size

    # --- the end ---

    def _drop_future(self) -> None:
        future, self._future = self._future, None
        if future is not None:
            ffi.future_delete(future)

    def release(self) -> None:
        """Unwind the guest if it still runs, and free all that belongs to it. Never during `advance`."""
        self._drop_future()
        block = self._block
        self._failed()
        frame = block.frame
        if self._phase != _INSTANTIATING:
            ffi.val_delete(block.argument)
            if frame.result.kind == ffi.KIND_RESULT:
                ffi.val_delete(block.result)
            frame.argument.kind = frame.result.kind = 0
        ffi.store_delete(self._store)
        linker.leave(self._number)
        self._tier.give_back()
        _frames.append(block)
