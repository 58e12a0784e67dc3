"""Comparing what two versions did with an event."""

from aerofn.cli.rehearse.compare import Difference, Ran, differences


def ran(**did) -> Ran:
    return Ran(did={"outcome": "success", **did}, duration_ms=1.0, memory_mb=1.0)


def rows(*rows) -> dict:
    return {"public.notes": {"inserted": len(rows), "rows": list(rows)}}


def test_the_same():
    run = ran(value={"words": 3}, tables=rows({"id": 1, "body": "a"}))
    assert differences((run, run), run) == []


def test_what_the_active_version_does_not_do_twice_is_not_compared():
    active = (ran(tables=rows({"id": 1, "body": "a"})), ran(tables=rows({"id": 2, "body": "a"})))
    assert differences(active, ran(tables=rows({"id": 3, "body": "a"}))) == []
    assert differences(active, ran(tables=rows({"id": 3, "body": "b"}))) == [
        Difference("tables.public.notes.rows[0].body", "a", "b")
    ]


def test_another_result_more_rows_and_an_error():
    active = ran(value={"words": 3}, tables={})
    assert differences((active, active), ran(value={"words": 4}, tables={})) == [
        Difference("value.words", 3, 4)
    ]
    more = differences((active, active), ran(value={"words": 3}, tables=rows({"id": 1})))
    assert Difference("tables.public.notes.inserted", None, 1) in more
    failed = Ran(did={"outcome": "function_error", "error": "no"}, duration_ms=1.0, memory_mb=None)
    assert Difference("outcome", "success", "function_error") in differences((active, active), failed)
    assert not failed.succeeded


def test_nothing_is_not_the_same_as_null():
    active = ran(value={"a": None})
    assert differences((active, active), ran(value={})) == [Difference("value", None, {})]
