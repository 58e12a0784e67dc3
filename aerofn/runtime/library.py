"""The shared library of `native/`, loaded; one that is not made of the C beside it is refused.

`tools/build_library.py` builds it when AeroFn is installed, and `make` again when the C changes.
"""

import ctypes
import hashlib
import sys
from functools import cache
from pathlib import Path
from typing import TypeVar

from aerofn.errors import InstallationError

_FOLDER = Path(__file__).resolve().parent / "native"
_LIBRARY = _FOLDER / ("libaerofn.dylib" if sys.platform == "darwin" else "libaerofn.so")
_HINT = "make install in a checkout; else install AeroFn again with pip"
_Kind = TypeVar("_Kind", bound=ctypes.CDLL)


@cache
def library() -> ctypes.CDLL:
    """The library whose functions run without Python's GIL.

    Raises:
        InstallationError: it is missing, cannot be loaded, or was built of another source.
    """
    return _checked(ctypes.CDLL)


@cache
def holding_library() -> ctypes.PyDLL:
    """The same library, whose functions keep the GIL: for those that take less time than giving it up.

    Raises:
        InstallationError: as `library` does.
    """
    return _checked(ctypes.PyDLL)


def _checked(kind: type[_Kind]) -> _Kind:
    try:
        loaded = kind(str(_LIBRARY))
        source = loaded.sandbox_source
    except (OSError, AttributeError) as error:
        raise InstallationError("AeroFn's library cannot be loaded", detail=str(error), hint=_HINT) from None
    source.restype = ctypes.c_char_p
    if source() != _digest().encode():
        raise InstallationError(f"{_LIBRARY} was built from another source than it has beside it", hint=_HINT)
    return loaded


def _digest() -> str:
    """As tools/build_library.py has the compiler write it into the library."""
    texts = sorted(_FOLDER.glob("*.[ch]"))
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in texts)).hexdigest()
