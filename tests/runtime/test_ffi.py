"""The private bindings: each as wasmtime itself declares it; no string harms."""

import ctypes
import importlib.metadata
import re
import subprocess
from pathlib import Path
from typing import Any

import build_library
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandbox_kit import GUESTS, ROOT, FakeHost, Sandbox
from wasmtime import _bindings
from wasmtime import _ffi as wasmtime_ffi

from aerofn.model import Outcome
from aerofn.runtime import Component, ffi, sandbox, wasi
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


NATIVE = ROOT / "aerofn" / "runtime" / "native"
USED = re.compile(r"use\(([\w *]+?), *(\w+),\s*\(([^;]*?)\)\)(?=\s*(?:use|\Z))", re.DOTALL)
NUMBERS = {
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "bool": ctypes.c_bool,
}


def c_shape(text: str) -> object:
    """As `shape`, of a declaration in C."""
    if text == "void":
        return "nothing"
    return "pointer" if "*" in text else shape(NUMBERS[text.split(maxsplit=1)[0]])


def functions_of_c() -> dict[str, tuple[str, list[str]]]:
    """Result and arguments of every function in `wasmtime.h`, by name."""
    text = (NATIVE / "wasmtime.h").read_text().replace("\\\n", "\n")
    listed = text[
        text.index("#define WASMTIME(use)") + len("#define WASMTIME(use)") : text.index("struct wasmtime {")
    ]
    found = {name: (result.strip(), arguments) for result, name, arguments in USED.findall(listed.strip())}
    assert len(found) == listed.count("use(") > 10
    return {
        name: (result, [] if arguments == "void" else re.split(r",\s*(?![^()]*\))", arguments))
        for name, (result, arguments) in found.items()
    }


@pytest.mark.parametrize("name", functions_of_c())
def test_every_function_that_c_calls_is_declared_there_as_wasmtime_declares_it(name: str) -> None:
    result, arguments = functions_of_c()[name]
    theirs = getattr(_bindings, f"_{name}")
    assert [c_shape(argument) for argument in arguments] == [shape(kind) for kind in theirs.argtypes]
    if name not in KNOWN_WRONG:
        assert c_shape(result) == shape(theirs.restype)


def test_the_structures_in_c_have_wasmtimes_layout(tmp_path: Path) -> None:
    """The C compiler that builds the library says where each field is."""
    val, union = wasmtime_ffi.wasmtime_component_val_t, wasmtime_ffi.wasmtime_component_valunion
    result, vector = wasmtime_ffi.wasmtime_component_valresult, wasmtime_ffi.wasm_byte_vec_t
    continuation = wasmtime_ffi.wasmtime_async_continuation_t
    assert {
        getattr(union, field).offset for field in ("string", "result", "option", "list", "u8", "u32", "u64")
    } == {0}
    wanted = {
        "sizeof(struct value)": ctypes.sizeof(val),
        "offsetof(struct value, of)": val.of.offset,
        "offsetof(struct value, of.result.payload)": val.of.offset + result.val.offset,
        "sizeof(struct bytes)": ctypes.sizeof(vector),
        "offsetof(struct bytes, data)": vector.data.offset,
        "sizeof(struct list)": ctypes.sizeof(wasmtime_ffi.wasmtime_component_vallist_t),
        "offsetof(struct list, data)": wasmtime_ffi.wasmtime_component_vallist_t.data.offset,
        "RANDOM_BYTES": wasi.MAX_RANDOM,
        "sizeof(struct continuation)": ctypes.sizeof(continuation),
        "offsetof(struct continuation, env)": continuation.env.offset,
        "offsetof(struct continuation, finalizer)": continuation.finalizer.offset,
        "sizeof(struct instance)": ctypes.sizeof(wasmtime_ffi.wasmtime_component_instance_t),
        "sizeof(struct function)": ctypes.sizeof(wasmtime_ffi.wasmtime_component_func_t),
        "offsetof(struct seen, texts)": sandbox._SEEN.size,
        "offsetof(struct seen, failure)": sandbox._FAILURE_AT,
        "sizeof(struct seen)": sandbox._SEEN.size + sandbox._CALL.size,
        **{
            f"KIND_{kind}": getattr(wasmtime_ffi, f"WASMTIME_COMPONENT_{kind}").value
            for kind in ("U8", "U32", "U64", "STRING", "LIST", "ENUM", "OPTION", "RESULT")
        },
        **{
            name: getattr(sandbox, name)
            for name in ("OVER", "READY", "ASKS", "NOTHING", "DB_QUERY", "HTTP_FETCH", "WAIT", "LOG", "ENV")
        },
    }
    source = tmp_path / "layout.c"
    claims = [f'_Static_assert({what} == {number}, "{what}");' for what, number in wanted.items()]
    source.write_text("\n".join(['#include "sandbox.h"', *claims]))
    command = [*(build_library.compiler() or []), "-std=c11", "-fsyntax-only", f"-I{NATIVE}", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_library_without_a_function_of_wasmtimes_is_named() -> None:
    with pytest.raises(ImportError, match="wasmtime has no wasmtime_store_new"):
        sandbox.bind(ctypes.CDLL(None)._handle)
    sandbox.bind(ffi.WASMTIME_LIBRARY)


def test_no_other_module_uses_private_bindings() -> None:
    for path in (ROOT / "aerofn").rglob("*.py"):
        if path.name != "ffi.py":
            assert "wasmtime._" not in path.read_text(), path
            assert "_ffi as" not in path.read_text(), path


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


class Heard(FakeHost):
    """Gives every text it is asked with back."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    async def db_query(self, sql: str, params: str) -> tuple[bool, bytes]:
        self.texts += [sql, params]
        return True, sql.encode()

    async def http_fetch(self, request: str) -> tuple[bool, bytes]:
        self.texts.append(request)
        return True, request.encode()

    def log(self, level: str, message: str, at: float) -> None:
        self.texts.append(message)

    def env(self, key: str) -> str | None:
        self.texts.append(key)
        return key


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=5000), st.sampled_from("qxvl"))
async def test_any_text_reaches_the_host_and_comes_back_unchanged(
    sandbox: Sandbox, text: str, function: str
) -> None:
    host, guest = Heard(), await sandbox.load((GUESTS / "c" / "calls.wasm").read_bytes())
    run = await sandbox.run(guest, f"a{function}{text}".encode(), host)
    assert (run.outcome, run.output) == (Outcome.SUCCESS, text.encode())
    assert set(host.texts) == {text}


@pytest.mark.parametrize("data", [b"", b"plain", "\u00fc\U0001f600".encode()])
def test_valid_text_is_not_copied(data: bytes) -> None:
    assert ffi.valid_utf8(data) is data


def test_python_with_broken_stack_checks_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"3\.14\.1"):
        refuse_python((3, 14, 0))
    for version in ((3, 11, 7), (3, 13, 0), (3, 14, 1)):
        refuse_python(version)
