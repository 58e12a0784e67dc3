"""The whitespace behind an event's text."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerofn.dispatch.told import body_found, told


@given(st.text(st.sampled_from('0123456789.-e" é'), max_size=80))
def test_a_space_says_that_there_is_no_run_of_16_digits_or_points(text: str) -> None:
    event = json.dumps({"payload": text}, ensure_ascii=False).encode()
    assert told(event) == event + (b"" if re.search(rb"[0-9.]{16}", event) else b" ")


@pytest.mark.parametrize("size", [64 << 10, (64 << 10) + 1])
def test_nothing_is_said_of_large_events(size: int) -> None:
    event = b'"' + b"x" * (size - 2) + b'"'
    assert told(event).endswith(b" ") == (size == 64 << 10)


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        ({"headers": {}, "body": {"n": 1}}, True),
        ({"headers": {"x": '"body":'}, "body": '"body":'}, True),  # with its quotes escaped
        ({"headers": {"body": "x"}, "body": 1}, False),
        ({"headers": {}, "body": {"body": 1}}, False),
        ({"headers": {}, "body": "x" * (64 << 10)}, False),
    ],
)
def test_a_line_break_says_that_the_only_body_is_the_request_s(
    request_: dict[str, object], found: bool
) -> None:
    event = json.dumps({"id": "i", "request": request_}, separators=(",", ":")).encode()
    assert body_found(event) == event + (b"\n" if found else b"")
