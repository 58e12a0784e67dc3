"""The service as a process of its own, killed where it hurts."""

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.conftest import compiled
from tests.egress.far_side import far_side

pytestmark = pytest.mark.timeout(400)  # each compiles a component, which is a second where nothing else runs
ROOT = Path(__file__).resolve().parents[2]
REDUCE_STOCK = ROOT / "examples" / "reduce-stock" / "reduce-stock.wasm"


@asynccontextmanager
async def serving(url, **variables):
    """`aerofn serve` until the end of the block, or until the test kills it."""
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATABASE_URL": url, "AEROFN_PORT": "0",
        "AEROFN_CACHE_DIR": str(compiled()), "AEROFN_SHUTDOWN_GRACE_S": "5",
        **variables,
    }  # fmt: skip
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "aerofn", "serve", env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
        await asyncio.wait_for(child.wait(), 60)


async def until(conn, condition, seconds=150):
    """Ask the database until a condition holds: what another process does has no signal here."""
    async with asyncio.timeout(seconds):
        while not await conn.fetchval(f"SELECT {condition}"):
            await asyncio.sleep(0.05)


@pytest.fixture
async def shop(database):
    conn = await database.connect()
    await conn.execute(
        """CREATE TABLE products (id int PRIMARY KEY, name text, stock int NOT NULL);
        INSERT INTO products SELECT i, 'p' || i, 100000 FROM generate_series(1, 10) i;
        CREATE TABLE orders (id bigserial PRIMARY KEY, product_id int, quantity int);
        GRANT SELECT, UPDATE ON products TO service_role"""
    )
    await conn.execute("SELECT aerofn.register_function('reduce-stock', $1)", REDUCE_STOCK.read_bytes())
    await conn.execute(
        "SELECT aerofn.create_row_trigger('reduce-stock', 'orders', '{INSERT}', run_as => 'service_role')"
    )
    return conn


ORDERS = "INSERT INTO orders (product_id, quantity) SELECT 1 + i % 10, 1 FROM generate_series(1, $1::int) i"
TAKEN = "(SELECT sum(100000 - stock) FROM products)"
DONE = "NOT EXISTS (SELECT FROM aerofn.events)"


async def test_killed_between_insert_and_run(shop, database):
    async with serving(database.url) as child:
        await until(shop, "active_version IS NOT NULL FROM aerofn.functions")
        child.send_signal(signal.SIGSTOP)  # so that it cannot be quicker than the kill
        await shop.execute(ORDERS, 5)
        child.kill()
        await child.wait()
    assert await shop.fetchval("SELECT count(*) FROM aerofn.events") == 5
    assert await shop.fetchval(f"SELECT {TAKEN}") == 0
    async with serving(database.url):
        await until(shop, DONE)
    assert await shop.fetchval(f"SELECT {TAKEN}") == 5


async def test_killed_while_it_runs_loses_nothing_and_does_nothing_twice(shop, database):
    async with serving(database.url) as child:
        await until(shop, "active_version IS NOT NULL FROM aerofn.functions")
        await shop.execute(ORDERS, 400)
        await until(shop, f"{TAKEN} > 20")
        child.kill()
        await child.wait()
    assert 0 < await shop.fetchval(f"SELECT {TAKEN}") <= 400
    async with serving(database.url):
        await until(shop, DONE)
    assert await shop.fetchval(f"SELECT {TAKEN}") == 400


async def test_sigterm_ends_in_order(shop, database):
    async with serving(database.url) as child:
        await until(shop, "active_version IS NOT NULL FROM aerofn.functions")
        await shop.execute(ORDERS, 200)
        await until(shop, f"{TAKEN} > 0")
        child.terminate()
        assert await asyncio.wait_for(child.wait(), 60) == 0
    # What had not begun was given back: nothing is leased, nothing is lost.
    assert await shop.fetchval("SELECT count(*) FROM aerofn.events WHERE state <> 'pending'") == 0
    left = await shop.fetchval("SELECT count(*) FROM aerofn.events")
    assert await shop.fetchval(f"SELECT {TAKEN}") == 200 - left


