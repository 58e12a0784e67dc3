"""A whole node in the test's process, on the test's database, with every record it makes at hand."""

import asyncio
import json
import shutil
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from aerofn.app import Service
from aerofn.bridge.door import Caps, Door
from aerofn.bridge.guard import Guard
from aerofn.build import build
from aerofn.db import pool
from aerofn.dispatch.invoker import Completed
from aerofn.dispatch.requests import HttpRequest
from aerofn.model import Caller, Record
from aerofn.tracing import Tracing
from tests.conftest import Database, compiled

from .session_kit import SCHEMA

ROOT = Path(__file__).resolve().parents[2]
ANYBODY = Caller("anon")
REDUCE_STOCK = ROOT / "examples" / "reduce-stock" / "reduce-stock.wasm"


class Records:
    """The records a node has made, and waiting for those to come."""

    def __init__(self) -> None:
        self.all: list[Record] = []
        self._more = asyncio.Event()

    def __call__(self, record: Record) -> None:
        self.all.append(record)
        self._more.set()

    async def until(self, number: int, which: Callable[[Record], bool] = lambda _: True) -> list[Record]:
        """The first `number` records that fit, once there are as many."""
        async with asyncio.timeout(60):
            while sum(map(which, self.all)) < number:
                self._more.clear()
                await self._more.wait()
        return [record for record in self.all if which(record)]


class Node(Service):
    """A service that keeps its records for the test."""

    def __init__(self, settings: Any, records: Records, **options: Any) -> None:
        self.records = records
        super().__init__(settings, on_record=self.records, **options)

    async def invoke(self, function: str, body: Any = None, caller: Caller = ANYBODY) -> Completed:
        """Invoke over the path that HTTP takes, with a JSON body."""
        raw = Raw(json.dumps(body).encode())
        request = HttpRequest(method="POST", path="", query={}, search="", headers={}, body=raw)
        version = await self.parts.requests.admit(function, caller, "")
        return await self.parts.requests.run(version, caller, request, str(uuid.uuid4()))


@pytest.fixture(scope="session")
def probe(tmp_path_factory) -> bytes:
    """The component of tests/components/probe.js."""
    return _built("probe", tmp_path_factory)


@pytest.fixture(scope="session")
def fetcher(tmp_path_factory) -> bytes:
    """The component of tests/components/fetcher.js."""
    return _built("fetcher", tmp_path_factory)


def _built(name: str, tmp_path_factory: Any) -> bytes:
    if shutil.which("node") is None:
        pytest.skip("building JavaScript needs Node")
    output = tmp_path_factory.mktemp(name) / f"{name}.wasm"
    build(ROOT / "tests" / "components" / f"{name}.js", output)
    return output.read_bytes()


@pytest.fixture
def node_of(database, node_on):
    """Starts nodes: `async with node_of(timeout_ms=…) as node`."""
    return partial(node_on, database)


@pytest.fixture
def node_on():
    """Starts nodes on any database: `async with node_on(database) as node`."""

    @asynccontextmanager
    async def start(
        database: Database,
        env: dict[str, str] | None = None,
        records: Records | None = None,
        traces: Tracing | None = None,
        **overrides: Any,
    ) -> AsyncIterator[Node]:
        overrides = {
            "cache_dir": compiled(), "records_to_stdout": False, "shutdown_grace_s": 2, "pool_timeout_s": 60,
            **overrides,
        }  # fmt: skip
        node = Node(database.settings(**overrides), records or Records(), env=env or {}, tracing=traces)
        await node.start()
        try:
            yield node
        finally:
            await node.stop()

    return start


@pytest.fixture
async def conn(database):
    return await database.connect()


@pytest.fixture
async def shop(conn):
    """The shop of the example: products with 100 in stock, orders that reduce-stock is attached to."""
    await conn.execute(
        """CREATE TABLE products (id int PRIMARY KEY, name text, stock int NOT NULL);
        INSERT INTO products SELECT i, 'product ' || i, 100 FROM generate_series(1, 10) i;
        CREATE TABLE orders (id bigserial PRIMARY KEY, product_id int, quantity int);
        GRANT SELECT, UPDATE ON products TO service_role"""
    )
    await conn.execute("SELECT aerofn.register_function('reduce-stock', $1)", REDUCE_STOCK.read_bytes())
    await conn.execute(
        "SELECT aerofn.create_row_trigger('reduce-stock', 'orders', '{INSERT}', run_as => 'service_role')"
    )
    return conn


@pytest.fixture(scope="session")
async def guard():
    guard = Guard()
    yield guard
    await guard.close()


@pytest.fixture
async def door_of(database, guard):
    """Doors into the test's database; the pools are closed at the end."""
    conn = await database.connect()
    await conn.execute(SCHEMA)
    known, opened = await pool.known_logins(database.settings()), []

    async def make(role="authenticated", size=3, share=3, **caps):
        settings = database.settings(pool_size=size, function_pool_size=share)
        pools = pool.open_role_pools(settings, known)
        opened.extend(pools.values())
        return Door(role, pools[role], guard, Caps(**{"wait_s": 60.0, **caps}))

    yield make
    await pool.close(*opened)


@pytest.fixture
async def door(door_of):
    return await door_of()
