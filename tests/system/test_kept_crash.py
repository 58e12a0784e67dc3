"""A node is killed in the middle of a request with an Idempotency-Key; another one is sent the same again."""

import asyncio

import httpx
import pytest

from tests.conftest import ROOT, compiled

from .cli_kit import serving

WASM = ROOT / "examples" / "reduce-stock" / "reduce-stock.wasm"
ORDER = {"product_id": 1, "quantity": 3}
KEYED = {"idempotency-key": "order-1"}


async def waiting(conn) -> None:
    async with asyncio.timeout(60):
        while not await conn.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.02)


@pytest.mark.long
async def test_a_killed_nodes_request_runs_once_on_another(database):
    conn, other = await database.connect(), await database.connect()
    await conn.execute(
        """CREATE TABLE products (id int PRIMARY KEY, name text, stock int NOT NULL);
        INSERT INTO products VALUES (1, 'Teapot', 10); GRANT SELECT, UPDATE ON products TO anon"""
    )
    await conn.execute("SELECT aerofn.register_function('shop', $1)", WASM.read_bytes())
    async with (
        serving(database.url, compiled()) as (doomed, first),
        serving(database.url, compiled()) as (_, second),
        httpx.AsyncClient(timeout=90) as client,
    ):
        async with conn.transaction():
            await conn.execute("SELECT FROM products FOR UPDATE")
            cut = asyncio.create_task(client.post(f"{first}/functions/v1/shop", json=ORDER, headers=KEYED))
            await waiting(other)
            doomed.kill()
            assert isinstance((await asyncio.gather(cut, return_exceptions=True))[0], httpx.HTTPError)
        answer = await again(client, second)
        assert (answer.status_code, answer.json()) == (200, {"product": 1, "stock": 7})
        assert await other.fetchval("SELECT stock FROM products") == 7
        replayed = await client.post(f"{second}/functions/v1/shop", json=ORDER, headers=KEYED)
        assert replayed.content == answer.content
        assert replayed.headers["idempotency-replayed"] == "true"
        assert await other.fetchval("SELECT stock FROM products") == 7


async def again(client: httpx.AsyncClient, url: str) -> httpx.Response:
    """Repeat the request until PostgreSQL has noticed that the node is gone."""
    async with asyncio.timeout(60):
        while True:
            answer = await client.post(f"{url}/functions/v1/shop", json=ORDER, headers=KEYED)
            if answer.status_code != 409:
                return answer
            assert answer.json()["code"] == "request_in_progress"
            await asyncio.sleep(0.05)