@pytest.mark.long
async def test_killed_while_a_request_left_for_after_the_commit_is_under_way(shop, database):
    """It goes out again, and the receiver can tell: the key is the same."""
    async with far_side() as far:
        wasm, hosts = REDUCE_STOCK.read_bytes(), [f"127.0.0.1:{far.port}"]
        await shop.execute("SELECT aerofn.register_function('reduce-stock', $1, hosts => $2)", wasm, hosts)
        sent = {"url": far.url("/together?2"), "method": "POST", "headers": {"idempotency-key": "k1"}}
        kept = json.dumps([{"key": "k1", "method": "POST", "host": "127.0.0.1", "request": sent}])
        async with serving(database.url, AEROFN_EGRESS_ALLOW="127.0.0.0/8") as child:
            await until(shop, "active_version = 2 FROM aerofn.functions")
            await shop.execute("SELECT aerofn_internal.store_fetches(1, 'anon', '{}', 0, $1)", kept)
            async with asyncio.timeout(60):
                while not far.asked:
                    await asyncio.sleep(0.02)
            child.kill()
            await child.wait()
        async with serving(database.url, AEROFN_EGRESS_ALLOW="127.0.0.0/8"):
            await until(shop, DONE)
    assert [asked.header("idempotency-key") for asked in far.asked] == ["k1", "k1"]


@asynccontextmanager
async def _stuck(shop, database, max_attempts):
    """An order whose function waits for a row that this holds until it is rolled back."""
    row = await database.connect()
    held = row.transaction()
    await held.start()
    await row.execute("SELECT FROM products WHERE id = 1 FOR UPDATE")
    await shop.execute("SELECT aerofn.drop_trigger('reduce-stock_on_orders')")
    await shop.execute(
        "SELECT aerofn.create_row_trigger('reduce-stock', 'orders', run_as => 'service_role', max_attempts => $1)",
        max_attempts,
    )
    await shop.execute("INSERT INTO orders (product_id, quantity) VALUES (1, 1)")
    yield held


# Neither a poll nor the lease's end can be what helps: both are minutes away.
PATIENT = {"AEROFN_POLL_S": "600", "AEROFN_LEASE_S": "600", "AEROFN_TIMEOUT_MS": "600000"}


async def test_what_a_killed_node_ran_starts_elsewhere(shop, database):
    """Its lock tells, and the others look at the locks twice a second."""
    async with serving(database.url, **PATIENT) as first:
        await until(shop, "active_version IS NOT NULL FROM aerofn.functions")
        async with _stuck(shop, database, 5) as held:
            await until(shop, "state = 'running' FROM aerofn.events")
            node = await shop.fetchval("SELECT node FROM aerofn.events")
            async with serving(database.url, **PATIENT):
                await until(shop, "count(*) = 2 FROM aerofn_internal.live_nodes()")
                killed = time.monotonic()
                first.kill()
                await until(shop, f"state = 'running' AND node <> {node} FROM aerofn.events")
                print(f"started elsewhere after {time.monotonic() - killed:.2f} s")
                await held.rollback()
                await until(shop, DONE)
    assert await shop.fetchval(f"SELECT {TAKEN}") == 1


@pytest.mark.long
async def test_what_kills_every_node_that_runs_it_is_dead_after_its_attempts(shop, database):
    async with serving(database.url, **PATIENT) as first:
        await until(shop, "active_version IS NOT NULL FROM aerofn.functions")
        async with _stuck(shop, database, 2) as held:
            await until(shop, "state = 'running' AND attempt = 1 FROM aerofn.events")
            async with serving(database.url, **PATIENT) as second:
                first.kill()
                await until(shop, "state = 'running' AND attempt = 2 FROM aerofn.events")
                second.kill()
                await second.wait()
            async with serving(database.url, **PATIENT) as third:
                await until(shop, "state = 'dead' FROM aerofn.events")
                await held.rollback()
                await shop.execute("INSERT INTO orders (product_id, quantity) VALUES (2, 1)")
                await until(shop, f"{TAKEN} = 1")  # the node that met it lives, and works
                assert third.returncode is None
    codes = "jsonb_path_query_array(errors, '$[*].code') FROM aerofn.events"
    assert json.loads(await shop.fetchval(f"SELECT {codes}")) == ["node_lost", "node_lost"]
