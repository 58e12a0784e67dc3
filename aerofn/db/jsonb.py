"""JSON for PostgreSQL: its jsonb and text know no NUL, which a guest may well log, throw or have in its claims."""

import re
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
# The escape, and not a backslash (or several) before the letters u0000.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def jsonb(value: Any) -> str:
    """The JSON of `value`, with U+FFFD for every NUL."""
    text = _encode(value).decode()
    return _NUL.sub("\\1\N{REPLACEMENT CHARACTER}", text) if "\\u0000" in text else text
