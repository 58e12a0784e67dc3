"""Order by row and caps per function: what nodes may lease at once, however many look at the same moment."""

import asyncio
import itertools
import json
from collections import Counter, defaultdict

import asyncpg
import pytest

from aerofn import sql
from aerofn.db.horizon import BEGINNING

QUERIES = sql.queries("events")
COMPONENT = bytes.fromhex("0061736d0d000100")
ORDERED = "ordered_by => 'row'"


@pytest.fixture
async def conn(database):
    """A database with a table `t`; functions f (ordered on it) and g (free)."""
    conn = await database.connect()
    await conn.execute("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)")
    for name in "fg":
        await conn.execute("SELECT aerofn.register_function($1, $2)", name, COMPONENT)
    return conn


async def register(conn, name, cap):
    """A version with (or without) a cap, active at once: the component is compiled by name of its digest."""
    await conn.execute("SELECT aerofn.register_function($1, $2, max_concurrency => $3)", name, COMPONENT, cap)
    await conn.execute(
        "SELECT aerofn_internal.compiled(id, NULL) FROM aerofn_internal.versions WHERE status = 'compiling'"
    )


async def lease(conn, node=1, most=100):
    told = await conn.fetch(QUERIES.lease, node, most, 60.0, *BEGINNING)
    return [event for event in told if event["token"] is not None]


async def complete(conn, *events):
    await conn.fetch(QUERIES.complete, [e["id"] for e in events], [e["token"] for e in events])


def rows(events):
    """Id and n of each event's row."""
    found = [json.loads(event["record"]) for event in events]
    return sorted((r["id"], r["n"]) for r in found)


async def test_the_events_of_a_row_one_after_another(conn):
    await conn.execute(f"SELECT aerofn.create_row_trigger('f', 't', {ORDERED})")
    await conn.execute("INSERT INTO t (id) VALUES (1), (2)")
    for n in (1, 2):
        await conn.execute("UPDATE t SET n = $1", n)
    for n in range(3):
        events = await lease(conn)
        assert rows(events) == [(1, n), (2, n)]
        assert await lease(conn) == []  # the next of each row waits
        await complete(conn, *events)
    assert await lease(conn) == []


async def test_what_is_retried_holds_its_row_back_and_what_is_dead_does_not(conn):
    await conn.execute(f"SELECT aerofn.create_row_trigger('f', 't', {ORDERED})")
    await conn.execute("INSERT INTO t (id) VALUES (1); UPDATE t SET n = 1; UPDATE t SET n = 2")
    (first,) = await lease(conn)
    await conn.execute(QUERIES.retry, first["id"], first["token"], 3600.0, "{}")
    assert await lease(conn) == []
    await conn.execute("UPDATE aerofn_internal.events SET run_at = now() WHERE id = $1", first["id"])
    (first,) = await lease(conn)
    assert (rows([first]), first["attempt"]) == ([(1, 0)], 2)
    await conn.execute(QUERIES.bury, first["id"], first["token"], "{}")
    (second,) = await lease(conn)
    assert rows([second]) == [(1, 1)]
    # Replayed, it is the last of its row: what came after it has run.
    await conn.execute("SELECT aerofn.replay($1)", first["id"])
    assert await lease(conn) == []
    await complete(conn, second)
    for n in (2, 0):
        (event,) = await lease(conn)
        assert rows([event]) == [(1, n)]
        await complete(conn, event)


async def test_order_is_of_commits_and_not_of_ids(conn, database):
    """Every session has numbers of its own in store for ids, so the later write may have the smaller one."""
    await conn.execute(f"SELECT aerofn.create_row_trigger('f', 't', {ORDERED})")
    await conn.execute("INSERT INTO t (id) VALUES (1)")
    other = await database.connect()
    for n in range(1, 6):
        await (other if n % 2 else conn).execute("UPDATE t SET n = $1", n)
    ids = []
    for n in range(6):
        (event,) = await lease(conn)
        assert rows([event]) == [(1, n)]
        ids.append(event["id"])
        await complete(conn, event)
    assert ids != sorted(ids)


