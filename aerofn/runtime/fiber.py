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
from aerofn.runtime.host import Host
from aerofn.runtime.linker import Ask, GuestFault

if TYPE_CHECKING:
    from aerofn.runtime.components import Component

MAX_PENDING_ASKS = 256  # an async guest may have several host calls under way

_frames: list["_Block"] = []
_thread_time = time.thread_time_ns


class _Block:
    """A reusable `ffi.Frame` and the addresses of its fields."""

    __slots__ = ("argument", "error", "error_at", "frame", "function", "instance", "result")

    def __init__(self) -> None:
        frame = self.frame = ffi.Frame()
        start = ctypes.addressof(frame)
        self.instance = start + ffi.Frame.instance.offset
        self.function = start + ffi.Frame.function.offset
        self.error_at = start + ffi.Frame.error.offset
        self.argument = start + ffi.Frame.argument.offset
        self.result = start + ffi.Frame.result.offset


class Fiber:
    """A guest's run, from its store's making to its release."""

    __slots__ = (
        "_asks", "_block", "_calling", "_component", "_context", "_event", "_future", "_number", "_store",
        "cpu_ns", "failure", "fault_error", "finished", "host", "host_calls", "last_poll_ns",
    )  # fmt: skip

    def __init__(self, component: "Component", linker_at: int, event: bytes, host: Host, limits: Limits) -> None:
        self.host = host
        self.host_calls = 0
        self.cpu_ns = 0
        self.last_poll_ns = 0
        self.finished = False
        self.failure: str | None = None  # wasmtime's account of a trap
        self.fault_error: BaseException | None = None  # what the host raised
        self._asks: deque[Ask] = deque()
        self._component = component
        self._event = event
        self._calling = False
        self._number = linker.enter(self)
        self._store = ffi.store_new(component.engine_at, self._number, None)
        self._context = context = ffi.store_context(self._store)
        self._confine(component, limits)
        self._block = block = _frames.pop() if _frames else _Block()
        self._future = ffi.instantiate_async(linker_at, context, component.at, block.instance, block.error_at)

    def _confine(self, component: "Component", limits: Limits) -> None:
        memory = (limits.memory_mb << 20) // component.memories
        ffi.store_limiter(
            self._store, memory, component.table_elements, 10_000, component.tables, component.memories
        )
        context = self._context
        ffi.context_set_epoch_deadline(context, 1)
        ffi.context_epoch_yield(context, 1)
        if component.wasi:
            ffi.context_set_wasi(context, ffi.wasi_config_new())

    # --- what host functions call, on the polling thread ---

    def ask(self, ask: Ask) -> None:
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

    def advance(self) -> bool:
        """Run the guest on this thread until it ends (true) or has to wait (false)."""
        while True:
            began = _thread_time()
            done = ffi.future_poll(self._future)
            self.last_poll_ns = spent = _thread_time() - began
            self.cpu_ns += spent
            if not done:
                return False
            self._drop_future()
            if self._calling or self._failed():
                self._failed()
                self.finished = True
                return True
            self._begin_call()

    def _begin_call(self) -> None:
        block = self._block
        argument = block.frame.argument
        ffi.put_string(argument, block.argument, self._event)
        ffi.instance_get_func(block.instance, self._context, self._component.handle_at, block.function)
        self._future = ffi.func_call_async(
            block.function, self._context, block.argument, 1, block.result, 1, block.error_at
        )
        self._calling = True

    def _failed(self) -> bool:
        block = self._block
        error = block.frame.error
        if error:
            block.frame.error = None
            self.failure = ffi.take_error(error)
        return self.failure is not None

    def next_ask(self) -> Ask | None:
        """The host call to answer next, if the guest waits for one."""
        return self._asks.popleft() if self._asks else None

    def result(self, limit: int) -> tuple[bool, bytes | None, int]:
        """After a call that did not fail: whether it is ok, its text (None if over `limit` bytes), its size."""
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
        if self._calling:
            ffi.val_delete(block.argument)
            if frame.result.kind == ffi.KIND_RESULT:
                ffi.val_delete(block.result)
            frame.argument.kind = frame.result.kind = 0
        ffi.store_delete(self._store)
        linker.leave(self._number)
        _frames.append(block)
