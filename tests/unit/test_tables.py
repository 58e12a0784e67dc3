"""Tables at terminals that are wide, narrow, and too narrow: no name is cut, what nobody needs goes first."""

import io
from datetime import UTC, datetime, timedelta

import pytest

from aerofn.cli import output

COLUMNS = {
    "at": "ended",
    "name": "function",
    "n": "queries",
    "role": "role",
    "nothing": "empty",
    "reason": "error",
}
NAME = "send-a-receipt-to-the-customer-with-a-name"
ROW = {"at": None, "name": NAME, "n": 3, "role": "service_role", "nothing": None,
       "reason": "order 4 wants 9 of them, but only 3 are left"}  # fmt: skip


def shown(monkeypatch, width, rows):
    out = io.StringIO()
    monkeypatch.setattr(
        output, "console", lambda **_: output._Console(file=out, width=width, force_terminal=False)
    )
    # now, and not when this file was read: a day may have begun since, which makes the column wider
    rows = [row | {"at": row["at"] or datetime.now(UTC)} for row in rows]
    output.print_rows(rows, COLUMNS, spare=("n", "role"), as_json=False, nothing="none")
    return out.getvalue()


@pytest.mark.parametrize(("width", "without"), [(160, ""), (82, "queries"), (74, "queries role")])
def test_what_is_spare_goes_where_there_is_no_room(monkeypatch, width, without):
    head, *lines = shown(monkeypatch, width, [ROW]).splitlines()
    assert {word for word in ("queries", "role") if word not in head} == set(without.split())
    assert "empty" not in head
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [160, 80, 40, 20])
def test_nothing_is_cut(monkeypatch, width):
    pieces = shown(monkeypatch, width, [ROW, ROW | {"reason": None}])
    assert "…" not in pieces
    narrow = pieces.split()
    for word in ("order", "left"):
        assert word in narrow
    assert set(NAME) <= set(pieces)


def test_of_today_only_the_time_is_shown(monkeypatch):
    now = datetime.now().astimezone()
    today = shown(monkeypatch, 160, [ROW | {"at": now}])
    before = shown(monkeypatch, 160, [ROW | {"at": now - timedelta(days=2)}])
    assert f"{now:%Y-%m-%d}" not in today or datetime.now().astimezone().date() != now.date()  # midnight
    assert f"{now - timedelta(days=2):%Y-%m-%d %H:%M:%S}" in before
