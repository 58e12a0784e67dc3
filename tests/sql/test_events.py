"""Settling is fenced: only who holds an event's lease can complete it, once."""

import asyncio

import asyncpg
import pytest

from aerofn import sql
from aerofn.db.database import Database
from aerofn.db.events import Events
from aerofn.db.horizon import BEGINNING
from aerofn.dispatch.sweep import Sweep

QUERIES = sql.queries("events")
COMPONENT = bytes.fromhex("0061736d0d000100")


@pytest.fixture
async def leased(database):
    """A connection, and an event leased twice: by a node that went away, then by another."""
    conn = await database.connect()
    await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
    await conn.execute("SELECT aerofn.invoke('f')")
    (old,) = await conn.fetch(QUERIES.lease, 1, 10, 60.0, *BEGINNING)
    assert [row["state"] for row in await conn.fetch(QUERIES.reclaim)] == ["pending"]  # node 1 holds no lock
    (new,) = await conn.fetch(QUERIES.lease, 2, 10, 60.0, *BEGINNING)
    assert (old["id"], old["attempt"], new["attempt"]) == (new["id"], 1, 2)
    return conn, old, new


async def test_completing_with_a_lost_lease_rolls_the_effects_back(leased):
    conn, old, new = leased
    await conn.execute("CREATE TABLE effects (a int)")
    with pytest.raises(asyncpg.PostgresError) as caught:
        async with conn.transaction():
            await conn.execute("INSERT INTO effects VALUES (1)")
            await conn.execute("SELECT aerofn_internal.complete_event($1, $2)", old["id"], old["token"])
    assert caught.value.sqlstate == "AF001"
    assert await conn.fetchval("SELECT count(*) FROM effects") == 0
    await conn.execute("SELECT aerofn_internal.complete_event($1, $2)", new["id"], new["token"])
    assert await conn.fetchval("SELECT count(*) FROM aerofn.events") == 0


async def test_a_lost_lease_settles_nothing(leased):
    conn, old, _ = leased
    assert await conn.fetch(QUERIES.complete, [old["id"]], [old["token"]]) == []
    await conn.execute(QUERIES.retry, old["id"], old["token"], 0.0, "{}")
    await conn.execute(QUERIES.bury, old["id"], old["token"], "{}")
    await conn.execute(QUERIES.give_back, [old["id"]], [old["token"]])
    row = await conn.fetchrow("SELECT state, attempt, node FROM aerofn.events")
    assert tuple(row) == ("running", 2, 2)


async def test_an_event_that_loses_its_node_every_time_is_dead_with_every_attempt_kept(database):
    conn = await database.connect()
    await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
    await conn.execute("SELECT aerofn.invoke('f', max_attempts => 2)")
    for state in ("pending", "dead"):
        assert len(await conn.fetch(QUERIES.lease, 1, 10, 60.0, *BEGINNING)) == 1
        assert [row["state"] for row in await conn.fetch(QUERIES.reclaim)] == [state]
    assert await conn.fetch(QUERIES.lease, 1, 10, 60.0, *BEGINNING) == []
    assert (
        await conn.fetchval("SELECT jsonb_path_query_array(errors, '$[*].attempt')::text FROM aerofn.events")
        == "[1, 2]"
    )


async def test_a_function_cannot_make_itself_the_first_of_its_chain(database):
    """The depth that stops loops is what was said when the invocation began, whatever settings say."""
    conn = await database.connect()
    await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
    login = await conn.fetchval("SELECT quote_ident(login) FROM aerofn_internal.logins WHERE role = 'anon'")
    guest = await database.connect()
    await guest.execute(f"SET SESSION AUTHORIZATION {login}")
    await guest.execute(
        """BEGIN; SELECT aerofn_auth.begin_invocation('{"role": "anon", "claims": {}, "depth": 5}', 5)"""
    )
    await guest.execute("SET ROLE anon; SET aerofn.depth = 0; SELECT aerofn.invoke('f'); COMMIT")
    assert await conn.fetchval("SELECT depth FROM aerofn.events") == 6
    await guest.execute("BEGIN; SET aerofn.caller = 'forged'")
    with pytest.raises(asyncpg.PostgresError) as caught:
        await guest.execute("SELECT aerofn.invoke('f')")
    assert caught.value.sqlstate == "28000"


async def test_completed_events_are_kept_if_asked_for_and_what_is_over_goes_in_time(database):
    conn = await database.connect()
    await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
    await conn.execute(
        "SELECT aerofn.invoke('f', '{\"n\": 1}'); SELECT aerofn.invoke('f'); SELECT aerofn.invoke('f')"
    )
    first, second, third = await conn.fetch(QUERIES.lease, 1, 10, 60.0, *BEGINNING)
    await conn.fetch(QUERIES.complete, [first["id"]], [first["token"]])
    await conn.execute("SELECT aerofn.keep_done_events('7 days')")
    await conn.fetch(QUERIES.complete, [second["id"]], [second["token"]])
    await conn.execute(QUERIES.bury, third["id"], third["token"], "{}")
    states = "SELECT id, state FROM aerofn.events ORDER BY id"
    assert [tuple(r) for r in await conn.fetch(states)] == [(second["id"], "done"), (third["id"], "dead")]
    await conn.execute("SELECT aerofn.discard($1)", third["id"])
    await conn.execute("SELECT aerofn_internal.keep_partitions('1 hour')")
    assert len(await conn.fetch(states)) == 2
    await conn.execute(
        "UPDATE aerofn_internal.done_events SET done_at = now() - interval '8 days';"
        "UPDATE aerofn_internal.events SET run_at = now() - interval '2 hours'"
    )
    await conn.execute("SELECT aerofn_internal.keep_partitions('1 hour')")
    assert await conn.fetch(states) == []


