"""HTTP from end to end: a real server, real tokens, real functions, PostgreSQL behind them."""

import asyncio
import json

import jwt
import pytest

from .conftest import REDUCE_STOCK
from .http_kit import SECRET, bearer, deploy, served


@pytest.fixture
async def client(node_of):
    async with node_of(jwt_secret=SECRET, port=0) as node, served(node) as client:
        yield client


@pytest.fixture
async def probe_client(conn, client, probe):
    answer = await deploy(client, "probe", probe)
    assert answer.status_code == 201, answer.text
    return client


async def test_deploy_then_invoke(probe_client, conn):
    answer = await probe_client.post("/functions/v1/probe", json={"do": "raw", "value": {"a": [1, "é"]}})
    assert (answer.status_code, answer.json()) == (200, {"a": [1, "é"]})
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-aerofn-invocation-id"]
    row = await conn.fetchrow("SELECT version, status, active, author FROM aerofn.versions")
    assert tuple(row) == (1, "ready", True, "dev")


async def test_the_caller_is_the_tokens(probe_client):
    body = {"do": "query", "queries": [["SELECT current_user::text AS me, auth.uid() AS uid"]]}
    as_nobody = await probe_client.post("/functions/v1/probe", json=body)
    assert as_nobody.json()[0]["rows"] == [{"me": "anon", "uid": None}]
    as_alice = await probe_client.post("/functions/v1/probe", json=body, headers=bearer(sub="alice"))
    assert as_alice.json()[0]["rows"] == [{"me": "authenticated", "uid": "alice"}]


async def test_who_may_deploy(client, conn):
    wasm = REDUCE_STOCK.read_bytes()
    assert (await deploy(client, "f", wasm, headers={})).status_code in (401, 403)
    assert (await deploy(client, "f", wasm, headers=bearer())).status_code == 403
    forged = jwt.encode({"role": "service_role"}, "another secret that is long enough too", "HS256")
    assert (await deploy(client, "f", wasm, headers={"authorization": f"Bearer {forged}"})).status_code == 401
    assert await conn.fetchval("SELECT count(*) FROM aerofn.functions") == 0


@pytest.mark.parametrize(
    ("name", "wasm", "code"),
    [
        ("two words", bytes.fromhex("0061736d0d000100"), 400),
        ("f", b"hello", 400),
        ("f", bytes.fromhex("0061736d01000000"), 400),
        ("f", bytes.fromhex("0061736d0d000100"), 422),
    ],
)
async def test_what_cannot_be_deployed_is_explained(client, name, wasm, code):
    answer = await deploy(client, name, wasm)
    assert answer.status_code in (code, 422), answer.text
    body = answer.json()
    assert sorted(body) == ["code", "detail", "hint", "message"]
    assert body["message"]
    assert body["hint"]


async def test_a_bad_version_leaves_the_good_one_running(probe_client, conn):
    assert (await deploy(probe_client, "probe", bytes.fromhex("0061736d0d000100"))).status_code == 422
    answer = await probe_client.post("/functions/v1/probe", json={"do": "raw", "value": 1})
    assert (answer.status_code, answer.json()) == (200, 1)
    assert await conn.fetchval("SELECT active_version FROM aerofn.functions") == 1


async def test_errors_and_their_status(probe_client, conn, probe):
    await deploy(probe_client, "slow", probe, timeout_ms="200")
    await deploy(probe_client, "small", probe, memory_mb="16")
    seen = {}
    for function, action in (("small", "throw"), ("slow", "spin"), ("small", "grow")):
        answer = await probe_client.post(f"/functions/v1/{function}", json={"do": action})
        seen[action] = (answer.status_code, answer.json()["code"])
    assert seen == {"throw": (500, "function_error"), "spin": (504, "timeout"), "grow": (500, "memory_limit")}
    missing = await probe_client.post("/functions/v1/missing", json={})
    assert (missing.status_code, missing.json()["code"]) == (404, "function_not_found")
    broken = await probe_client.post(
        "/functions/v1/probe", content=b'{"do"', headers={"content-type": "application/json"}
    )
    assert broken.status_code == 400
    expired = {"authorization": "Bearer " + jwt.encode({"role": "anon", "exp": 1}, SECRET, "HS256")}
    assert (await probe_client.post("/functions/v1/probe", json={}, headers=expired)).status_code == 401


