"""Invocations by minute: what the figures rest on counts every record once, and is as right as it says."""

import asyncio
import json

from aerofn import sql

INSERT = sql.queries("invocations").insert
TOGETHER = "SELECT coalesce(sum(invocations), 0) FROM aerofn_internal.invocation_minutes"
RECORDS = """
    INSERT INTO aerofn_internal.invocations
      (id, function, "trigger", attempt, status, duration_ms, cpu_ms, memory_peak_mb, queries, role, logs, "timestamp")
    SELECT gen_random_uuid(), 'f' || n % 5, 'row', 1, CASE WHEN n % 10 = 0 THEN 'trap' ELSE 'success' END,
           exp(random() * 20 - 8), 1, n % 7, 1, 'anon', '[]', now() - random() * interval '55 minutes'
    FROM generate_series(1, 5000) n"""
EXACT = """
    SELECT function, count(*) AS invocations, count(*) FILTER (WHERE status <> 'success') AS failures,
           percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_ms) AS p50_ms,
           percentile_disc(0.95) WITHIN GROUP (ORDER BY duration_ms) AS p95_ms,
           percentile_disc(0.99) WITHIN GROUP (ORDER BY duration_ms) AS p99_ms,
           max(memory_peak_mb) AS memory_peak_mb, max("timestamp") AS last_at
    FROM aerofn_internal.invocations GROUP BY function ORDER BY function"""


def batch(functions):
    """Records as a node sends them, one for each function."""
    return json.dumps([
        {"id": f"00000000-0000-0000-0000-{n:012}", "function": function, "trigger": "row", "attempt": 1,
         "status": "success", "duration_ms": 1.0, "cpu_ms": 1.0, "queries": 0, "role": "anon", "logs": [],
         "timestamp": "2026-01-01T00:00:00Z"}
        for n, function in enumerate(functions)
    ])  # fmt: skip


async def test_the_figures_are_those_of_the_records(database):
    conn = await database.connect()
    await conn.execute(RECORDS)
    figures = await conn.fetch("SELECT * FROM aerofn.metrics ORDER BY function")
    exact = await conn.fetch(EXACT)
    assert [row["function"] for row in figures] == [f"f{n}" for n in range(5)]
    for found, right in zip(figures, exact, strict=True):
        for name in ("invocations", "failures", "memory_peak_mb", "last_at"):
            assert found[name] == right[name], name
        for name in ("p50_ms", "p95_ms", "p99_ms"):
            assert abs(found[name] / right[name] - 1) < 0.0491, name


async def test_any_duration_is_counted(database):
    conn = await database.connect()
    await conn.execute(
        """INSERT INTO aerofn_internal.invocations
             (id, function, "trigger", attempt, status, duration_ms, cpu_ms, queries, role, logs, "timestamp")
           SELECT gen_random_uuid(), 'f', 'row', 1, 'success', ms::float8, 1, 1, 'anon', '[]', now()
           FROM unnest('{0, -1, 1e-300, 1e300, Infinity, NaN}'::text[]) ms"""
    )
    assert await conn.fetchval(TOGETHER) == 6
    assert await conn.fetchval("SELECT p99_ms FROM aerofn.metrics") > 1e8


async def test_nodes_that_write_the_same_minutes_wait_and_never_in_a_circle(database):
    """Each in an order of its own: whoever locked rows as they come would end in a deadlock."""
    names = [f"f{n}" for n in range(40)]
    nodes = [await database.connect() for _ in range(4)]

    async def write(node, functions):
        for _ in range(25):
            await node.execute(INSERT, batch(functions), False)

    orders = (names, names[::-1], names[20:] + names[:20], names[::-3] + names[1::2] + names)
    async with asyncio.timeout(60):
        await asyncio.gather(*map(write, nodes, orders))
    assert await nodes[0].fetchval(TOGETHER) == await nodes[0].fetchval(
        "SELECT count(*) FROM aerofn_internal.invocations"
    )


async def test_what_is_not_written_is_not_counted(database):
    conn = await database.connect()
    await conn.execute(INSERT, batch("ab"), False)
    await conn.execute(INSERT, batch("abc"), True)  # the first two may be there already, and are
    assert await conn.fetchval(TOGETHER) == 3
    undone = conn.transaction()
    await undone.start()
    await conn.execute(INSERT, batch("ab"), False)
    await undone.rollback()
    assert await conn.fetchval(TOGETHER) == 3
    await conn.execute("SELECT aerofn_internal.keep_partitions('7 days')")  # these are of long ago
    assert await conn.fetchval(TOGETHER) == 0
