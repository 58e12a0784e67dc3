"""The private bindings: each as wasmtime itself declares it; nothing leaks; no string harms."""

import ctypes
import gc
import importlib.metadata
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandbox_kit import ROOT, FakeHost, Sandbox, do
from wasmtime import _bindings
from wasmtime import _ffi as wasmtime_ffi

from aerofn.model import Outcome
from aerofn.runtime import Component, ffi
from aerofn.runtime.runtime import refuse_python

# wasmtime's bindings say that this returns an error; the C function returns nothing.
KNOWN_WRONG = {"wasmtime_context_epoch_deadline_async_yield_and_update"}


def test_the_pinned_wasmtime_is_installed() -> None:
    pinned = re.search(r'"wasmtime==([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert pinned is not None
    assert importlib.metadata.version("wasmtime") == pinned.group(1)


def shape(kind: Any) -> object:
    """What matters of a type at the C boundary: a pointer, or a number's size and sign."""
    if kind is None:
        return "nothing"
    if kind in (ctypes.c_void_p, ctypes.c_char_p) or hasattr(kind, "contents") or hasattr(kind, "argtypes"):
        return "pointer"
    return ctypes.sizeof(kind), kind(-1).value < 0 if kind is not ctypes.c_bool else False


@pytest.mark.parametrize("name", ffi.SIGNATURES)
def test_every_function_is_declared_as_wasmtime_declares_it(name: str) -> None:
    result, arguments = ffi.SIGNATURES[name]
    theirs = getattr(_bindings, f"_{name}")
    assert [shape(kind) for kind in arguments] == [shape(kind) for kind in theirs.argtypes]
    if name not in KNOWN_WRONG:
        assert shape(result) == shape(theirs.restype)


def test_the_structures_have_wasmtimes_layout() -> None:
    theirs = wasmtime_ffi.wasmtime_component_val_t
    assert ctypes.sizeof(ffi.Value) == ctypes.sizeof(theirs) == ffi.VALUE_SIZE
    assert ffi.Value.of.offset == theirs.of.offset
    union = wasmtime_ffi.wasmtime_component_valunion
    for field in ("string", "result", "option", "u32", "u64"):
        assert getattr(union, field).offset == 0
    result = wasmtime_ffi.wasmtime_component_valresult
    ours = type(ffi.Value().of.result)
    assert (ours.is_ok.offset, ours.payload.offset) == (result.is_ok.offset, result.val.offset)
    vector = wasmtime_ffi.wasm_byte_vec_t
    assert (ffi.Bytes.size.offset, ffi.Bytes.data.offset) == (vector.size.offset, vector.data.offset)
    continuation = wasmtime_ffi.wasmtime_async_continuation_t
    for field in ("callback", "env", "finalizer"):
        assert getattr(ffi.Continuation, field).offset == getattr(continuation, field).offset


def test_callbacks_take_what_wasmtime_gives() -> None:
    for ours, theirs in (
        (ffi.HOST_FUNCTION, wasmtime_ffi.wasmtime_component_func_callback_t),
        (ffi.ASYNC_HOST_FUNCTION, wasmtime_ffi.wasmtime_component_func_async_callback_t),
    ):
        assert [shape(kind) for kind in ours._argtypes_] == [shape(kind) for kind in theirs._argtypes_]
        assert shape(ours._restype_) == shape(theirs._restype_)


def test_no_other_module_uses_private_bindings() -> None:
    for path in (ROOT / "aerofn").rglob("*.py"):
        if path.name != "ffi.py":
            assert "wasmtime._" not in path.read_text(), path
            assert "_ffi as" not in path.read_text(), path


def resident() -> int:
    """This process's private memory in bytes."""
    text = Path("/proc/self/smaps_rollup").read_text()
    match = re.search(r"Private_Dirty:\s+(\d+) kB", text)
    assert match is not None
    return int(match.group(1)) * 1024


async def test_ten_thousand_runs_leave_no_memory_behind(
    sandbox: Sandbox, c_guest: Component, js_guest: Component
) -> None:
    async def some(rounds: int) -> None:
        for _ in range(rounds):
            await sandbox.run(c_guest, b"q")
            await sandbox.run(c_guest, b"t")
            await sandbox.run(c_guest, b"u")
            await sandbox.run(js_guest, do("env", key="GREETING"))

    await some(500)
    gc.collect()
    before = resident()
    await some(2500)
    gc.collect()
    assert resident() - before < 3 << 20


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=300))
async def test_any_text_goes_in_and_comes_out_unchanged(
    sandbox: Sandbox, c_guest: Component, text: str
) -> None:
    event = b"e" + text.encode("utf-8", "surrogatepass")
    run = await sandbox.run(c_guest, event)
    assert run.outcome is Outcome.SUCCESS
    assert run.output == ffi.valid_utf8(event)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.booleans())
async def test_any_bytes_may_be_a_hosts_reply(
    sandbox: Sandbox, c_guest: Component, reply: bytes, ok: bool
) -> None:
    host = FakeHost()
    host.reply = (ok, reply)
    run = await sandbox.run(c_guest, b"q", host)
    assert run.output == reply.decode("utf-8", "replace").encode()


@pytest.mark.parametrize("data", [b"", b"plain", "\u00fc\U0001f600".encode()])
def test_valid_text_is_not_copied(data: bytes) -> None:
    assert ffi.valid_utf8(data) is data


def test_python_with_broken_stack_checks_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"3\.14\.1"):
        refuse_python((3, 14, 0))
    for version in ((3, 11, 7), (3, 13, 0), (3, 14, 1)):
        refuse_python(version)
