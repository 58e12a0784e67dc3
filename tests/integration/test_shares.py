"""What one function may take of a node, so that others have theirs: connections of a role, and rates of its callers."""

import asyncio

import pytest

from .http_kit import SECRET, bearer, deploy, served

URL = "/functions/v1/probe"
ONE = {"do": "query", "queries": [["SELECT 1 AS n"]]}


@pytest.fixture
async def start(node_of, probe):
    """Serves nodes with a function `probe`: `async with start(settings…) as client`."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def serving(options=None, **settings):
        async with node_of(jwt_secret=SECRET, port=0, **settings) as node, served(node) as client:
            answer = await deploy(client, "probe", probe, **(options or {}))
            assert answer.status_code == 201, answer.text
            yield client

    return serving


async def test_slow_queries_of_one_function_leave_connections_to_another(conn, start, probe):
    await conn.execute("CREATE TABLE hits (n int); GRANT ALL ON hits TO anon")
    slow = {"do": "query", "queries": [["INSERT INTO hits VALUES (1)"]]}
    async with start(pool_size=3, function_pool_size=2, pool_timeout_s=20) as client:
        await deploy(client, "other", probe)
        async with conn.transaction():
            await conn.execute("LOCK TABLE hits")
            waiting = [asyncio.create_task(client.post(URL, json=slow)) for _ in range(5)]
            async with asyncio.timeout(60):
                while await conn.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") < 2:
                    await asyncio.sleep(0.01)
            for _ in range(3):
                answer = await client.post("/functions/v1/other", json=ONE)
                assert answer.json()[0]["rows"] == [{"n": 1}]
            assert await conn.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") == 2
        assert [(await task).status_code for task in waiting] == [200] * 5
        assert await conn.fetchval("SELECT count(*) FROM hits") == 5


async def test_a_function_has_a_rate_for_each_caller(start, probe, conn):
    async with start({"rate_limit": "2/hour"}, rate_limit="1/hour") as client:
        alice, bob, nobody = bearer(sub="alice"), bearer(sub="bob"), bearer()
        for headers in (alice, bob, {}):
            assert [(await client.post(URL, json=ONE, headers=headers)).status_code for _ in range(3)] == [
                200,
                200,
                429,
            ]
        answer = await client.post(URL, json=ONE, headers=bearer(sub="alice", jti="another token"))
        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
        assert 1700 < int(answer.headers["retry-after"]) <= 1800
        # A caller without a subject is its address, whatever its role.
        assert (await client.post(URL, json=ONE, headers=nobody)).status_code == 429
        # What is refused is not even read, and not recorded.
        assert (await client.post(URL, content=b"{", headers=alice)).status_code == 429
        await deploy(client, "free", probe, rate_limit="none")
        await deploy(client, "usual", probe)
        assert {(await client.post("/functions/v1/free", json=ONE)).status_code for _ in range(5)} == {200}
        usual = [(await client.post("/functions/v1/usual", json=ONE)).status_code for _ in range(2)]
        assert usual == [200, 429]
        rows = await conn.fetch("SELECT name, rate_limit FROM aerofn.functions ORDER BY name")
        assert [tuple(row) for row in rows] == [("free", "none"), ("probe", "2/hour"), ("usual", None)]


@pytest.mark.parametrize(
    "rate", ["5", "0/minute", "5/fortnight", "-1/second", "5/second burst 0", "99999999/day", "nine/day"]
)
async def test_what_is_no_rate_is_refused(start, probe, rate):
    async with start() as client:
        answer = await deploy(client, "other", probe, rate_limit=rate)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert "100/minute" in answer.json()["hint"]


@pytest.mark.parametrize(("trusted", "second"), [("127.0.0.0/8", 200), ("", 429)])
async def test_a_proxys_word_counts_if_it_is_trusted(start, trusted, second):
    async with start({"rate_limit": "1/hour"}, trusted_proxies=trusted) as client:
        statuses = [
            (await client.post(URL, json=ONE, headers={"x-forwarded-for": address})).status_code
            for address in ("192.0.2.1", "192.0.2.2", "192.0.2.2")
        ]
        assert statuses == [200, second, 429]
