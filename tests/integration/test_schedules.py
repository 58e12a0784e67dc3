"""Ticks become events: each once, by any number of nodes, whatever the clock does and whoever is killed."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from aerofn.db.database import Database
from aerofn.db.schedules import Schedules
from aerofn.dispatch.schedule import decision, tick

from .conftest import REDUCE_STOCK

START = datetime(2026, 3, 28, 12, 0, 30, tzinfo=UTC)


class Clock:
    """The database's clock, which stands still until it is set."""

    def __init__(self, conn: asyncpg.Connection) -> None:
        self._conn = conn
        self.now = START

    async def install(self) -> None:
        await self._conn.execute(
            """CREATE TABLE public.clock (now timestamptz NOT NULL); INSERT INTO public.clock VALUES (now());
            GRANT SELECT ON public.clock TO PUBLIC;
            CREATE OR REPLACE FUNCTION aerofn_internal.clock() RETURNS timestamptz LANGUAGE sql VOLATILE
            SET search_path = pg_catalog, pg_temp AS 'SELECT now FROM public.clock'"""
        )
        await self.set(START)

    async def set(self, now: datetime) -> None:
        self.now = now
        await self._conn.execute("UPDATE public.clock SET now = $1", now)

    async def step(self, **by: float) -> None:
        await self.set(self.now + timedelta(**by))


@pytest.fixture
async def clock(conn):
    clock = Clock(conn)
    await clock.install()
    await conn.execute("SELECT aerofn.register_function('f', $1)", REDUCE_STOCK.read_bytes())
    return clock


@pytest.fixture
async def nodes(database):
    """The schedules as two nodes see them."""
    pools = [await asyncpg.create_pool(database.url, min_size=1, max_size=2) for _ in range(2)]
    yield [Schedules(Database(pool)) for pool in pools]
    for pool in pools:
        await pool.close()


async def schedule(conn, cron, *options):
    given = ", ".join(["'f'", f"'{cron}'", *options])
    await conn.execute(f"SELECT aerofn.create_schedule({given})")


async def ticks(conn):
    """The ticks that have an event, as hours and minutes; then these events are gone, as if they had run."""
    rows = await conn.fetch(
        "DELETE FROM aerofn_internal.events RETURNING (payload ->> 'scheduled_at')::timestamptz AS at"
    )
    return sorted(f"{row['at']:%d %H:%M:%S}" for row in rows)


async def test_two_nodes_at_once_make_each_tick_one_event(conn, clock, nodes):
    await schedule(conn, "*/10 * * * * *", "name => 'a'")
    await schedule(conn, "*/15 * * * * *", "name => 'b'")
    for seconds in (0, 5, 7, 30, 1, 0, 2, 45, 20, 10) * 3:
        await clock.step(seconds=seconds)
        await asyncio.gather(*(tick(node) for node in nodes))
    rows = await conn.fetch("SELECT \"trigger\", payload ->> 'scheduled_at' AS at FROM aerofn.events")
    counted = Counter((row["trigger"], datetime.fromisoformat(row["at"])) for row in rows)
    seconds = int((clock.now - START).total_seconds())
    every = {("a", 10), ("b", 15)}
    expected = {
        (name, START + timedelta(seconds=s))
        for name, step in every
        for s in range(1, seconds + 1)
        if (30 + s) % step == 0
    }
    assert set(counted) == expected
    assert set(counted.values()) == {1}


async def test_a_node_that_is_killed_between_looking_and_deciding_costs_nothing(conn, clock, nodes):
    await schedule(conn, "* * * * *")
    slow, other = nodes
    await tick(other)
    await clock.step(minutes=1)
    looked = await slow.look()
    decided = [decision(one, looked.now) for one in looked.schedules]
    assert decided[0].ticks
    await tick(other)  # as the slow one has not come back
    assert await ticks(conn) == ["28 12:01:00"]
    assert await slow.decide(decided) == 0  # it was only slow, and the event has run and is gone
    assert await ticks(conn) == []


@pytest.mark.parametrize(
    ("missed", "expected"), [("skip", ["28 16:00:00"]), ("once", ["28 15:00:00", "28 16:00:00"])]
)
async def test_what_was_due_while_no_node_ran(conn, clock, nodes, missed, expected):
    await schedule(conn, "@hourly", f"missed => '{missed}'")
    await tick(nodes[0])
    await clock.set(START.replace(hour=16, minute=0, second=59))
    assert await tick(nodes[0]) == 3541
    assert await ticks(conn) == expected
    await clock.step(minutes=30)
    await tick(nodes[0])
    assert await ticks(conn) == []