async def test_a_row_with_thousands_of_events_is_in_nobodys_way(conn):
    await conn.execute(f"SELECT aerofn.create_row_trigger('f', 't', {ORDERED})")
    await conn.execute("INSERT INTO t (id) VALUES (1), (2)")
    await conn.execute(
        "DO $$ BEGIN FOR i IN 1 .. 3000 LOOP UPDATE t SET n = i WHERE id = 1; END LOOP; END $$; "
        "SELECT aerofn.invoke('g'); ANALYZE aerofn_internal.events"
    )
    assert sorted(e["function"] for e in await lease(conn)) == ["f", "f", "g"]
    plan = await conn.fetchval(
        "EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM aerofn_internal.first_of_rows("
        "(SELECT id FROM aerofn_internal.functions WHERE name = 'f'), 0)"
    )
    assert sum(n["Actual Rows"] * n["Actual Loops"] for n in nodes(json.loads(plan)[0]["Plan"])) < 30


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def work(conn, node, until, on_lease):
    """A node: leases a few, completes them in any order, until there have been `until`."""
    while until():
        events = await lease(conn, node, 5)
        on_lease(events)
        await asyncio.sleep(0)
        for event in events:
            await complete(conn, event)


async def test_nodes_that_look_at_the_same_moment_keep_the_order(conn, database):
    await conn.execute(f"SELECT aerofn.create_row_trigger('f', 't', {ORDERED})")
    await conn.execute("INSERT INTO t SELECT i FROM generate_series(1, 8) i")
    for n in range(1, 12):
        await conn.execute("UPDATE t SET n = $1", n)
    seen = defaultdict(list)

    def on_lease(events):
        for id_, n in rows(events):
            seen[id_].append(n)

    def until():
        return sum(map(len, seen.values())) < 96

    connections = [await database.connect() for _ in range(4)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(work(c, i, until, on_lease) for i, c in enumerate(connections, 1)))
    assert dict(seen) == {id_: list(range(12)) for id_ in range(1, 9)}


async def test_postgresql_itself_refuses_a_second_one_of_a_row(conn):
    await conn.execute(f"SELECT aerofn.create_row_trigger('f', 't', {ORDERED})")
    await conn.execute("INSERT INTO t (id) VALUES (1); UPDATE t SET n = 1")
    await lease(conn)
    with pytest.raises(asyncpg.UniqueViolationError):
        await conn.execute("UPDATE aerofn_internal.events SET state = 'running'")


async def test_no_more_of_a_function_run_than_its_cap_on_all_nodes(conn, database):
    await register(conn, "f", 3)
    await conn.execute("SELECT aerofn.invoke('f', to_jsonb(i)) FROM generate_series(1, 60) i")
    await conn.execute("SELECT aerofn.invoke('g') FROM generate_series(1, 20)")
    done = Counter()
    watch = await database.connect()

    async def watching():
        most = 0
        while sum(done.values()) < 80:
            most = max(most, await watch.fetchval(
                "SELECT count(*) FROM aerofn.events WHERE function = 'f' AND state = 'running'"))  # fmt: skip
        return most

    def on_lease(events):
        done.update(event["function"] for event in events)

    connections = [await database.connect() for _ in range(4)]
    async with asyncio.timeout(60):
        most, *_ = await asyncio.gather(
            watching(),
            *(work(c, i, lambda: sum(done.values()) < 80, on_lease) for i, c in enumerate(connections, 1)),
        )
    assert (done, 1 <= most <= 3) == ({"f": 60, "g": 20}, True)


async def test_a_cap_that_is_set_raised_and_taken_away(conn):
    await register(conn, "f", None)
    await conn.execute("SELECT aerofn.invoke('f') FROM generate_series(1, 20)")
    await register(conn, "f", 2)
    first = await lease(conn)
    assert len(first) == 2
    assert await lease(conn) == []
    await register(conn, "f", 3)
    assert len(await lease(conn)) == 1
    await complete(conn, first[0])
    assert len(await lease(conn, most=100)) == 1
    await register(conn, "f", None)
    assert len(await lease(conn)) == 16


