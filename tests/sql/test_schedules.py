"""Schedules as psql sees them: expressions and zones are checked whole, and every tick passes once."""

import json
from datetime import timedelta

import asyncpg
import pytest

from aerofn import sql
from aerofn.db.horizon import BEGINNING
from aerofn.db.payloads import payload_of
from aerofn.model import Caller

QUERIES = sql.queries("schedules")
COMPONENT = bytes.fromhex("0061736d0d000100")
ALL = {"s": range(60), "m": range(60), "h": range(24), "d": range(1, 32), "M": range(1, 13), "w": range(7)}


@pytest.fixture
async def conn(database):
    conn = await database.connect()
    await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
    return conn


def fields(**given):
    return " ".join(given.get(name, ",".join(map(str, values))) for name, values in ALL.items())


EXPRESSIONS = [
    ("* * * * *", {"s": "0"}, False),
    ("@daily", {"s": "0", "m": "0", "h": "0"}, False),
    (" @Weekly ", {"s": "0", "m": "0", "h": "0", "w": "0"}, False),
    ("@yearly", {"s": "0", "m": "0", "h": "0", "d": "1", "M": "1"}, False),
    ("*/15 9-12 * * mon-fri", {"s": "0", "m": "0,15,30,45", "h": "9,10,11,12", "w": "1,2,3,4,5"}, False),
    ("5-5 3\t* *   *", {"s": "0", "m": "5", "h": "3"}, False),
    ("9-50/20,3 0 1 JAN,dec 5-7", {"s": "0", "m": "3,9,29,49", "h": "0", "d": "1", "M": "1,12", "w": "0,5,6"}, 1),
    ("0 0 */10 * 2-7/2", {"s": "0", "m": "0", "h": "0", "d": "1,11,21,31", "w": "2,4,6"}, False),
    ("0 0 1-31 * 1", {"s": "0", "m": "0", "h": "0", "w": "1"}, True),
    ("0,30 * * * * *", {"s": "0,30"}, False),
    ("0 0 29 2 *", {"s": "0", "m": "0", "h": "0", "d": "29", "M": "2"}, False),
    ("0 0 30 2 1", {"s": "0", "m": "0", "h": "0", "d": "30", "M": "2", "w": "1"}, True),
]  # fmt: skip


async def test_expressions(conn):
    for expression, expected, either_day in EXPRESSIONS:
        found = await conn.fetchrow("SELECT * FROM aerofn_internal.cron($1)", expression)
        assert tuple(found) == (fields(**expected), either_day), expression


NO_EXPRESSIONS = [
    ("", "0 fields"), ("* * * *", "4 fields"), ("* * * * * * *", "7 fields"), ("@reboot", "1 field"),
    ("60 * * * *", "'60' is no minute"), ("* 24 * * *", "'24' is no hour"), ("* * 0 * *", "no day of the month"),
    ("* * * 13 *", "'13' is no month"), ("* * * * 8", "no day of the week"), ("* * * * funday", "'funday'"),
    ("60 * * * * *", "'60' is no second"), ("5/15 * * * *", "no range"), ("22-2 * * * *", "backwards"),
    ("* 22-2 * * *", "backwards"), ("*/0 * * * *", "the step"), ("*/60 * * * *", "the step"),
    ("- * * * *", "'-'"), ("1-2-3 * * * *", "'1-2-3'"), ("? * * * *", "'?'"), ("* * L * *", "'l'"),
    ("* * 15W * *", "'15w'"), ("* * * * 5#2", "'5#2'"), ("H * * * *", "'h'"), ("-1 * * * *", "'-1'"),
    ("*-5 * * * *", "'*-5'"), ("1,,2 * * * *", "''"),
    ("0 0 30 2 *", "never comes"), ("0 0 31 4,6,9,11 *", "never comes"), ("99999999999 * * * *", "no minute"),
    (None, "0 fields"),
]  # fmt: skip


async def test_what_is_no_expression_is_refused_with_advice(conn):
    for expression, said in NO_EXPRESSIONS:
        with pytest.raises(asyncpg.InvalidParameterValueError) as caught:
            await conn.execute("SELECT aerofn.create_schedule('f', $1)", expression)
        assert said in str(caught.value), expression
        assert caught.value.hint


