"""What a crash of PostgreSQL makes of leases, whose commits do not wait for the disk: lost ones were none."""

import asyncpg
import pytest

from aerofn import sql
from aerofn.db.horizon import BEGINNING
from aerofn.db.migrate import migrate
from aerofn.settings import from_env

from .test_exactly_once import Cluster

QUERIES = sql.queries("events")
COMPONENT = bytes.fromhex("0061736d0d000100")
STATE = "SELECT state::text, attempt, token FROM aerofn_internal.events"
COMPLETE = "SELECT aerofn_internal.complete_events(ARRAY[$1::bigint], ARRAY[$2::bigint])"


@pytest.fixture
async def cluster(tmp_path):
    """A PostgreSQL that leaves what need not be on the disk in memory for as long as it may, with one event."""
    cluster = Cluster(tmp_path)
    cluster.server.start()
    try:
        conn = await cluster.connect()
        await conn.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        await conn.execute("SELECT pg_reload_conf()")
        await migrate(conn, from_env({}, database_url=cluster.server.url))
        await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
        await conn.execute("CREATE TABLE effects (attempt int); SELECT aerofn.invoke('f')")
        await conn.close()
        yield cluster
    finally:
        await cluster.close()


async def lease(conn, node):
    (event,) = await conn.fetch(QUERIES.lease, node, 10, 60.0, *BEGINNING)
    return event


async def run(conn, event):
    """The function's transaction: its effect, and the completion of its event."""
    async with conn.transaction():
        await conn.execute("INSERT INTO effects VALUES ($1)", event["attempt"])
        await conn.execute(COMPLETE, event["id"], event["token"])


async def test_a_lost_lease_completes_nothing_and_its_event_runs_elsewhere(cluster):
    conn = await cluster.connect()
    lost = await lease(conn, 1)
    cluster._restart()
    conn = await cluster.connect()
    state, attempt, token = await conn.fetchrow(STATE)
    if state == "running":  # it was on the disk after all
        await conn.fetch(QUERIES.reclaim)
    else:
        assert (state, attempt, token) == ("pending", 0, None)
    again = await lease(conn, 2)
    assert (again["id"], again["token"] == lost["token"]) == (lost["id"], False)
    with pytest.raises(asyncpg.PostgresError) as caught:
        await run(conn, lost)
    assert caught.value.sqlstate == "AF001"
    await run(conn, again)
    assert [row["attempt"] for row in await conn.fetch("SELECT attempt FROM effects")] == [again["attempt"]]
    await conn.close()


async def test_a_lease_that_was_made_safe_survives_and_what_committed_after_it_does_too(cluster):
    conn = await cluster.connect()
    safe = await lease(conn, 1)
    await conn.execute(QUERIES.secure)
    cluster._restart()
    conn = await cluster.connect()
    assert tuple(await conn.fetchrow(STATE)) == ("running", 1, safe["token"])
    await conn.execute("SELECT aerofn.invoke('f')")
    await run(conn, safe)
    done = await lease(conn, 2)
    await run(conn, done)  # its commit takes its lease to the disk
    cluster._restart()
    conn = await cluster.connect()
    assert await conn.fetchval("SELECT count(*) FROM effects") == 2
    assert await conn.fetch(STATE) == []
    await conn.close()
