"""The error tree: every class has a code and a status of its own, and a JSON body as PostgREST's."""

import re

import pytest

from aerofn import errors
from aerofn.errors import AeroFnError, Busy, HostError, InvocationTimeout, NotFound, QueryError


def all_errors() -> list[type[AeroFnError]]:
    found, todo = [], [AeroFnError]
    while todo:
        kinds = todo.pop().__subclasses__()
        found += kinds
        todo += kinds
    return found


def test_the_drawing_in_the_docstring_is_the_tree():
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__))
    assert drawn == {kind.__name__ for kind in all_errors()}


def test_the_drawing_gives_each_status_and_code():
    rows = re.findall(r"[├└]── (\w+) +(\d{3}) (\w+)", errors.__doc__)
    assert len(rows) > 15
    for name, status, code in rows:
        kind = getattr(errors, name)
        assert (kind.status, kind.code) == (int(status), code), name


def test_retrying_helps_where_the_drawing_says_so():
    drawn = set(re.findall(r"[├└]── (\w+).*\(retry can help\)", errors.__doc__))
    assert drawn == {kind.__name__ for kind in all_errors() if kind.retryable}


def test_the_body_has_the_four_fields():
    error = NotFound("there is no function f", detail="3 others", hint="deploy it first")
    expected = {
        "code": "not_found",
        "message": "there is no function f",
        "detail": "3 others",
        "hint": "deploy it first",
    }
    assert error.body() == expected
    assert str(error) == "there is no function f"


def test_a_more_precise_code_is_the_instances_only():
    assert NotFound("x", code="function_not_found").body()["code"] == "function_not_found"
    assert NotFound("x").code == "not_found"


@pytest.mark.parametrize(("fields", "code", "message"), [
    ({"code": "23505", "message": "duplicate key"}, "23505", "duplicate key"),
    ({}, "XX000", "query failed"),
])  # fmt: skip
def test_a_query_error_carries_what_postgresql_said(fields, code, message):
    error = QueryError(fields)
    assert (error.code, error.message, error.fields) == (code, message, fields)


def test_busy_says_when_to_come_back():
    assert Busy("full", retry_after=7).retry_after == 7
    assert Busy("full").status == 503


def test_outcomes_are_told_apart_by_type():
    assert issubclass(InvocationTimeout, errors.InvocationError)
    assert not issubclass(InvocationTimeout, HostError)