async def test_order_and_cap_together(conn):
    await register(conn, "f", 2)
    await conn.execute(f"SELECT aerofn.create_row_trigger('f', 't', {ORDERED})")
    await conn.execute("INSERT INTO t SELECT i FROM generate_series(1, 5) i; UPDATE t SET n = 1")
    seen = defaultdict(list)
    while left := await conn.fetchval("SELECT count(DISTINCT order_key) FROM aerofn_internal.events"):
        events = await lease(conn)  # of two rows, from a place of chance
        assert len(events) == min(left, 2)
        for id_, n in rows(events):
            seen[id_].append(n)
        await complete(conn, *events)
    assert dict(seen) == {id_: [0, 1] for id_ in range(1, 6)}


async def test_held_events_and_free_ones_both_get_on(conn):
    """Whoever has a backlog, the other is not starved by it."""
    await conn.execute(f"SELECT aerofn.create_row_trigger('f', 't', {ORDERED})")
    await conn.execute("INSERT INTO t SELECT i FROM generate_series(1, 50) i")
    await conn.execute("SELECT aerofn.invoke('g') FROM generate_series(1, 50)")
    events = await lease(conn, most=10)
    assert Counter(e["function"] for e in events) == {"f": 5, "g": 5}


async def test_waiting_for_its_time_is_no_cost_to_those_that_are_due(conn):
    """Higher priorities first, and those of the future are not walked over to get at what is due."""
    await conn.execute(
        "SELECT aerofn.invoke('g', run_at => now() + interval '1 day') FROM generate_series(1, 3000)"
    )
    for priority, payload in itertools.product((-5, 7), (1, 2)):
        await conn.execute(
            "SELECT aerofn.invoke('g', $1::text::jsonb, priority => $2)", str(payload), priority
        )
    await conn.execute("ANALYZE aerofn_internal.events")
    lease_it = QUERIES.lease
    for parameter, value in {
        "$1": "1",
        "$2": "50",
        "$3": "60.0",
        "$4": "'-Infinity'",
        "$5": "0",
        "$6": "NULL",
    }.items():
        lease_it = lease_it.replace(parameter, value)
    plan = json.loads(await conn.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {lease_it}"))
    walked = [n for n in nodes(plan[0]["Plan"]) if n.get("Relation Name") == "events"]
    assert {n["Node Type"] for n in walked} <= {"Index Scan", "Index Only Scan", "ModifyTable"}
    assert sum(n["Actual Rows"] * n["Actual Loops"] + n.get("Rows Removed by Filter", 0) for n in walked) < 60
    assert await conn.fetchval("SELECT count(*) FROM aerofn.events WHERE state = 'running'") == 4
    assert 86_000 < await conn.fetchval(QUERIES.next_due) <= 86_400


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("create_row_trigger('f', 'keyless', ordered_by => 'row')", "has no primary key"),
        ("create_row_trigger('f', 't', ordered_by => 'table')", "ordered_by is 'table', not 'row'"),
        ("create_row_trigger('f', 't', ordered_by => 'row', batch_size => 2)", "cannot be combined"),
        ("create_row_trigger('f', 't', batch_size => 0)", "batch_size is 0"),
        ("create_row_trigger('f', 't', batch_size => 1001)", "batch_size is 1001"),
        ("register_function('f', '\\x0061736d0d000100', max_concurrency => 0)", "max_concurrency is 0"),
    ],
)
async def test_arguments_that_cannot_be_right(conn, call, message):
    await conn.execute("CREATE TABLE keyless (a int)")
    with pytest.raises(asyncpg.PostgresError) as caught:
        await conn.execute(f"SELECT aerofn.{call}")
    assert (message in str(caught.value), bool(caught.value.hint)) == (True, True)


async def test_not_while_a_node_lives_that_would_not_keep_to_it(conn, database):
    old = await database.connect()
    node = await old.fetchval("INSERT INTO aerofn_internal.nodes (name) VALUES ('old') RETURNING id")
    await old.execute(QUERIES.lock_node, node)
    for call in (
        f"create_row_trigger('f', 't', {ORDERED})",
        "register_function('f', '\\x0061736d0d000100', max_concurrency => 1)",
    ):
        with pytest.raises(asyncpg.PostgresError, match="of an older AeroFn"):
            await conn.execute(f"SELECT aerofn.{call}")
    await old.close()
    await conn.execute(f"SELECT aerofn.create_row_trigger('f', 't', {ORDERED})")
