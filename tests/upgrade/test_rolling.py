"""A rolling upgrade: nodes of the version before and of this one, together on this one's schema.

`schema5.tar.xz` is the version before as it was, with a component of its time, for one built today may import what that
version does not have: `git archive 3ae1679 aerofn sql wit examples/reduce-stock/reduce-stock.wasm`.
"""

import asyncio
import json
import os
import sys
import tarfile
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from aerofn import sql

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
REDUCE_STOCK = Path("examples") / "reduce-stock" / "reduce-stock.wasm"
LIVE = "(SELECT count(*) FROM aerofn_internal.live_nodes())"
DONE = "NOT EXISTS (SELECT FROM aerofn_internal.events)"
TAKEN = "SELECT sum(100000 - stock) FROM products"
# What figures are made of counts the records that were there before it, and what old nodes write.
COUNTED = """(SELECT count(*) FROM aerofn_internal.invocations) =
  (SELECT sum(invocations) FROM aerofn_internal.invocation_minutes)"""
ORDERS = "INSERT INTO orders (product_id, quantity) SELECT 1 + i % 10, 1 FROM generate_series(1, $1::int) i"


@pytest.fixture(scope="session")
def previous(tmp_path_factory):
    """The version before, where Python finds it."""
    place = tmp_path_factory.mktemp("previous")
    with tarfile.open(HERE / "schema5.tar.xz") as archive:
        archive.extractall(place, filter="data")
    return place


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Compiled components, for all of them."""
    return tmp_path_factory.mktemp("cache")


@asynccontextmanager
async def serving(code, url, cache):
    """`aerofn serve` of the code below `code`, until the end of the block."""
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(code), "DATABASE_URL": url, "AEROFN_PORT": "0",
        "AEROFN_CACHE_DIR": str(cache), "AEROFN_POLL_S": "0.2", "AEROFN_EVENT_CONCURRENCY": "2",
    }  # fmt: skip
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "aerofn", "serve", env=environment, cwd=cache,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        line = {}
        while line.get("event") != "AeroFn serves":
            line = json.loads(await asyncio.wait_for(child.stderr.readline(), 60))
        yield
        child.terminate()
        assert await asyncio.wait_for(child.wait(), 30) == 0
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def until(conn, condition):
    async with asyncio.timeout(60):
        while not await conn.fetchval(f"SELECT {condition}"):
            await asyncio.sleep(0.05)


async def schema(conn):
    return await conn.fetchval("SELECT max(version) FROM aerofn_internal.schema_migrations")


async def prepare(conn, previous):
    await conn.execute(
        """CREATE TABLE products (id int PRIMARY KEY, name text, stock int NOT NULL);
        INSERT INTO products SELECT i, 'p' || i, 100000 FROM generate_series(1, 10) i;
        CREATE TABLE orders (id bigserial PRIMARY KEY, product_id int, quantity int);
        GRANT SELECT, UPDATE ON products TO service_role"""
    )
    await conn.execute(
        "SELECT aerofn.register_function('reduce-stock', $1)", (previous / REDUCE_STOCK).read_bytes()
    )
    await conn.execute(
        "SELECT aerofn.create_row_trigger('reduce-stock', 'orders', '{INSERT}', run_as => 'service_role')"
    )
    await until(conn, "active_version IS NOT NULL FROM aerofn.functions")


async def test_old_and_new_nodes_together(previous, empty_database, cache):
    url, conn = empty_database.url, await empty_database.connect()
    async with serving(previous, url, cache):
        assert await schema(conn) == 5
        await prepare(conn, previous)
        await conn.execute(ORDERS, 5)
        await until(conn, DONE)
        async with serving(ROOT, url, cache):
            assert await schema(conn) == sql.migrations()[-1].version
            await until(conn, f"{LIVE} = 2")
            await conn.execute(ORDERS, 100)
            await until(conn, DONE)
            # What an old one would not keep to is refused.
            with pytest.raises(asyncpg.PostgresError, match="of an older AeroFn"):
                await conn.execute(
                    "SELECT aerofn.create_row_trigger('reduce-stock', 'products', ordered_by => 'row')"
                )
        await conn.execute(ORDERS, 20)  # for the old one alone
        await until(conn, DONE)
    assert await conn.fetchval(TAKEN) == 125
    assert await conn.fetchval("SELECT count(*) FROM aerofn.invocations") == 125
    assert await conn.fetchval(f"SELECT {COUNTED}")


async def test_an_old_node_that_restarts_leaves_the_newer_schema_alone_and_works_on_it(
    previous, empty_database, cache
):
    url, conn = empty_database.url, await empty_database.connect()
    async with serving(ROOT, url, cache):
        await prepare(conn, previous)
    async with serving(previous, url, cache):
        assert await schema(conn) == sql.migrations()[-1].version
        await conn.execute(ORDERS, 20)
        # What fails is retried and dead, what was leased by a lost node is freed: every statement of it works.
        await conn.execute("INSERT INTO orders (product_id, quantity) VALUES (1, 1000000)")
        await conn.execute(
            "UPDATE aerofn_internal.events SET state = 'running', leased_by = 2147483647, token = 1"
            " WHERE id = (SELECT min(id) FROM aerofn_internal.events WHERE state = 'pending')"
        )
        await until(conn, "NOT EXISTS (SELECT FROM aerofn.events WHERE state <> 'dead')")
    assert await conn.fetchval("SELECT count(*) FROM aerofn.events") == 1
    assert await conn.fetchval(TAKEN) == 20