async def test_replay_and_discard_from_sql(database):
    conn = await database.connect()
    await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
    await conn.execute(
        "CREATE TABLE t (a int); SELECT aerofn.create_row_trigger('f', 't', max_attempts => 1)"
    )
    await conn.execute(
        "INSERT INTO t SELECT generate_series(1, 4); SELECT aerofn.invoke('f', max_attempts => 1)"
    )

    async def states():
        return [r["state"] for r in await conn.fetch("SELECT state::text FROM aerofn.events ORDER BY id")]

    assert len(await conn.fetch(QUERIES.lease, 1, 10, 60.0, *BEGINNING)) == 5
    await conn.fetch(QUERIES.reclaim)
    assert await states() == ["dead"] * 5
    first, second, *_, invoked = [
        r["id"] for r in await conn.fetch("SELECT id FROM aerofn.events ORDER BY id")
    ]
    await conn.execute("SELECT aerofn.discard($1), aerofn.replay($2)", first, second)
    assert await states() == ["cancelled", "pending", "dead", "dead", "dead"]
    assert (
        await conn.fetchval("SELECT aerofn.replay_all('f_on_t')") == 2
    )  # not what was given up, nor another's
    assert await states() == ["cancelled", "pending", "pending", "pending", "dead"]
    await conn.execute("SELECT aerofn.replay($1)", first)
    attempts = "SELECT array_agg(attempt ORDER BY id) FROM aerofn.events"
    assert await conn.fetchval(attempts) == [0, 0, 0, 0, 1]
    assert len(await conn.fetch(QUERIES.lease, 1, 10, 60.0, *BEGINNING)) == 4
    for verb, event, said in (
        ("replay", second, "there is no dead or cancelled event"),  # it runs
        ("discard", second, "there is no pending or dead event"),
        ("replay", 10**9, "there is no dead or cancelled event"),
        ("discard", None, "there is no pending or dead event"),
    ):
        with pytest.raises(asyncpg.PostgresError, match=said) as caught:
            await conn.execute(f"SELECT aerofn.{verb}($1)", event)
        assert caught.value.hint
    with pytest.raises(asyncpg.PostgresError, match="there is no trigger 'nix'"):
        await conn.execute("SELECT aerofn.replay_all('nix')")
    await conn.execute("SELECT aerofn.discard($1)", invoked)


async def test_that_a_node_has_gone_is_noticed_while_whole_sweeps_are_rare(database):
    """A sweep that walks over what an old transaction keeps rests long; the node's lock is still looked at."""
    conn, node = await database.connect(), await database.connect()
    await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
    await conn.execute("SELECT aerofn.invoke('f')")
    its_id = await node.fetchval(QUERIES.add_node, "soon gone", 1)
    await node.execute(QUERIES.lock_node, its_id)
    assert len(await conn.fetch(QUERIES.lease, its_id, 10, 3600.0, *BEGINNING)) == 1
    swept, free = asyncio.Event(), asyncio.Event()

    class Watched(Events):
        async def reclaim(self) -> int:
            freed = await super().reclaim()
            swept.set()
            return freed

    sweeping = asyncio.create_task(Sweep(Watched(conn), free.set, longest_s=3600, pauses=1e9).run())
    async with asyncio.timeout(60):
        await swept.wait()  # the first one; from now on it rests
        assert not free.is_set()
        node.terminate()
        await free.wait()
    sweeping.cancel()
    assert await conn.fetchval("SELECT state::text FROM aerofn.events") == "pending"


async def test_an_event_that_no_function_can_be_given_is_buried_and_the_others_run(database):
    """Leasing must not end by it: the node would, and the next one."""
    conn = await database.connect()
    await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
    await conn.execute("SELECT aerofn.invoke('f', '1')")
    await conn.execute(
        """INSERT INTO aerofn_internal.events (function_id, source, role, max_attempts, payload)
        SELECT function_id, 'schedule', role, 5,
               json_build_object('payload', (repeat('[', 12000) || repeat(']', 12000))::json)
        FROM aerofn_internal.events"""
    )
    async with asyncpg.create_pool(database.url, min_size=0, max_size=2) as pool:
        asked = Database(pool)
        (event,) = await Events(asked).lease(1, 10, 60.0)
        await asked.close()
    assert (event.function, event.trigger) == ("f", "invoke")
    (dead,) = await conn.fetch("SELECT errors ->> 0 AS error FROM aerofn.events WHERE state = 'dead'")
    assert "nested too deeply" in dead["error"]
