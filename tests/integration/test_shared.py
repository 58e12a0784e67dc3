"""Events that share a transaction: each as if it were alone, whatever becomes of its neighbours."""

import asyncio
import json

import pytest

from aerofn.bridge.shared import SharedSession
from aerofn.dispatch import group
from aerofn.dispatch.lanes import Lanes
from aerofn.model import Outcome
from aerofn.runtime.spare import Spares

SCHEMA = """
CREATE TABLE done (id int PRIMARY KEY, tx xid8 DEFAULT pg_current_xact_id(), role name DEFAULT current_user,
                   left_behind text DEFAULT current_setting('app.left', true));
CREATE TABLE held (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
INSERT INTO held (id) SELECT generate_series(0, 9);
CREATE TABLE later (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION leave_behind() RETURNS text LANGUAGE sql SECURITY DEFINER
AS $$ SELECT set_config('app.left', 'something', false) $$;
GRANT ALL ON done, held, later TO service_role, authenticated;
"""
DONE = "INSERT INTO done (id) VALUES ($1)"
MANY = "INSERT INTO done (id) SELECT $1 FROM generate_series(1, 4000000) g HAVING count(*) > 0"


@pytest.fixture
async def told(conn, probe):
    """Asks for runs of the probe: each of `inputs` is an event, all of one moment."""
    await conn.execute(SCHEMA)
    await conn.execute("SELECT aerofn.register_function('probe', $1)", probe)

    async def tell(inputs, run_as="service_role", max_attempts=5):
        payloads = [json.dumps(one) for one in inputs]
        rows = await conn.fetch(
            "SELECT aerofn.invoke('probe', p::jsonb, run_as => $2, max_attempts => $3) AS id FROM unnest($1::text[]) p",
            payloads, run_as, max_attempts,
        )  # fmt: skip
        return [row["id"] for row in rows]

    return tell


@pytest.fixture
def unhurried(monkeypatch):
    """A transaction goes on for as long as a busy machine takes."""
    monkeypatch.setattr(group, "_LONGEST_S", 30.0)


def does(number, *more, do="query"):
    return {"do": do, "queries": [[DONE, [number]], *more]}


async def ids(conn):
    return [row["id"] for row in await conn.fetch("SELECT id FROM done ORDER BY id")]


async def transactions(conn):
    return await conn.fetchval("SELECT count(DISTINCT tx) FROM done")


async def none_left(conn):
    async with asyncio.timeout(90):
        while await conn.fetchval("SELECT EXISTS (SELECT FROM aerofn_internal.events WHERE state <> 'dead')"):
            await asyncio.sleep(0.02)


async def test_events_that_wait_commit_together(told, conn, node_of, unhurried, monkeypatch):
    ahead, take = [], Spares.take
    monkeypatch.setattr(Spares, "take", lambda *given: ahead.append(take(*given)) or ahead[-1])
    more = [["SELECT $1::int", [1]]]
    events = await told([does(n, *more * (n % 3)) for n in range(60)])
    async with node_of() as node:
        records = await node.records.until(60)
    assert any(ahead)  # made while the member before waited for the database
    assert await ids(conn) == list(range(60))
    assert await transactions(conn) < 30
    assert await conn.fetchval("SELECT count(*) FROM aerofn_internal.events") == 0
    assert {(r.status, r.attempt) for r in records} == {(Outcome.SUCCESS, 1)}
    assert {r.event_id: r.queries for r in records} == {event: 1 + n % 3 for n, event in enumerate(events)}
    assert len({r.id for r in records}) == len({r.event_id for r in records}) == 60


async def test_none_are_shared_when_the_operator_says_so(told, conn, node_of):
    await told([does(n) for n in range(20)])
    async with node_of(events_per_transaction=1) as node:
        await node.records.until(20)
    assert await transactions(conn) == 20


async def test_a_node_with_a_single_place(told, conn, node_of):
    await told([does(n) for n in range(40)])
    async with node_of(event_concurrency=1, poll_s=20) as node:
        await node.records.until(40)  # and does not wait for the next look between lanes
    assert await ids(conn) == list(range(40))


