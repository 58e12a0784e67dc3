"""Commands that decide about many events at once: all dead ones of a trigger, and rows that were there already."""

import asyncio
import json

import pytest

from .cli_kit import LONGEST_S, aerofn, start

COMPONENT = bytes.fromhex("0061736d0d000100")


@pytest.fixture
async def conn(database):
    conn = await database.connect()
    await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
    await conn.execute(
        """CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 3000);
        SELECT aerofn.create_row_trigger('f', 't')"""
    )
    return conn


async def test_replay_all_of_a_trigger(conn, database):
    await conn.execute("INSERT INTO t VALUES (3001), (3002), (3003)")
    await conn.execute(
        """UPDATE aerofn_internal.events SET state = 'dead'
        WHERE id IN (SELECT id FROM aerofn.events WHERE record ->> 'a' <> '3002')"""
    )
    said = await aerofn("replay", "--all-of", "f_on_t", DATABASE_URL=database.url)
    assert (said.code, said.out) == (0, "2 dead events of f_on_t will run again\n"), said.err
    assert await conn.fetchval("SELECT count(*) FROM aerofn.events WHERE state = 'pending'") == 3
    unknown = await aerofn("replay", "--all-of", "nix", DATABASE_URL=database.url)
    assert (unknown.code, "there is no trigger 'nix'" in unknown.err) == (1, True)
    for neither_or_both in ([], ["1", "--all-of", "f_on_t"]):
        wrong = await aerofn("replay", *neither_or_both, DATABASE_URL=database.url)
        assert (wrong.code, "--all-of" in wrong.err) == (2, True)


async def test_a_backfill_that_is_killed_goes_on_where_it_was(conn, database):
    child = await start("backfill", "f_on_t", "--chunk", "10", DATABASE_URL=database.url)
    async with asyncio.timeout(LONGEST_S):
        while not await conn.fetchval("SELECT sum(events) > 50 FROM aerofn.backfills"):
            assert child.returncode is None
            await asyncio.sleep(0.01)
        async with (
            conn.transaction()
        ):  # while it waits for the table it is killed; PostgreSQL ends its last step
            await conn.execute("LOCK TABLE t")
            child.kill()
            await child.communicate()
            assert not await conn.fetchval("SELECT finished FROM aerofn.backfills")
    again = await aerofn("backfill", "f_on_t", DATABASE_URL=database.url)
    assert (again.code, again.out) == (0, "3000 rows of f_on_t have their events\n"), again.err
    rows = await conn.fetch("SELECT record FROM aerofn.events")
    assert sorted(json.loads(row["record"])["a"] for row in rows) == list(range(1, 3001))
    assert await conn.fetchval("SELECT finished FROM aerofn.backfills")
