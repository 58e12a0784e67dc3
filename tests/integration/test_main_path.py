"""The main path: a row changes, the function runs, its effects are in the database, and what ran is recorded."""

import asyncio
import json

from aerofn.model import Outcome

from .conftest import REDUCE_STOCK, Records


async def events(conn):
    return await conn.fetch("SELECT id, state, attempt, errors FROM aerofn.events ORDER BY id")


async def stock(conn, product):
    return await conn.fetchval("SELECT stock FROM products WHERE id = $1", product)


async def test_an_insert_reduces_the_stock(shop, node_of):
    async with node_of() as node:
        await shop.execute("INSERT INTO orders (product_id, quantity) VALUES (1, 3), (2, 5)")
        records = await node.records.until(2)
        assert {r.status for r in records} == {Outcome.SUCCESS}
        assert (await stock(shop, 1), await stock(shop, 2)) == (97, 95)
        assert await events(shop) == []


async def test_the_record(shop, node_of):
    async with node_of() as node:
        await shop.execute("INSERT INTO orders (product_id, quantity) VALUES (1, 3)")
        (record,) = await node.records.until(1)
    # Stopping the node has written what waited.
    row = await shop.fetchrow("SELECT * FROM aerofn.invocations")
    assert (row["function"], row["version"], row["trigger"], row["status"]) == (
        "reduce-stock",
        1,
        "row",
        "success",
    )
    assert (row["attempt"], row["role"], row["user_id"], row["error"]) == (1, "service_role", None, None)
    assert (str(row["id"]), row["event_id"], row["queries"]) == (record.id, record.event_id, record.queries)
    assert row["queries"] >= 1
    assert row["host_calls"] == row["queries"] + len(json.loads(row["logs"]))
    assert row["bytes_in"] > len('{"id":1,"product_id":1,"quantity":3}')
    assert row["bytes_out"] == record.bytes_out > 2
    assert 0 < row["cpu_ms"] <= row["duration_ms"] < 10_000
    assert 0.1 < row["memory_peak_mb"] < 128
    assert "order" in json.loads(row["logs"])[0]["message"]
    assert row["timestamp"] == record.timestamp


async def test_what_the_function_refuses_changes_nothing_and_is_kept(shop, node_of):
    async with node_of() as node:
        await shop.execute("INSERT INTO orders (product_id, quantity) VALUES (1, 1000)")
        (record,) = await node.records.until(1)
        assert record.status is Outcome.FUNCTION_ERROR
        assert "only 100 are left" in record.error["message"]
        assert record.error["stack"]
    assert await stock(shop, 1) == 100
    ((_, state, attempt, errors),) = await events(shop)
    assert (state, attempt, len(json.loads(errors))) == ("dead", 1, 1)


async def test_a_rolled_back_insert_triggers_nothing(shop, node_of):
    async with node_of() as node:
        transaction = shop.transaction()
        await transaction.start()
        await shop.execute("INSERT INTO orders (product_id, quantity) VALUES (1, 50)")
        await transaction.rollback()
        await shop.execute("INSERT INTO orders (product_id, quantity) VALUES (1, 1)")
        await node.records.until(1)
    assert await stock(shop, 1) == 99
    assert len(node.records.all) == 1


async def test_an_insert_while_the_service_was_down(shop, node_of):
    await shop.execute("INSERT INTO orders (product_id, quantity) VALUES (3, 7)")
    async with node_of() as node:
        await node.records.until(1)
    assert await stock(shop, 3) == 93


async def test_many_rows_at_once_each_once(shop, node_of):
    await shop.execute("UPDATE products SET stock = 100000")
    async with node_of() as node:
        await shop.execute(
            "INSERT INTO orders (product_id, quantity) SELECT 1 + i % 10, 1 FROM generate_series(1, 500) i"
        )
        await node.records.until(500)
    assert await shop.fetchval("SELECT sum(100000 - stock) FROM products") == 500
    assert await events(shop) == []


async def test_without_the_right_the_function_cannot(shop, node_of):
    await shop.execute("REVOKE UPDATE ON products FROM service_role")
    async with node_of() as node:
        await shop.execute("INSERT INTO orders (product_id, quantity) VALUES (1, 3)")
        (record,) = await node.records.until(1)
        assert record.status is Outcome.FUNCTION_ERROR
        assert "permission denied for table products" in record.error["message"]
    assert await stock(shop, 1) == 100


async def test_registered_in_sql_is_live_at_once_and_dropped_is_gone(conn, node_of):
    async with node_of() as node:
        revision = node.parts.functions._revision
        await conn.execute("SELECT aerofn.register_function('later', $1)", REDUCE_STOCK.read_bytes())
        async with asyncio.timeout(60):
            version = await node.parts.functions.active("later")
        assert (version.number, node.parts.functions._revision > revision) == (1, True)


async def test_a_component_without_handle_fails_with_the_reason(conn, node_of):
    async with node_of() as node:
        await conn.execute("SELECT aerofn.register_function('empty', $1)", bytes.fromhex("0061736d0d000100"))
        status = await node.parts.functions.settled("empty", 1, 20)
        assert (status.status, status.active) == ("failed", None)
        row = await conn.fetchrow("SELECT status, active_version, error, hint FROM aerofn.functions")
        assert (row["status"], row["active_version"]) == ("failed", None)
        assert "handle" in row["error"]
        assert row["hint"]


async def test_two_nodes_share_the_work_and_do_none_twice(shop, node_of):
    await shop.execute("UPDATE products SET stock = 100000")
    records = Records()  # of both
    async with node_of(records=records), node_of(records=records):
        for _ in range(20):
            await shop.execute(
                "INSERT INTO orders (product_id, quantity) SELECT 1 + i % 10, 1 FROM generate_series(1, 20) i"
            )
        await records.until(400)
    assert len(records.all) == 400
    assert await events(shop) == []
    assert await shop.fetchval("SELECT sum(100000 - stock) FROM products") == 400


async def test_a_node_that_dies_while_compiling_leaves_the_version_to_others(shop, node_of):
    # As a killed node leaves it: taken on for long, by a node whose lock nobody holds.
    await shop.execute(
        "UPDATE aerofn_internal.versions SET compile_until = now() + interval '1 hour', compiled_by = 2147483647"
    )
    async with node_of() as node:
        assert (await node.parts.functions.settled("reduce-stock", 1, 20)).status == "ready"