async def test_a_full_response(probe_client):
    value = {
        "statusCode": 418,
        "headers": {"x-tea": "green", "content-type": "text/plain"},
        "body": "short and stout",
    }
    answer = await probe_client.post("/functions/v1/probe", json={"do": "raw", "value": value})
    assert (answer.status_code, answer.headers["x-tea"], answer.text) == (418, "green", "short and stout")


async def test_the_event_that_http_makes(probe_client):
    answer = await probe_client.put(
        "/functions/v1/probe/a/b?x=1&y=2&y=3", content=b"plain", headers={"X-Thing": "Q"}
    )
    event = answer.json()
    assert event["trigger"] == "http"
    request = event["request"]
    assert (request["method"], request["path"], request["query"]) == ("PUT", "/a/b", {"x": "1", "y": "2,3"})
    assert request["search"] == "?x=1&y=2&y=3"
    assert request["headers"]["x-thing"] == "Q"
    assert event["id"] == answer.headers["x-aerofn-invocation-id"]


async def test_a_hundred_at_once_with_a_query(client, conn, probe):
    await conn.execute("CREATE TABLE hits (n int); GRANT INSERT ON hits TO authenticated")
    body = {"do": "query", "queries": [["INSERT INTO hits VALUES (1)"]]}
    await deploy(client, "probe", probe, timeout_ms="60000")
    answers = await asyncio.gather(
        *(client.post("/functions/v1/probe", json=body, headers=bearer(sub=str(i))) for i in range(100))
    )
    assert [a.status_code for a in answers] == [200] * 100
    assert await conn.fetchval("SELECT count(*) FROM hits") == 100


async def test_a_full_node_says_when_to_come_back(conn, node_of, probe):
    options = {"jwt_secret": SECRET, "port": 0, "max_invocations": 1, "max_waiting": 1}
    async with node_of(**options) as node, served(node) as client:
        await deploy(client, "probe", probe, timeout_ms="2000")
        answers = await asyncio.gather(
            *(client.post("/functions/v1/probe", json={"do": "spin"}) for _ in range(5))
        )
        refused = [a for a in answers if a.status_code == 503]
        assert len(refused) == 3
        assert {a.headers["retry-after"] for a in refused} == {"1"}


async def test_a_client_that_leaves_stops_its_invocation(conn, node_of, probe):
    async with node_of(jwt_secret=SECRET, port=0) as node, served(node) as client:
        await deploy(client, "probe", probe)
        leaving = asyncio.create_task(client.post("/functions/v1/probe", json={"do": "spin"}))
        async with asyncio.timeout(60):
            while not node.parts.runtime.busy_workers:
                await asyncio.sleep(0.01)
        leaving.cancel()
        (record,) = await node.records.until(1)
        assert record.status == "cancelled"


async def test_health_readiness_and_metrics(probe_client):
    await probe_client.post("/functions/v1/probe", json={"do": "raw", "value": 1})
    assert (await probe_client.get("/healthz")).status_code == 200
    assert (await probe_client.get("/readyz")).status_code == 200
    metrics = (await probe_client.get("/metrics")).text
    assert 'aerofn_invocations_total{function="probe",status="success",trigger="http"} 1.0' in metrics


async def test_manage(probe_client):
    headers = bearer("service_role")
    listed = (await probe_client.get("/manage/v1/functions", headers=headers)).json()
    assert json.dumps(listed).count('"probe"') == 1
    assert (await probe_client.get("/manage/v1/functions", headers=bearer())).status_code == 403
    gone = await probe_client.delete("/manage/v1/functions/probe", headers=headers)
    assert gone.status_code in (200, 204)
    assert (await probe_client.post("/functions/v1/probe", json={})).status_code == 404
