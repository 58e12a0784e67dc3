"""JSON between Python and PostgreSQL without losing a digit.

In: integers are int, whatever their size; numbers with a fraction or an exponent are Decimal.
Out: Decimal as its digits; dates, times and UUIDs as text; bytes as PostgreSQL's hex text.
"""

import contextlib
import datetime
import json
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import isfinite
from typing import Any

_decode = json.JSONDecoder(parse_float=Decimal).decode


class _NeedsDigits(Exception):
    """There is a number that the standard encoder cannot write."""


def parse(text: str) -> Any:
    """A JSON document as Python values."""
    return _decode(text)


def dump(value: Any) -> str:
    """A result as JSON; numbers that JSON cannot say (NaN, infinity) are null."""
    return _well_formed(_dump(value, "null"))


def dump_parameters(values: Sequence[Any]) -> str:
    """A statement's parameters as JSON; NaN and infinity go as the words that PostgreSQL knows."""
    return _well_formed(_dump(list(values), None))


def _well_formed(text: str) -> str:
    """Without half characters (lone surrogates), which UTF-8 cannot say."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _dump(value: Any, odd: str | None) -> str:
    with contextlib.suppress(_NeedsDigits, ValueError):
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain, separators=(",", ":"))
    return _exact(value, odd, ())


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        raise _NeedsDigits
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return "\\x" + bytes(value).hex()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no JSON value: {value!r}")


def _exact(value: Any, odd: str | None, outer: tuple[int, ...]) -> str:
    """As the standard encoder, with every digit of every Decimal; slower, for it is Python."""
    if isinstance(value, float | Decimal):
        return _number(value, odd)
    if value is None or isinstance(value, str | int):
        return json.dumps(value, ensure_ascii=False)
    if id(value) in outer:
        raise ValueError("a value that contains itself is no JSON value")
    within = (*outer, id(value))
    if isinstance(value, list | tuple):
        return "[" + ",".join([_exact(one, odd, within) for one in value]) + "]"
    if isinstance(value, dict):
        return "{" + ",".join([f"{_key(k)}:{_exact(v, odd, within)}" for k, v in value.items()]) + "}"
    return _exact(_plain(value), odd, within)


def _number(value: float | Decimal, odd: str | None) -> str:
    if isfinite(value):
        return str(value) if isinstance(value, Decimal) else repr(value)
    return json.dumps(_word(value)) if odd is None else odd


def _word(value: float | Decimal) -> str:
    if value != value:  # noqa: PLR0124  NaN
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _key(key: Any) -> str:
    if isinstance(key, str):
        return json.dumps(key, ensure_ascii=False)
    if key is None or isinstance(key, bool | int):
        return json.dumps(json.dumps(key))
    return json.dumps(str(key), ensure_ascii=False)
