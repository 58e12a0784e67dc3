"""What becomes of the values of secrets in text, and what of other text."""

import base64
import json
import urllib.parse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerofn.bridge.journal import Journal
from aerofn.bridge.redaction import Redactor, bare
from aerofn.model import CUT

VALUE = 'sk_live/+"\\é&<x>=\n42'
RED = Redactor({"KEY": VALUE})


def encoded(value: str) -> dict[str, str]:
    data = value.encode()
    escaped = json.dumps(value)
    return {
        "raw": value,
        "json": escaped,
        "json in json": json.dumps(escaped),
        "json, not ascii": json.dumps(value, ensure_ascii=False),
        "url": urllib.parse.quote(value, safe=""),
        "url, lower": urllib.parse.quote(value, safe="").lower(),
        "form": urllib.parse.quote_plus(value),
        "encodeURIComponent": urllib.parse.quote(value, safe="!'()*-_.~"),
        "hex": data.hex(),
        "hex, upper": data.hex().upper(),
        "hex, spaced": data.hex(" "),
        "bytes": f"Uint8Array({len(data)}) {list(data)}",
        "base64": base64.b64encode(data).decode(),
        "base64, 1 before": base64.b64encode(b"a" + data + b"b").decode(),
        "base64, 2 before": base64.b64encode(b"ab" + data + b"c").decode(),
        "base64, url": base64.urlsafe_b64encode(b"user:" + data).decode(),
        "reversed": value[::-1],
        "upper": value.upper(),
        "letters": json.dumps(list(value), ensure_ascii=False),
        "dashes": "-".join(value),
        "html": value.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;"),
    }


@pytest.mark.parametrize("how", encoded(VALUE))
def test_a_value_is_found_however_it_is_written(how):
    text = RED.text(f"before {encoded(VALUE)[how]} after")
    assert "[secret KEY]" in text
    assert "sk_live" not in text.lower()
    assert text.startswith("before ")
    assert text.endswith(" after")


@pytest.mark.parametrize("how", encoded(VALUE))
@pytest.mark.parametrize("left", [1, 4, 8])
def test_nothing_is_left_of_a_value_where_an_error_was_cut(how, left):
    written = encoded(VALUE)[how]
    text = RED.error(f"before / {written[:-left]}{CUT}")
    assert text.endswith(CUT)
    assert text.startswith("before")
    assert bare(written[:-left])[-6:] not in bare(text)


def test_nothing_is_left_of_a_short_value_where_an_error_was_cut():
    assert Redactor({"PIN": "1-2-3-45"}).error(f"it is 1-2-3{CUT}") == f"it is {CUT}"


def test_an_error_that_was_cut_elsewhere_stays():
    assert RED.error(f"before {CUT}") == f"before {CUT}"
    assert RED.error(f"{VALUE} after{CUT}") == f"[secret KEY] after{CUT}"


def test_over_several_lines():
    lines = RED.lines(["one: sk_li", 've/+"', "\\é&<x>=\n42 and more"])
    assert lines == ["one: [secret KEY]", '[secret KEY]/+"', "\\[secret KEY] and more"]


def test_other_text_stays():
    text = 'order 42 was paid: {"total": 12.5} sk_live or not'
    assert RED.text(text) == text
    assert RED.lines([]) == []


def test_a_value_of_punctuation_is_found_as_it_is():
    assert Redactor({"P": "!?!?!?!?"}).text("a !?!?!?!? b") == "a [secret P] b"
    assert Redactor({"P": "00:\\:00"}).text(r'{"a": "00:\\:00"}') == '{"a": "[secret P]"}'


def test_overlapping_values():
    red = Redactor({"A": "abcdefgh", "B": "efghijkl"})
    assert "ijkl" not in red.text("xabcdefghijklx")
    assert "abcd" not in red.text("xabcdefghijklx")


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=8, max_size=60),
    st.integers(0, 5),
    st.data(),
)
def test_nothing_is_left_of_any_value(value, before, data):
    red = Redactor({"K": value})
    written = data.draw(st.sampled_from(["raw", "json", "url", "hex", "base64, 1 before", "bytes"]))
    assert encoded(value)[written] not in red.text("." * before + encoded(value)[written] + ".")


def test_a_journal_looks_back_over_the_lines_before():
    journal = Journal(100, Redactor({"K": "0123456789abcdef"}))
    for part in ("a 0123", "4567", "--", "89ab", "cdef", "later"):
        journal.add("info", part, 0.0)
    kept = "".join(line.message for line in journal.lines)
    assert not any(digits in kept for digits in ("0123", "4567", "89ab", "cdef"))
    assert journal.lines[-1].message == "later"


def test_a_value_is_not_cut_through_by_the_longest_line():
    journal = Journal(100, Redactor({"K": "0123456789abcdef"}))
    journal.add("info", "x" * (16_384 - 8) + "0123456789abcdef", 0.0)
    assert "0123" not in journal.lines[0].message
    assert len(journal.lines[0].message) <= 16_384


def test_a_journal_keeps_its_cap():
    journal = Journal(2)
    for n in range(5):
        journal.add("odd", f"line {n}", 0.0)
    assert [line.message for line in journal.lines] == [
        "line 0",
        "line 1",
        "more than 2 lines: the rest is not kept",
    ]
    assert journal.lines[0].level == "info"