async def test_a_member_that_fails_undoes_its_own_effects_only(told, conn, node_of, unhurried):
    caught = [DONE, [0]]  # a unique violation that the function catches
    wrong = {5: does(5, do="fail"), 12: {"do": "recurse"}, 13: does(13, do="fail"), 29: does(29, do="fail")}
    await told([wrong.get(n, does(n, caught if n else [DONE, [100]])) for n in range(30)], max_attempts=1)
    async with node_of() as node:
        await node.records.until(30)
        await none_left(conn)
    assert await ids(conn) == [n for n in range(30) if n not in wrong] + [100]
    assert await transactions(conn) < 15
    dead = await conn.fetch("SELECT attempt, errors::text FROM aerofn_internal.events WHERE state = 'dead'")
    assert [row["attempt"] for row in dead] == [1] * 4
    assert sum("failed on purpose" in row["errors"] for row in dead) == 3


async def test_a_lock_is_waited_for_alone(told, conn, database, node_of):
    other = await database.connect()
    holding = other.transaction()
    await holding.start()
    await other.execute("UPDATE held SET n = n + 1 WHERE id = 3")
    change = "UPDATE held SET n = n + 1 WHERE id = $1"
    await told([does(n, [change, [n]]) for n in range(10)])
    async with node_of() as node:
        records = await node.records.until(9)  # the others do not wait for it
        await holding.commit()
        records = await node.records.until(10)
    assert {r.status for r in records} == {Outcome.SUCCESS}
    assert await ids(conn) == list(range(10))
    assert await conn.fetchval("SELECT sum(n) FROM held") == 11


async def test_groups_that_lock_against_each_other(told, conn, node_of):
    change = "UPDATE held SET n = n + 1 WHERE id = $1"
    await told([does(n, [change, [n % 7]], [change, [9 - n % 5]], do="each") for n in range(120)])
    async with node_of(), node_of():
        await none_left(conn)  # two that run alone may deadlock: then one is tried again
    assert await ids(conn) == list(range(120))
    assert await conn.fetchval("SELECT sum(n) FROM held") == 240


async def test_a_slow_member_does_not_hold_the_others_up(told, conn, node_of):
    slow = {"do": "query", "queries": [[MANY, [4]]]}
    await conn.execute("UPDATE aerofn_internal.versions SET timeout_ms = 60000")
    await told([slow if n == 4 else does(n) for n in range(12)], max_attempts=1)
    async with node_of() as node:
        records = await node.records.until(12)
    assert {r.status for r in records} == {Outcome.SUCCESS}
    assert await ids(conn) == list(range(12))


async def test_a_member_that_computes_for_ever_has_its_own_time(told, conn, node_of):
    await conn.execute("UPDATE aerofn_internal.versions SET timeout_ms = 1500")
    await told([{"do": "spin"} if n == 6 else does(n) for n in range(12)], max_attempts=1)
    async with node_of() as node:
        records = await node.records.until(12)
    (late,) = [r for r in records if r.status is not Outcome.SUCCESS]
    assert late.status is Outcome.TIMEOUT
    assert late.duration_ms >= 1500
    assert await ids(conn) == [n for n in range(12) if n != 6]


async def test_deferred_constraints_fail_who_broke_them(told, conn, node_of):
    await conn.execute("INSERT INTO later VALUES (1)")
    await told(
        [does(n, ["INSERT INTO later VALUES ($1)", [1 if n == 3 else n + 10]]) for n in range(8)],
        max_attempts=1,
    )
    async with node_of() as node:
        records = await node.records.until(8)
        await none_left(conn)
    failed = [r for r in records if r.status is not Outcome.SUCCESS]
    assert [r.error["message"] for r in failed] == [
        'duplicate key value violates unique constraint "later_a_key"'
    ]
    assert await ids(conn) == [0, 1, 2, 4, 5, 6, 7]
    assert {r.attempt for r in records} == {1}


async def interfered(monkeypatch, before):
    """Run `before(session, leases)` once, just before a shared transaction commits."""
    real, waiting = SharedSession.commit, [before]

    async def commit(self, leases=(), *rest):
        if waiting and len(leases) > 1:
            await waiting.pop()(self, leases)
        await real(self, leases, *rest)

    monkeypatch.setattr(SharedSession, "commit", commit)
    return waiting


