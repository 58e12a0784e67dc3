"""JSON kept as text: checked, passed on byte for byte, and not made into objects."""

import ctypes
import re

import msgspec

from aerofn.runtime.library import library

DEEPEST = 900  # arrays and objects in each other; what Python's own bound lets through differs by its version
_TOO_DEEP = f"nested more than {DEEPEST} deep"
_is_deeper = library().aerofn_is_deeper
_is_deeper.restype, _is_deeper.argtypes = ctypes.c_bool, (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t)
_raw = msgspec.json.Decoder(msgspec.Raw)
# Escapes from left to right, so that `\\ud800` (a backslash, then text) is never taken for one of them.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def problem(text: bytes) -> str | None:
    """What is wrong with `text` as JSON in UTF-8, or None."""
    try:
        _raw.decode(text)
        if not text.isascii():
            text.decode()
    except msgspec.DecodeError as error:
        return str(error)
    except UnicodeDecodeError as error:
        return f"not UTF-8 (byte {error.start})"
    except RecursionError:
        return _TOO_DEEP
    return _TOO_DEEP if len(text) > 2 * DEEPEST and _is_deep(text) else None


def _is_deep(text: bytes) -> bool:
    if text.count(b"[") + text.count(b"{") <= DEEPEST:  # as it is for most, and quickly seen
        return False
    return bool(_is_deeper(text, len(text), DEEPEST))


def mended(text: bytes) -> bytes:
    """`text` with U+FFFD for each half of a surrogate pair that stands alone, as a browser writes it.

    JavaScript's strings may hold such halves (an emoji cut in two), and its JSON does; UTF-8 cannot.
    """
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], text)