async def test_what_else_cannot_be_right(conn):
    for call, said in {
        "'f', '@daily', 'Europe/Atlantis'": "there is no time zone 'Europe/Atlantis'",
        "'f', '@daily', 'posix/UTC'": "there is no time zone",
        "'f', '@daily', NULL": "there is no time zone NULL",
        "'f', '@daily', missed => 'twice'": "missed is 'twice', not skip or once",
        "'f', '@daily', run_as => 'causer'": "role 'causer' is not one",
        "'f', '@daily', max_attempts => 0": "max_attempts is 0",
        "'g', '@daily'": "there is no function 'g'",
    }.items():
        with pytest.raises(asyncpg.PostgresError) as caught:
            await conn.execute(f"SELECT aerofn.create_schedule({call})")
        assert said in str(caught.value)
    assert await conn.fetchval("SELECT count(*) FROM aerofn.triggers") == 0


async def test_made_changed_disabled_and_dropped(conn):
    made = await conn.fetchval(
        "SELECT aerofn.create_schedule('f', '@daily', 'europe/berlin', payload => '{\"a\": 1}')"
    )
    assert made == "f_schedule"
    with pytest.raises(asyncpg.DuplicateObjectError):
        await conn.execute("SELECT aerofn.create_schedule('f', '@hourly')")
    with pytest.raises(asyncpg.WrongObjectTypeError):
        await conn.execute(
            "CREATE TABLE t (); SELECT aerofn.create_row_trigger('f', 't', name => 'r');"
            "SELECT aerofn.alter_schedule('r', '@daily')"
        )
    shown = "SELECT kind, function, cron, timezone, missed, payload, run_as, enabled FROM aerofn.triggers"
    row = await conn.fetchrow(shown)
    assert tuple(row) == ("schedule", "f", "@daily", "Europe/Berlin", "skip", '{"a": 1}', "anon", True)
    await conn.execute("SELECT aerofn.alter_schedule('f_schedule', missed => 'once', timezone => 'UTC')")
    await conn.execute("SELECT aerofn.disable_trigger('f_schedule')")
    row = await conn.fetchrow(shown)
    assert tuple(row) == ("schedule", "f", "@daily", "UTC", "once", '{"a": 1}', "anon", False)
    assert await conn.fetch(QUERIES.look, 10) == []
    await conn.execute("SELECT aerofn.drop_trigger('f_schedule')")
    assert await conn.fetchval("SELECT count(*) FROM aerofn_internal.schedules") == 0


async def test_a_decision_counts_once_and_only_while_nothing_has_changed(conn):
    await conn.execute(
        "SELECT aerofn.create_schedule('f', '* * * * * *', run_as => 'service_role', payload => '{\"to\": \"all\"}')"
    )

    async def look():
        return dict((await conn.fetch(QUERIES.look, 10))[0])

    async def decide(seen, *ticks):
        until = seen["now"].isoformat()
        given = {
            "id": seen["id"],
            "revision": seen["revision"],
            "decided_until": until,
            "ticks": [t.isoformat() for t in ticks],
        }
        return await conn.fetchval(QUERIES.decide, json.dumps([given]))

    seen = await look()
    tick = seen["now"].replace(microsecond=0) + timedelta(seconds=1)
    assert [await decide(seen, tick), await decide(seen, tick)] == [1, 0]
    # Also when the first event has run meanwhile and is gone.
    await conn.execute("DELETE FROM aerofn_internal.events")
    assert await decide(seen, tick) == 0
    for change in (
        "disable_trigger('f_schedule')",
        "enable_trigger('f_schedule')",
        "alter_schedule('f_schedule')",
    ):
        seen = await look() if change[0] != "e" else seen
        await conn.execute(f"SELECT aerofn.{change}")
        assert await decide(seen, tick) == 0, change
    assert await conn.fetchval("SELECT count(*) FROM aerofn.events") == 0
    assert await decide(await look(), tick, tick + timedelta(seconds=1)) == 1
    leased = await conn.fetch(sql.queries("events").lease, 1, 10, 60.0, *BEGINNING)
    assert [json.loads(payload_of(row, Caller("service_role"))) | {"id": ""} for row in leased] == [
        {
            "id": "", "trigger": "schedule", "name": "f_schedule", "payload": {"to": "all"},
            "scheduled_at": (tick + timedelta(seconds=i)).isoformat(), "attempt": 1,
            "caller": {"role": "service_role", "sub": None},
        }
        for i in range(2)
    ]  # fmt: skip
