"""Parameters from JSON to PostgreSQL's text: nothing is lost, nothing is guessed."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerofn.bridge.codec import Parameter, texts
from aerofn.bridge.quoting import literal, quoted
from aerofn.errors import QueryError

PLAIN, ARRAY, JSON = Parameter("t"), Parameter("t", array=True), Parameter("t", json=True)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("null", PLAIN, None),
        ("true", PLAIN, "true"),
        ("9007199254740993", PLAIN, "9007199254740993"),
        ("0.1000000000000000000001", PLAIN, "0.1000000000000000000001"),
        ("1e400", PLAIN, "1e400"),
        ('"a\\"b\\u00e9\\n"', PLAIN, 'a"bé\n'),
        ('{"a": [1]}', JSON, '{"a": [1]}'),
        ("[1, 2]", JSON, "[1, 2]"),
        ('"text is JSON text"', JSON, "text is JSON text"),
        ("[1,null,3]", ARRAY, "{1,null,3}"),
        ('["a", "\\u00e9", null]', ARRAY, '{"a","é",NULL}'),
        ('["a",  "b c" ]', ARRAY, '{"a",  "b c" }'),
        ("[[1],[2]]", ARRAY, "{{1},{2}}"),
        ('["a,b","{}","\\\\","\\"","NULL",""]', ARRAY, '{"a,b","{}","\\\\","\\"","NULL",""}'),
        ("[]", ARRAY, "{}"),
        ('"{1,2}"', ARRAY, "{1,2}"),
    ],
)
def test_one_value(value, kind, expected):
    assert texts(f"[{value}]", [kind]) == [expected]


@pytest.mark.parametrize("params", ["", "{}", "[1", "null", '["\\ud800"'])
def test_no_json_array(params):
    with pytest.raises(QueryError) as caught:
        texts(params, [])
    assert caught.value.code == "22023"


def test_the_number_of_values():
    with pytest.raises(QueryError, match="has 2 parameters, but 1 values"):
        texts("[1]", [PLAIN, PLAIN])


def test_too_many_values_are_refused_before_they_are_made():
    """Counted by the memory it takes: 3,000,000 values would be 200 MB."""
    params = f"[{'1,' * 3_000_000}1]"
    tracemalloc.start()
    try:
        with pytest.raises(QueryError, match="has 1 parameters, but not as many") as caught:
            texts(params, [PLAIN])
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert caught.value.code == "08P01"


@pytest.mark.parametrize(
    ("params", "code"), [("[{}]", ""), ("[{},1]", "08P01"), ("{}", "22023"), ("[{}", "22023")]
)
def test_a_long_text_of_parameters_is_judged_as_a_short_one(params, code):
    params = params.format('"' + "x" * 200_000 + '"') if "[" in params else '{"a":"' + "x" * 200_000 + '"}'
    if not code:
        assert texts(params, [PLAIN]) == ["x" * 200_000]
        return
    with pytest.raises(QueryError) as caught:
        texts(params, [PLAIN])
    assert caught.value.code == code


def test_nul_has_a_clear_error():
    with pytest.raises(QueryError, match=r"U\+0000"):
        texts('["a\\u0000"]', [PLAIN])


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_literal_is_ascii_and_ends_where_it_should(text):
    written = literal(text)
    assert written.isascii()
    inside = written.removeprefix("E'").removesuffix("'")
    assert "'" not in inside.replace("''", "")
    assert json.loads(f'"{inside.replace(chr(39) * 2, chr(39))}"') == text


def test_an_identifier():
    assert quoted('a"b') == '"a""b"'


@pytest.mark.parametrize("kind", [PLAIN, JSON, ARRAY])
def test_parameters_nested_past_all_reason_are_an_error(kind):
    with pytest.raises(QueryError) as caught:
        texts(f"[{'[' * 100_000}{']' * 100_000}]", [kind])
    assert caught.value.code == "54001"
