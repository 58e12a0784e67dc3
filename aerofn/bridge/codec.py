"""Parameters of a statement: from the guest's JSON to the text that PostgreSQL's types read.

A string is taken as it is (also for json and jsonb, where it is the JSON text), numbers keep every digit, an
array becomes an array literal or JSON as the parameter's type wants, an object becomes JSON.
"""

from functools import lru_cache

import msgspec

from aerofn.errors import QueryError

MOST = 65_535  # parameters of one statement, as PostgreSQL's protocol counts them
_FEW = 2 * MOST  # characters: no room for more values than that
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_string = msgspec.json.Decoder(str).decode


class Parameter(msgspec.Struct, frozen=True):
    """A parameter's type, as PostgreSQL inferred it: its quoted name, and how JSON becomes its text."""

    type: str
    array: bool = False
    json: bool = False

    def expression(self, number: int) -> str:
        """Stands for `$number` in the text that the executor runs: an element of its one text[] parameter."""
        return f"(($1)[{number}]::{self.type})"


def texts(params: str, types: list[Parameter]) -> list[str | None]:
    """The parameters as text, one for each type.

    Raises:
        QueryError: not a JSON array, nested past all reason, or not as many values as the statement has parameters.
    """
    try:
        if len(params) > _FEW:
            _check_count(params, len(types))
        return _texts(_list(params), types)
    except msgspec.DecodeError as error:
        raise QueryError({"code": "22023", "message": f"the parameters are no JSON array: {error}"}) from None
    except RecursionError:
        raise QueryError({"code": "54001", "message": "the parameters are nested too deeply"}) from None


@lru_cache(256)
def _exactly(count: int) -> msgspec.json.Decoder[object]:
    return msgspec.json.Decoder(tuple[(msgspec.Raw,) * count])  # type: ignore[misc]


def _check_count(params: str, count: int) -> None:
    """Refuse a long text with another number of values, and make no objects of more than that many."""
    try:
        _exactly(min(count, MOST)).decode(params)
    except msgspec.ValidationError as error:
        if params.lstrip()[:1] != "[":
            raise
        raise QueryError(
            {
                "code": "08P01",
                "message": f"the statement has {count} parameters, but not as many values were given: {error}",
            }
        ) from None


def _texts(values: list[msgspec.Raw], types: list[Parameter]) -> list[str | None]:
    if len(values) != len(types):
        raise QueryError(
            {
                "code": "08P01",
                "message": f"the statement has {len(types)} parameters, but {len(values)} values were given",
                "hint": "Write $1, $2 … in the statement, and give as many values in the array.",
            }
        )
    return [_text(bytes(value), kind) for value, kind in zip(values, types, strict=True)]


def _text(raw: bytes, kind: Parameter) -> str | None:
    if raw == b"null":
        return None
    first = raw[:1]
    if first == b'"':
        text = _string(raw)
        if "\0" in text:
            raise QueryError(
                {"code": "22021", "message": "text in PostgreSQL cannot contain the character U+0000"}
            )
        return text
    if first == b"[" and kind.array:
        return _array(raw)
    return raw.decode()


def _array(raw: bytes) -> str:
    inner = raw[1:-1]
    if not any(special in inner for special in (b"\\", b"[", b"{")):
        return (
            f"{{{inner.decode()}}}"  # then JSON and PostgreSQL write it alike, however many elements it has
        )
    return "{" + ",".join(_element(bytes(value)) for value in _list(raw)) + "}"


def _element(raw: bytes) -> str:
    if raw == b"null":
        return "NULL"
    if raw[:1] == b"[":
        return _array(raw)
    text = _string(raw) if raw[:1] == b'"' else raw.decode()
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
