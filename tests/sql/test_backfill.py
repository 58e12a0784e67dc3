"""aerofn.backfill(): events for rows that were there already, in chunks, resumable, each once."""

import json

import asyncpg
import pytest

COMPONENT = bytes.fromhex("0061736d0d000100")


@pytest.fixture
async def conn(database):
    conn = await database.connect()
    await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
    await conn.execute(
        """CREATE TABLE t (a int, "b c" text, at timestamptz DEFAULT '2024-02-29 12:00+00', PRIMARY KEY ("b c", a));
        INSERT INTO t SELECT i, 'k' || i % 7 FROM generate_series(1, 250) i"""
    )
    return conn


async def attach(conn, options=""):
    await conn.execute(f"SELECT aerofn.create_row_trigger('f', 't', name => 'trig' {options})")


async def test_every_row_once_in_chunks_as_if_inserted(conn):
    await attach(conn, ", run_as => 'service_role'")
    await conn.execute("SET timezone = 'Asia/Tokyo'")
    await conn.execute("CALL aerofn.backfill('trig', chunk => 40)")
    rows = await conn.fetch("SELECT operation, role, priority, record FROM aerofn.events")
    assert {(r["operation"], r["role"], r["priority"]) for r in rows} == {("INSERT", "service_role", -1)}
    assert sorted(json.loads(r["record"])["a"] for r in rows) == list(range(1, 251))
    assert json.loads(rows[0]["record"])["at"] == "2024-02-29T12:00:00+00:00"
    done = await conn.fetchrow('SELECT "trigger", "where", events, finished FROM aerofn.backfills')
    assert tuple(done) == ("trig", None, 250, True)


async def test_conditions_of_the_trigger_and_of_the_call(conn):
    await attach(conn, """, events => '{INSERT}', "when" => 'NEW.a > 10', ordered_by => 'row'""")
    await conn.execute("CALL aerofn.backfill('trig', 'a <= 20 -- those')")
    rows = await conn.fetch("SELECT record, order_key FROM aerofn_internal.events")
    assert sorted(json.loads(r["record"])["a"] for r in rows) == list(range(11, 21))
    assert len({r["order_key"] for r in rows}) == 10


async def test_broken_off_it_goes_on_where_it_was(conn, database):
    await attach(conn)
    # The connection goes away in the middle: what was committed is kept.
    other = await database.connect()
    step = "SELECT events, finished FROM aerofn_internal.backfill_step('trig', NULL, 60)"
    assert tuple(await other.fetchrow(step)) == (60, False)
    await other.transaction().start()
    assert (await other.fetchrow(step))["events"] == 120
    other.terminate()
    await conn.execute(
        "INSERT INTO t SELECT 999, 'z'"
    )  # has its event from the trigger, and is not backfilled
    await conn.execute("CALL aerofn.backfill('trig', chunk => 60)")
    numbers = await conn.fetch("SELECT (record ->> 'a')::int AS a FROM aerofn.events ORDER BY 1")
    assert [r["a"] for r in numbers] == [*range(1, 251), 999]
    # Once finished, another call is another backfill.
    await conn.execute("CALL aerofn.backfill('trig', 'a = 1')")
    assert await conn.fetchval("SELECT events FROM aerofn.backfills") == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("'nix'", "there is no trigger 'nix'"),
        ("'trig', 'nix = 1'", 'column "nix" does not exist'),
        ("'trig', chunk => 0", "chunk is 0"),
        ("'updates'", "does not run for inserted rows"),
        ("'keyless'", "has no primary key"),
    ],
)
async def test_what_cannot_be_backfilled(conn, call, message):
    await attach(conn)
    await conn.execute(
        """CREATE TABLE k (a int); SELECT aerofn.create_row_trigger('f', 'k', name => 'keyless');
        SELECT aerofn.create_row_trigger('f', 't', '{UPDATE}', name => 'updates')"""
    )
    with pytest.raises(asyncpg.PostgresError) as caught:
        await conn.execute(f"CALL aerofn.backfill({call})")
    assert message in str(caught.value)
    assert await conn.fetchval("SELECT count(*) FROM aerofn.events") == 0


async def test_rows_are_read_with_the_callers_rights(conn):
    await attach(conn)
    await conn.execute("CREATE ROLE backfiller_of_this_test; GRANT aerofn_admin TO backfiller_of_this_test")
    try:
        await conn.execute("SET ROLE backfiller_of_this_test")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("CALL aerofn.backfill('trig')")
        await conn.execute("RESET ROLE; GRANT SELECT ON t TO backfiller_of_this_test")
        await conn.execute("SET ROLE backfiller_of_this_test")
        await conn.execute("CALL aerofn.backfill('trig')")
    finally:
        await conn.execute(
            "RESET ROLE; DROP OWNED BY backfiller_of_this_test; DROP ROLE backfiller_of_this_test"
        )
    assert await conn.fetchval("SELECT count(*) FROM aerofn.events") == 250
