"""Query strings: each parameter once, and what it should be."""

import msgspec
import pytest
from starlette.requests import Request

from aerofn.errors import InvalidRequest
from aerofn.web.query import query_of


class Filter(msgspec.Struct, forbid_unknown_fields=True):
    name: str | None = None
    before: int | None = None


def read(query: bytes) -> Filter:
    return query_of(Request({"type": "http", "query_string": query, "headers": []}), Filter, "a hint")


def test_what_is_there_is_read() -> None:
    assert read(b"") == Filter()
    assert read(b"name=&before=7") == Filter("", 7)


@pytest.mark.parametrize(
    "query", [b"before=null", b"before=", b"before=1&before=2", b"name=a&name=a", b"other=1", b"before=x"]
)
def test_what_cannot_be_right_is_refused(query: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(query)
    assert caught.value.hint == "a hint"
