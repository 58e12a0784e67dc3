"""What Python, C and wasmtime suppose of each other, beyond wasmtime's functions (test_ffi)."""

import ctypes
import re
from typing import Any

import pytest
from test_ffi import NATIVE, c_shape, shape
from wasmtime import _bindings
from wasmtime import _ffi as wasmtime_ffi

from aerofn.runtime import ffi, sandbox

SOURCE = "\n".join(path.read_text() for path in sorted(NATIVE.glob("*.c")))
DEFINED = re.compile(
    r"^(?:static )?([\w ]+? \*?)(\w+)\(([^()]*(?:\([^()]*\)\([^()]*\)[^()]*)*)\)\s*\\?\s*\{?$", re.MULTILINE
)
WORDS = {"int": ctypes.c_int, "unsigned": ctypes.c_uint, "enum": ctypes.c_uint}


def declaration(name: str) -> tuple[object, list[object]]:
    """The shapes of result and parameters of a function that our C defines."""
    found = [each.groups() for each in DEFINED.finditer(SOURCE) if each[2] == name]
    assert len(found) == 1, (name, found)
    result, _, parameters = found[0]
    listed = [] if parameters == "void" else parameters.split(",")
    return of_c(result), [of_c(each) for each in listed]


def of_c(text: str) -> object:
    text = text.replace("const ", "").strip()
    word = text.split(maxsplit=1)[0]
    return shape(WORDS[word]) if word in WORDS and "*" not in text else c_shape(text)


def of_python(kind: Any) -> object:
    return "nothing" if kind is None else shape(kind)


@pytest.mark.parametrize("name", sandbox.SIGNATURES)
def test_every_function_of_ours_is_declared_as_c_has_it(name: str) -> None:
    result, arguments = sandbox.SIGNATURES[name]
    assert declaration(name) == (of_python(result), [of_python(each) for each in arguments])


def test_all_that_python_calls_is_compared() -> None:
    assert len(sandbox.SIGNATURES) >= 25
    assert "aerofn_ticker_new" in sandbox.SIGNATURES


def callback(name: str) -> tuple[object, list[object]]:
    """Of wasmtime's bindings; they have a pointer that a callback returns as a size_t."""
    kind = getattr(_bindings, name)
    result = kind._restype_
    return (
        "pointer" if result is ctypes.c_size_t else of_python(result),
        [shape(each) for each in kind._argtypes_],
    )


@pytest.mark.parametrize("ours", ["name", "wasi_random_bytes"])
def test_our_parts_of_wasi_are_what_wasmtime_calls(ours: str) -> None:
    """`name` is the macro that declares most of them."""
    assert declaration(ours) == callback("wasmtime_component_func_callback_t")


def test_our_host_functions_are_what_wasmtime_calls() -> None:
    assert declaration("asked") == callback("wasmtime_component_func_async_callback_t")
    assert declaration("is_answered") == callback("wasmtime_func_async_continuation_callback_t")
    kinds = dict(wasmtime_ffi.wasmtime_async_continuation_t._fields_)
    assert kinds["callback"] is _bindings.wasmtime_func_async_continuation_callback_t
    finalizer = kinds["finalizer"]
    assert declaration("guest_lets_go") == (
        of_python(finalizer._restype_),
        [shape(each) for each in finalizer._argtypes_],
    )


def test_pythons_structures_have_wasmtimes_layout() -> None:
    theirs = wasmtime_ffi.wasm_byte_vec_t
    assert ctypes.sizeof(ffi.Bytes) == ctypes.sizeof(theirs)
    for field in ("size", "data"):
        mine, other = getattr(ffi.Bytes, field), getattr(theirs, field)
        assert (mine.offset, mine.size) == (other.offset, other.size)
    instance = wasmtime_ffi.wasmtime_component_instance_t
    assert ffi.Attempt.instance.size == ctypes.sizeof(instance)
    assert ffi.Attempt.instance.offset % ctypes.alignment(instance) == 0
    assert ffi.Attempt.error.offset >= ctypes.sizeof(instance)
    assert ffi.Attempt.error.size == ctypes.sizeof(ctypes.c_void_p)


def makers() -> list[str]:
    """The functions of wasmtime's that give out something which has to have an owner; errors have one line for all."""
    used = set(ffi.SIGNATURES) | set(re.findall(r"was[mi]\w+(?=, *\()", (NATIVE / "wasmtime.h").read_text()))
    found = [name for name in used if re.search(r"_new(_\w+)?$|_clone$", name)]
    for name in used:
        given = getattr(getattr(_bindings, f"_{name}").restype, "_type_", None)
        if given is not None and not isinstance(given, str) and given is not _bindings.wasmtime_error_t:
            found.append(name)
    return sorted({*found, *(name for name in used if name.endswith("_context_get_data"))})


@pytest.mark.parametrize("name", makers())
def test_every_pointer_has_its_owner_written_down(name: str) -> None:
    table = (ffi.__doc__ or "").partition("made by")[2]
    words = name.split("_")
    ends = ["_".join(words[start:]) for start in range(len(words) - 1)]
    assert any(re.search(rf"^    .*\b{end}\b", table, re.MULTILINE) for end in ends), name


def test_many_pointers_are_looked_for() -> None:
    wanted = {"wasmtime_engine_clone", "wasmtime_error_new", "wasi_config_new", "wasm_byte_vec_new"}
    assert wanted <= set(makers())
