"""Triggers with a batch size: many events, one invocation, one transaction; a poisoned row stops nobody else."""

import asyncio
import shutil

import pytest

from aerofn.build import build
from aerofn.model import Outcome

from .conftest import ROOT


@pytest.fixture(scope="session")
def batch_function(tmp_path_factory) -> bytes:
    """The component of tests/components/batch.js."""
    if shutil.which("node") is None:
        pytest.skip("building JavaScript needs Node")
    output = tmp_path_factory.mktemp("batch") / "batch.wasm"
    build(ROOT / "tests" / "components" / "batch.js", output)
    return output.read_bytes()


@pytest.fixture
async def items(conn, batch_function):
    """A table whose rows come in batches of 50."""
    await conn.execute(
        """CREATE TABLE items (id int PRIMARY KEY, name text); CREATE TABLE seen (id int, size int, kind text,
        tx xid8 DEFAULT pg_current_xact_id()); GRANT INSERT ON seen TO service_role, authenticated"""
    )
    await conn.execute("SELECT aerofn.register_function('batch', $1)", batch_function)
    await conn.execute(
        "SELECT aerofn.create_row_trigger('batch', 'items', '{INSERT}', run_as => 'service_role', batch_size => 50)"
    )
    return conn


def insert(first, last, name="'fine'"):
    return f"INSERT INTO items SELECT i, {name} FROM generate_series({first}, {last}) i"


async def settled(conn):
    async with asyncio.timeout(90):
        while await conn.fetchval("SELECT EXISTS (SELECT FROM aerofn_internal.events WHERE state <> 'dead')"):
            await asyncio.sleep(0.02)


async def seen(conn):
    return [row["id"] for row in await conn.fetch("SELECT id FROM seen ORDER BY id")]


async def test_many_rows_one_invocation(items, node_of):
    await items.execute(insert(1, 120))
    async with node_of() as node:
        await settled(items)
        records = node.records.all
    assert await seen(items) == list(range(1, 121))
    assert len(records) < 10
    assert {(r.status, r.trigger, r.queries) for r in records} == {(Outcome.SUCCESS, "row", 1)}
    sizes = await items.fetch(
        "SELECT tx, max(size) AS size, count(*) AS n, max(kind) AS kind FROM seen GROUP BY tx"
    )
    assert all(row["size"] == row["n"] <= 50 for row in sizes)
    assert all(row["kind"] == ",".join(["INSERT"] * row["n"]) for row in sizes)


async def test_a_single_row_does_not_wait_for_more(items, node_of):
    async with node_of():
        await items.execute(insert(1, 1))
        await settled(items)
    assert await items.fetchval("SELECT size FROM seen") == 1


async def test_a_poisoned_row_is_buried_alone(items, node_of):
    await items.execute("UPDATE aerofn_internal.triggers SET max_attempts = 1")
    await items.execute(insert(1, 40, "CASE i WHEN 7 THEN 'poison' ELSE 'fine' END"))
    async with node_of():
        await settled(items)
    assert await seen(items) == [i for i in range(1, 41) if i != 7]
    (dead,) = await items.fetch(
        "SELECT state, attempt, record::text, errors::text FROM aerofn_internal.events"
    )
    assert (dead["state"], dead["attempt"]) == ("dead", 1)
    assert "poison" in dead["record"]
    assert "a poisoned row" in dead["errors"]


async def test_only_what_is_alike_is_in_a_batch(items, node_of):
    async with items.transaction():
        await items.execute(insert(1, 20))
        await items.execute(
            "UPDATE aerofn_internal.events SET role = 'authenticated' WHERE record ->> 'id' < '15'"
        )
    async with node_of() as node:
        await settled(items)
    assert await seen(items) == list(range(1, 21))
    assert {r.role for r in node.records.all} == {"authenticated", "service_role"}


@pytest.mark.parametrize("size", ["0", "1001", "NULL"])
async def test_sizes_that_are_refused(items, size):
    with pytest.raises(Exception, match="batch_size is"):
        await items.execute(
            f"SELECT aerofn.create_row_trigger('batch', 'items', name => 'other', batch_size => {size})"
        )
