"""JSON to PostgreSQL and from it. Its jsonb and text know no NUL, which a guest may log, throw, or have in claims."""

import re
from collections.abc import Collection
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
# The escape, and not a backslash (or several) before the letters u0000.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def jsonb(value: Any) -> str:
    """The JSON of `value`, with U+FFFD for every NUL."""
    text = _encode(value).decode()
    return _NUL.sub("\\1\N{REPLACEMENT CHARACTER}", text) if "\\u0000" in text else text


def fields_of(row: Any, json: Collection[str]) -> dict[str, Any]:
    """A row's columns by name; those of `json`, as PostgreSQL wrote them."""
    return {
        key: msgspec.Raw(value.encode()) if key in json and value is not None else value
        for key, value in row.items()
    }