async def test_a_lost_lease_never_commits(told, conn, database, node_of, monkeypatch):
    events, other = await told([does(n) for n in range(30)]), await database.connect()
    stolen = []

    async def steal(_session, leases):
        stolen.append(leases[1].event)
        await other.execute(
            "UPDATE aerofn_internal.events SET token = nextval('aerofn_internal.lease_tokens'),"
            " lease_until = now() - interval '1 second' WHERE id = $1", leases[1].event,
        )  # fmt: skip

    waiting = await interfered(monkeypatch, steal)
    async with node_of(poll_s=0.2) as node:
        records = await node.records.until(30, lambda r: r.status is Outcome.SUCCESS)
        await none_left(conn)
    assert not waiting
    assert await ids(conn) == list(range(30))
    attempts = {r.event_id: r.attempt for r in records}
    assert attempts == {event: 2 if event in stolen else 1 for event in events}


async def test_a_connection_that_breaks_at_the_commit(told, conn, database, node_of, monkeypatch):
    await told([does(n) for n in range(30)])
    other = await database.connect()

    async def cut(session, _leases):
        await other.execute("SELECT pg_terminate_backend($1, 5000)", session._connection.get_server_pid())

    waiting = await interfered(monkeypatch, cut)
    async with node_of() as node:
        records = await node.records.until(30)
        await none_left(conn)
    assert not waiting
    assert await ids(conn) == list(range(30))
    assert {(r.status, r.attempt) for r in records} == {(Outcome.SUCCESS, 1)}


async def test_what_may_stay_on_the_connection_ends_the_transaction(told, conn, node_of):
    leaves = {"do": "query", "queries": [["SELECT leave_behind()"]]}
    await told([leaves if n % 3 == 0 else does(n) for n in range(30)])
    async with node_of() as node:
        await node.records.until(30)
    assert await conn.fetchval("SELECT count(*) FROM done WHERE left_behind <> ''") == 0


async def test_callers_never_share(told, conn, node_of):
    mine, theirs = [does(n) for n in range(20)], [does(n) for n in range(100, 120)]
    async with conn.transaction():
        for one, other in zip(mine, theirs, strict=True):
            await told([one])
            await told([other], run_as="authenticated")
        claims = "SET claims = json_build_object('role', role, 'sub', id / 2 % 2)"
        await conn.execute(f"UPDATE aerofn_internal.events {claims} WHERE role = 'authenticated'")
    async with node_of() as node:
        records = await node.records.until(40)
    user_of = {r.event_id: (r.role, r.user_id) for r in records}
    assert len(set(user_of.values())) == 3
    assert (
        await conn.fetchval("SELECT max(n) FROM (SELECT count(DISTINCT role) n FROM done GROUP BY tx) x") == 1
    )


async def test_a_node_that_stops_gives_back_what_it_has_not_committed(told, conn, node_of):
    await told([does(n) for n in range(90)])
    async with node_of() as node:
        await node.records.until(1)
    first = await ids(conn)
    assert await conn.fetchval("SELECT count(*) FROM aerofn_internal.events WHERE state = 'running'") == 0
    assert len(first) + await conn.fetchval("SELECT count(*) FROM aerofn_internal.events") == 90
    async with node_of() as node:
        await none_left(conn)
    assert await ids(conn) == list(range(90))


OPEN = """SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND state LIKE 'idle in %'"""


async def test_a_commit_that_is_called_off_before_its_first_step(told, conn, node_of, monkeypatch):
    """As when the time to stop has run out in the very turn in which the commit's task was made.

    All else is given its time, so that what is left is what that commit would have done.
    """
    real, called_off = Lanes._spawn, asyncio.Event()

    def spawn(lanes, work):
        task = real(lanes, work)
        if work.__name__ == "_finish" and not called_off.is_set():
            called_off.set()
            for one in lanes.running:
                one.cancel()
        return task

    monkeypatch.setattr(Lanes, "_spawn", spawn)
    await told([does(n) for n in range(40)])
    async with node_of() as node:
        async with asyncio.timeout(90):
            await called_off.wait()
            await node.parts.dispatcher.stop(30)
            while await conn.fetchval(OPEN):
                await asyncio.sleep(0.02)
        left = await conn.fetch("SELECT state::text, attempt FROM aerofn_internal.events")
        assert {tuple(row) for row in left} == {("pending", 0)}
        assert len(left) + len(await ids(conn)) == 40
    async with node_of() as node:
        records = await node.records.until(len(left))
        await none_left(conn)
    assert {(r.status, r.attempt) for r in records} == {(Outcome.SUCCESS, 1)}
    assert await ids(conn) == list(range(40))
