"""How many pages the leasing's statements touch while tens of thousands of events wait: as few as when none does.

Their plans are made while the table is empty, as those of a node that has just been installed are, and kept.
"""

import json

import pytest

from aerofn import sql

QUERIES = sql.queries("events")
COMPONENT = bytes.fromhex("0061736d0d000100")
WAITING = 40_000  # in more than 600 pages
FEW_PAGES = 250  # ten events are leased, settled or put back: at most so many, by all indexes
GONE = 2_000_000_000  # a node that holds no lock
FILL = """
    INSERT INTO aerofn_internal.events (function_id, source, role, payload, run_at, held, order_key, "position")
    SELECT f.id, 'invoke', 'anon', '{}', now() + lag, $2, CASE WHEN $2 AND n % 2 = 0 THEN 1 END, n
    FROM aerofn_internal.functions f, (VALUES (interval '-1 minute'), (interval '1 day')) l (lag),
         generate_series(1, $1::int) n"""
BEGINNING = "'-infinity', 0, NULL"
LATER = "extract(epoch FROM now() - interval '2 minutes'), 7, '{-3, 0, 5}'"
STATEMENTS = {
    "lease": "int, int, float8, float8, bigint, smallint[]",
    "complete": "bigint[], bigint[]",
    "retry": "bigint, bigint, float8, jsonb",
    "bury": "bigint, bigint, jsonb",
    "give_back": "bigint[], bigint[]",
    "reclaim": "",
    "next_due": "",
    "forget_nodes": "",
}


class Node:
    """A node's connection: its settings, and the statements as it prepares them."""

    def __init__(self, conn):
        self.conn = conn

    async def prepare(self):
        for name, types in STATEMENTS.items():
            listed = f"({types})" if types else ""
            await self.conn.execute(f"PREPARE {name} {listed} AS {getattr(QUERIES, name)}")

    async def pages(self, call):
        """Pages that a call touches, whatever functions it calls."""
        plan = await self.conn.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {call}")
        top = json.loads(plan)[0]["Plan"]
        return top["Shared Hit Blocks"] + top["Shared Read Blocks"]

    async def leased(self, how=BEGINNING):
        """Pages of a look for ten events, and the leases it brought."""
        pages = await self.pages(f"EXECUTE lease({GONE}, 10, 60, {how})")
        rows = await self.conn.fetch(
            "SELECT id, token FROM aerofn_internal.events WHERE state = 'running' ORDER BY id"
        )
        return pages, [row["id"] for row in rows], [row["token"] for row in rows]

    async def round(self):
        """Every statement once, on ten events each time; pages by statement."""
        found = {"lease": (await self.leased())[0], "reclaim": await self.pages("EXECUTE reclaim")}
        found["lease from a place"], ids, tokens = await self.leased(LATER)
        found["give_back"] = await self.pages(f"EXECUTE give_back('{set_of(ids)}', '{set_of(tokens)}')")
        _, ids, tokens = await self.leased()
        for name, more in {"retry": "0, '{}'", "bury": "'{}'"}.items():
            if ids:
                found[name] = await self.pages(f"EXECUTE {name}({ids.pop()}, {tokens.pop()}, {more})")
        half = len(ids) // 2
        done = f"'{set_of(ids[:half])}', '{set_of(tokens[:half])}'"
        found["complete"] = await self.pages(f"EXECUTE complete({done})")
        done = f"'{set_of(ids[half:])}', '{set_of(tokens[half:])}'"
        found["complete_events"] = await self.pages(f"SELECT aerofn_internal.complete_events({done})")
        for name in ("next_due", "forget_nodes"):
            found[name] = await self.pages(f"EXECUTE {name}")
        return found


def set_of(numbers):
    return "{" + ",".join(map(str, numbers)) + "}"


@pytest.fixture
async def fresh_node(database):
    """A node that has just been installed: its statements are prepared, and none has a plan."""
    node = Node(await database.connect())
    await node.conn.execute(QUERIES.planning)
    await node.conn.execute("ALTER TABLE aerofn_internal.events SET (autovacuum_enabled = false)")
    await node.conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
    await node.prepare()
    return node


@pytest.fixture
async def node(fresh_node):
    """A node whose plans were made while nothing waited."""
    node, conn = fresh_node, fresh_node.conn
    for _ in range(7):  # so often that PostgreSQL keeps a plan
        await conn.execute("SELECT aerofn.invoke('f') FROM generate_series(1, 3)")
        await conn.execute(FILL, 2, True)
        await node.round()
        await conn.execute("DELETE FROM aerofn_internal.events")
    return node


async def test_no_statement_of_the_leasing_reads_the_queue_through(node):
    await node.conn.execute(FILL, WAITING // 2, False)
    assert (
        await node.pages("SELECT count(payload) FROM aerofn_internal.events") > 2 * FEW_PAGES
    )  # it would show
    pages = await node.round()
    assert {name: n for name, n in pages.items() if n > FEW_PAGES} == {}
    assert min(pages[name] for name in ("lease", "reclaim", "retry", "bury", "complete")) > 0


async def test_neither_does_it_where_events_are_held_back(node):
    """Ordered events of one row and capped ones: the first is found, the others are not visited."""
    await node.conn.execute(FILL, WAITING // 2, True)
    pages = await node.round()
    assert {name: n for name, n in pages.items() if n > FEW_PAGES} == {}


async def test_what_waits_is_counted_up_to_a_bound_and_estimated_beyond(node):
    conn = node.conn
    await conn.execute(FILL, WAITING // 2, False)
    await conn.execute("UPDATE aerofn_internal.events SET state = 'dead' WHERE id % 100 = 0")
    await conn.execute("ANALYZE aerofn_internal.events")
    waiting = sql.queries("figures").waiting
    exact = await conn.fetchrow(waiting, 1 << 20)
    assert exact["pending"] + exact["dead"] == WAITING
    about = await conn.fetchrow(waiting, 1000)
    assert about["pending"] == pytest.approx(exact["pending"], rel=0.1)
    assert (about["running"], about["dead"]) == (0, exact["dead"])
    await conn.execute(f"PREPARE waiting AS {waiting}")
    assert await node.pages("EXECUTE waiting(1000)") < 3000  # and not 40,000 entries of an index
    assert await node.pages("SELECT aerofn_internal.count_events('running', 1000)") < FEW_PAGES


@pytest.mark.parametrize("left", [0, 10, 2000], ids=lambda rows: f"planned for {rows} rows")
async def test_a_large_look_is_no_walk_for_each_event_whatever_it_was_planned_for(fresh_node, left):
    """For batches a thousand events are leased at once: not by a join that goes through the queue for each."""
    node, conn = fresh_node, fresh_node.conn
    await conn.execute(FILL, 2000, False)
    await conn.execute("DELETE FROM aerofn_internal.events WHERE id > $1", left)
    await conn.execute("ANALYZE aerofn_internal.events")
    for _ in range(3):
        await node.pages(f"EXECUTE lease({GONE}, 1500, 60, {BEGINNING})")
    await conn.execute("DELETE FROM aerofn_internal.events")
    await conn.execute(FILL, 10_000, False)
    await conn.execute("SET statement_timeout = '30s'")  # such a walk takes minutes
    assert await node.pages(f"EXECUTE lease({GONE}, 1500, 60, {BEGINNING})") < 100_000
