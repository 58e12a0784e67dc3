"""Every common type, from JSON into a statement without casts, and back as JSON without loss."""

import json

import pytest

from .session_kit import ask, committed

TYPES = {
    "smallint": (7, 7),
    "bigint": (9007199254740993, 9007199254740993),
    "bigint ": ("9223372036854775807", 9223372036854775807),
    "numeric": ("12345678901234567890.123456789", None),
    "float8": (1.5, 1.5),
    "boolean": (True, True),
    "text": ("é ' \\ \n \U0001f600 $1", "é ' \\ \n \U0001f600 $1"),
    "varchar(3)": ("abc", "abc"),
    "uuid": ("5f3a0f5e-6d3a-4f6e-9d2f-0d8b2c6a4f11", "5f3a0f5e-6d3a-4f6e-9d2f-0d8b2c6a4f11"),
    "bytea": ("\\x00ff", "\\x00ff"),
    "date": ("2026-02-28", "2026-02-28"),
    "time": ("12:30:00", "12:30:00"),
    "timestamp": ("2026-01-01T12:00:00", "2026-01-01T12:00:00"),
    "timestamptz": ("2026-01-01T14:00:00+02:00", "2026-01-01T12:00:00+00:00"),
    "interval": ("1 day 2 hours", "1 day 02:00:00"),
    "json": ({"a": [1, None]}, {"a": [1, None]}),
    "jsonb": ({"b": 1, "a": "x"}, {"b": 1, "a": "x"}),
    "jsonb ": ('{"written": "as text"}', {"written": "as text"}),
    "jsonb  ": ([1, 2], [1, 2]),
    "int[]": ([1, None, 3], [1, None, 3]),
    "int[] ": ([], []),
    "text[]": (["a,b", 'c"d', "e\\f", "NULL", ""], ["a,b", 'c"d', "e\\f", "NULL", ""]),
    "int[][]": ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
    "jsonb[]": ([{"a": 1}], [{"a": 1}]),
    "mood": ("happy", "happy"),
    "mood[]": (["happy", "sad"], ["happy", "sad"]),
    "positive": (5, 5),
    "pair": ('(1,"x y")', {"a": 1, "b": "x y"}),
    "int4range": ("[1,5)", "[1,5)"),
    "inet": ("10.0.0.1", "10.0.0.1"),
    "money_like": ("1.50", None),
}


@pytest.fixture
async def typed(door, database):
    conn = await database.connect()
    await conn.execute("""
        CREATE TYPE mood AS ENUM ('happy', 'sad');
        CREATE DOMAIN positive AS int CHECK (VALUE > 0);
        CREATE DOMAIN money_like AS numeric(10, 2);
        CREATE TYPE pair AS (a int, b text);""")
    return door, conn


@pytest.mark.parametrize("name", TYPES)
async def test_both_ways(typed, name):
    door, conn = typed
    given, expected = TYPES[name]
    await conn.execute(f"CREATE TABLE t (v {name}); GRANT ALL ON t TO authenticated")
    async with committed(door) as opened:
        ok, doc = await opened.query("INSERT INTO t VALUES ($1) RETURNING v", json.dumps([given]))
        assert ok, doc
        if expected is None:
            assert f'"v":{given}'.encode() in doc.replace(b" ", b"")  # every digit
        else:
            assert json.loads(doc)["rows"] == [{"v": expected}]
        assert (await ask(opened, "SELECT count(*) AS n FROM t WHERE v IS NULL"))[1]["rows"] == [{"n": 0}]
        assert (await ask(opened, "UPDATE t SET v = $1", None))[1] == {"rows": [], "rowCount": 1}


async def test_a_domains_check_refuses(typed):
    door, _ = typed
    async with committed(door) as opened:
        ok, doc = await ask(opened, "SELECT $1::positive", -1)
        assert (ok, doc["code"]) == (False, "23514")


async def test_a_parameter_may_come_twice_and_out_of_order(typed):
    door, _ = typed
    async with committed(door) as opened:
        ok, doc = await ask(opened, "SELECT $2::text || $1 || $2 AS x -- $3", "a", "b")
        assert (ok, doc["rows"]) == (True, [{"x": "bab"}])