async def test_clock_steps(conn, clock, nodes):
    await schedule(conn, "*/10 * * * *")
    (node, _) = nodes
    for hours in (3, -2, -1.5, 2.75):  # 15:00:30, 13:00:30, 11:30:30, 14:15:30
        await tick(node)
        await clock.step(hours=hours)
    await tick(node)
    # The step forward is past the lateness that is forgiven but for the last tick; what it decided stays decided.
    assert await ticks(conn) == ["28 15:00:00"]
    await clock.set(START.replace(hour=15, minute=10))
    await tick(node)
    assert await ticks(conn) == ["28 15:10:00"]


async def test_disabled_is_disabled_at_once_and_not_made_up_for(conn, clock, nodes):
    await schedule(conn, "* * * * *", "missed => 'once'")
    await tick(nodes[0])
    looked = await _due(clock, nodes[0])
    await conn.execute("SELECT aerofn.disable_trigger('f_schedule')")
    await nodes[0].decide([decision(one, looked.now) for one in looked.schedules])
    assert await tick(nodes[0]) is None
    await clock.step(hours=1)
    await conn.execute("SELECT aerofn.enable_trigger('f_schedule')")
    await tick(nodes[0])
    assert await ticks(conn) == []
    await clock.step(minutes=1)
    await conn.execute("SELECT aerofn.enable_trigger('f_schedule')")  # changes nothing: it was enabled
    await tick(nodes[0])
    assert await ticks(conn) == ["28 13:02:00"]
    await conn.execute("SELECT aerofn.alter_schedule('f_schedule', '30 * * * * *')")
    await clock.step(minutes=1)
    await tick(nodes[0])
    assert [at[-2:] for at in await ticks(conn)] == ["30"]


async def _due(clock, node):
    await clock.step(minutes=1)
    return await node.look()


async def test_daily_over_both_changes_of_the_clocks(conn, clock, nodes):
    await schedule(conn, "30 2 * * *", "'Europe/Berlin'", "missed => 'once'")
    await tick(nodes[0])
    for day in range(3):
        for hour in range(24):
            await clock.set(START + timedelta(days=day, hours=hour, minutes=29, seconds=30))
            await tick(nodes[0])
    assert await ticks(conn) == ["29 01:00:00", "30 00:30:00", "31 00:30:00"]


async def test_a_schedule_that_a_node_cannot_compute_says_why(conn, clock, nodes):
    await schedule(conn, "@daily")
    await conn.execute("UPDATE aerofn_internal.schedules SET timezone = 'Europe/Atlantis'")
    await tick(nodes[0])
    row = await conn.fetchrow("SELECT next_at, error FROM aerofn.triggers")
    assert (row["next_at"], "Europe/Atlantis" in row["error"]) == (None, True)
    await conn.execute("SELECT aerofn.alter_schedule('f_schedule', timezone => 'Europe/Berlin')")
    await tick(nodes[0])
    row = await conn.fetchrow("SELECT next_at, error FROM aerofn.triggers")
    assert tuple(row) == (datetime(2026, 3, 28, 23, tzinfo=UTC), None)


async def test_a_schedule_made_in_sql_is_live_on_every_node(conn, node_of, probe):
    await conn.execute("CREATE TABLE seen (at timestamptz); GRANT INSERT ON seen TO service_role")
    await conn.execute("SELECT aerofn.register_function('probe', $1)", probe)
    payload = '{"do": "query", "queries": [["INSERT INTO seen VALUES (now())"]]}'
    async with node_of(), node_of():
        await conn.execute(
            "SELECT aerofn.create_schedule('probe', '* * * * * *', run_as => 'service_role', payload => $1)",
            payload,
        )
        async with asyncio.timeout(30):
            while await conn.fetchval("SELECT count(*) FROM seen") < 3:
                await asyncio.sleep(0.05)
        assert await conn.fetchval("SELECT next_at > now() - interval '10 seconds' FROM aerofn.triggers")
        await conn.execute("SELECT aerofn.disable_trigger('probe_schedule')")
        # Nobody decides anything any more: the revision stays.
        before = await conn.fetchval("SELECT revision FROM aerofn_internal.schedules")
        assert await conn.fetchval("SELECT next_at FROM aerofn.triggers") is None
    assert await conn.fetchval("SELECT revision FROM aerofn_internal.schedules") == before
