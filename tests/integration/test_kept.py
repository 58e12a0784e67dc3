"""Requests that may be repeated run once, on whichever node, and those to be answered later are."""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import httpx
import pytest

from tests.conftest import _lent

from .http_kit import bearer, deploy, lasting, served

URL = "/functions/v1/probe"
INSERT = {"do": "query", "queries": [["INSERT INTO hits VALUES (1) RETURNING n"]]}


class Hits:
    """A table that the probe writes into, as the test's own connection sees it."""

    def __init__(self, conn) -> None:
        self.conn = conn

    async def count(self) -> int:
        return await self.conn.fetchval("SELECT count(*) FROM hits")

    @asynccontextmanager
    async def locked(self):
        """Meanwhile functions wait with their writes."""
        async with self.conn.transaction():
            await self.conn.execute("LOCK TABLE hits IN SHARE MODE")
            yield

    async def waiting(self, number: int = 1) -> None:
        async with asyncio.timeout(60):
            while await self.conn.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") < number:
                await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
async def place(server, template, probe):
    """Two nodes on one database, and a client for each."""
    async with _lent(server, await server.create(template)) as database, AsyncExitStack() as stack:
        conn = await database.connect()
        await conn.execute("CREATE TABLE hits (n int); GRANT INSERT, SELECT ON hits TO anon, authenticated")
        nodes = []
        for _ in range(2):
            node = await stack.enter_async_context(lasting(database, poll_s=0.2))
            nodes.append((node, await stack.enter_async_context(served(node))))
        for name in ("probe", "other"):
            assert (await deploy(nodes[0][1], name, probe)).status_code == 201
        yield conn, nodes


@pytest.fixture
async def nodes(place):
    conn, nodes = place
    await conn.execute("TRUNCATE hits, aerofn_internal.results, aerofn_internal.events")
    async with asyncio.timeout(60):
        for node, _ in nodes:
            node.records.all.clear()
            while node.parts.listener.node is None:
                await asyncio.sleep(0.01)
    return nodes


@pytest.fixture
def hits(place, nodes):
    return Hits(place[0])


@pytest.fixture
def clients(nodes) -> list[httpx.AsyncClient]:
    return [client for _, client in nodes]


def keyed(key: str, **claims) -> dict[str, str]:
    return {"idempotency-key": key, **(bearer(**claims) if claims else {})}


async def test_a_repeated_request_is_answered_with_the_first_ones_result(clients, hits):
    first = await clients[0].post(URL, json=INSERT, headers=keyed("k1", sub="alice"))
    assert (first.status_code, first.json()[0]["rowCount"]) == (200, 1)
    assert "idempotency-replayed" not in first.headers
    for client in clients:
        again = await client.post(URL, json=INSERT, headers=keyed("k1", sub="alice", jti="renewed"))
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["x-aerofn-invocation-id"] == first.headers["x-aerofn-invocation-id"]
    assert await hits.count() == 1


async def test_a_full_response_is_repeated_whole(clients):
    value = {
        "statusCode": 409,
        "headers": {"set-cookie": ["a=1", "b=2"]},
        "body": "AP8=",
        "isBase64Encoded": True,
    }
    body = {"do": "raw", "value": value}
    for _ in range(2):
        answer = await clients[0].post(URL, json=body, headers=keyed("full"))
        assert (answer.status_code, answer.content) == (409, b"\x00\xff")
        assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["idempotency-replayed"] == "true"


async def test_a_key_is_its_callers_its_functions_and_its_requests(clients, hits):
    for headers in (
        keyed("k"),
        keyed("k", sub="a"),
        keyed("k", sub="b"),
        keyed("k", sub="a", iss="x"),
        keyed("l"),
    ):
        assert (await clients[0].post(URL, json=INSERT, headers=headers)).status_code == 200
    assert (await clients[0].post("/functions/v1/other", json=INSERT, headers=keyed("k"))).status_code == 200
    assert await hits.count() == 6
    others = [
        {"json": {"do": "raw", "value": 1}},
        {"json": INSERT, "params": {"q": "1"}},
        {"content": json.dumps(INSERT), "headers": {"content-type": "text/plain"}},
    ]
    for other in others:
        other["headers"] = {**other.get("headers", {}), **keyed("k")}
        answer = await clients[1].post(URL, **other)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert (await clients[0].put(URL, json=INSERT, headers=keyed("k"))).status_code == 422
    assert await hits.count() == 6


async def test_callers_without_a_subject_are_told_apart_by_their_claims(clients, hits):
    for claims in ({"org": "a"}, {"org": "b"}, {"org": "a", "exp": 4_000_000_000}):
        assert (await clients[0].post(URL, json=INSERT, headers=keyed("k", **claims))).status_code == 200
    assert await hits.count() == 2


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256])
async def test_what_is_no_key_is_refused(clients, key):
    answer = await clients[0].post(URL, json={}, headers={"idempotency-key": key.encode("latin-1")})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")


async def test_a_duplicate_at_the_same_time_is_told_to_wait(clients, hits):
    async with hits.locked():
        running = asyncio.create_task(clients[0].post(URL, json=INSERT, headers=keyed("k")))
        await hits.waiting()
        for client in clients:
            answer = await client.post(URL, json=INSERT, headers=keyed("k"))
            assert (answer.status_code, answer.json()["code"]) == (409, "request_in_progress")
    assert (await running).status_code == 200
    assert (await clients[1].post(URL, json=INSERT, headers=keyed("k"))).content == (await running).content
    assert await hits.count() == 1


async def test_fifty_at_once_are_one(clients, hits):
    sent = (clients[n % 2].post(URL, json=INSERT, headers=keyed("k")) for n in range(50))
    answers = await asyncio.gather(*sent)
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert await hits.count() == 1


async def test_what_did_not_succeed_did_nothing_and_may_run_again(clients, hits, nodes):
    failing = {**INSERT, "do": "fail"}
    for _ in range(2):
        answer = await clients[0].post(URL, json=failing, headers=keyed("k"))
        assert (answer.status_code, answer.json()["message"]) == (500, "failed on purpose")
    assert len([r for r in nodes[0][0].records.all if r.status == "function_error"]) == 2
    assert await hits.count() == 0


async def test_a_client_that_leaves_gives_its_key_back(clients, hits):
    async with hits.locked():
        leaving = asyncio.create_task(clients[0].post(URL, json=INSERT, headers=keyed("k")))
        await hits.waiting()
        leaving.cancel()
        # Its invocation, its query and its key are gone while the table is still locked.
        async with asyncio.timeout(60):
            while await hits.conn.fetchval(
                "SELECT (SELECT count(*) FROM aerofn_internal.results)"
                " + (SELECT count(*) FROM pg_locks WHERE NOT granted)"
            ):
                await asyncio.sleep(0.01)
    assert (await clients[0].post(URL, json=INSERT, headers=keyed("k"))).status_code == 200
    assert await hits.count() == 1


async def test_a_node_that_lost_the_request_commits_nothing(nodes, clients, hits):
    """Its connection breaks, so it counts as gone; another node runs the request; then the first one wakes up."""
    async with hits.locked():
        first = asyncio.create_task(clients[0].post(URL, json=INSERT, headers=keyed("k")))
        await hits.waiting()
        lost = nodes[0][0].parts.listener.node
        await hits.conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1::int::oid",
            lost,
        )
        async with asyncio.timeout(60):
            while await hits.conn.fetchval("SELECT $1 IN (SELECT aerofn_internal.live_nodes())", lost):
                await asyncio.sleep(0.01)
        second = asyncio.create_task(clients[1].post(URL, json=INSERT, headers=keyed("k")))
        await hits.waiting(2)
    answers = [await first, await second]
    assert sorted(answer.status_code for answer in answers) == [200, 499]
    assert await hits.count() == 1
    again = await clients[0].post(URL, json=INSERT, headers=keyed("k"))
    assert again.content == next(a.content for a in answers if a.status_code == 200)
    assert await hits.count() == 1


async def test_a_commit_whose_answer_is_lost_is_found_by_the_next_request(nodes, clients, hits, monkeypatch):
    from aerofn.bridge.session import Session
    from aerofn.errors import DatabaseUnavailable

    commit = Session.commit

    async def commit_and_lose_the_answer(self, *given):
        await commit(self, *given)
        raise DatabaseUnavailable("the connection broke")

    monkeypatch.setattr(Session, "commit", commit_and_lose_the_answer)
    answer = await clients[0].post(URL, json=INSERT, headers=keyed("k"))
    assert answer.status_code == 503
    monkeypatch.undo()
    again = await clients[1].post(URL, json=INSERT, headers=keyed("k"))
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert await hits.count() == 1


async def test_a_result_is_forgotten_when_its_time_is_over(clients, hits):
    await clients[0].post(URL, json=INSERT, headers=keyed("k"))
    await hits.conn.execute(
        "UPDATE aerofn_internal.results SET expires_at = expires_at - $1::interval, lease_until = now() - $1",
        timedelta(hours=25),
    )
    answer = await clients[0].post(URL, json={"do": "raw", "value": 7}, headers=keyed("k"))
    assert answer.json() == 7
    assert "idempotency-replayed" not in answer.headers


LATER = {"prefer": "respond-async"}


async def result_of(client, accepted, headers=None) -> httpx.Response:
    """The answer at its Location, once there is one."""
    async with asyncio.timeout(30):
        while True:
            answer = await client.get(accepted.headers["location"], headers=headers)
            if answer.status_code != 202:
                return answer
            assert answer.headers["retry-after"] == "1"
            await asyncio.sleep(0.05)


async def test_a_request_answered_later(nodes, clients, hits):
    alice = bearer(sub="alice")
    accepted = await clients[0].post(
        URL + "/a/b?x=1", json=INSERT, headers={**alice, "prefer": "x=1, respond-async; wait=1"}
    )
    body = accepted.json()
    assert (accepted.status_code, body["status"]) == (202, "pending")
    assert accepted.headers["location"] == f"/results/v1/{body['id']}"
    assert accepted.headers["preference-applied"] == "respond-async"
    answer = await result_of(clients[1], accepted, alice)
    assert (answer.status_code, answer.json()[0]["rowCount"]) == (200, 1)
    assert await hits.count() == 1
    async with asyncio.timeout(60):  # which of the two ran it, and its record comes after its commit
        while not (records := [r for n, _ in nodes for r in n.records.all if r.event_id == body["event_id"]]):
            await asyncio.sleep(0.01)
    (record,) = records
    assert (record.trigger, record.event_id, record.user_id) == ("http", body["event_id"], "alice")
    assert answer.headers["x-aerofn-invocation-id"] == record.id
    for stranger in ({}, bearer(sub="bob"), bearer("service_role", sub="alice")):
        gone = await clients[0].get(accepted.headers["location"], headers=stranger)
        assert (gone.status_code, gone.json()["code"]) == (404, "result_not_found")


async def test_the_function_sees_the_same_request_later(clients):
    given = {
        "content": b"\x00\xff",
        "headers": {"x-thing": "Q", "authorization": bearer(sub="a")["authorization"]},
    }
    now = (await clients[0].put(URL + "/p?a=1&a=2", **given)).json()
    given["headers"] |= LATER
    later = (
        await result_of(clients[0], await clients[0].put(URL + "/p?a=1&a=2", **given), bearer(sub="a"))
    ).json()
    assert later.pop("id") != now.pop("id")
    assert later["request"]["headers"].pop("prefer") == "respond-async"
    assert "authorization" not in later["request"]["headers"]
    assert later == now


async def test_a_body_that_postgresql_could_not_hold_as_text_gets_there(clients):
    body = (
        b'{"do":"raw","value":["a\\u0000b","\\ud83d\\ude00","\xf0\x9f\x98\x80",1e400,12345678901234567890]}'
    )
    headers = {**LATER, "content-type": "application/json"}
    answer = await result_of(clients[0], await clients[0].post(URL, content=body, headers=headers))
    assert answer.json()[:3] == ["a\0b", "😀", "😀"]


async def test_what_never_writes_has_a_result_too(clients):
    value = {"statusCode": 201, "headers": {"x-a": "b"}, "body": {"n": 1}}
    accepted = await clients[0].post(URL, json={"do": "raw", "value": value}, headers=LATER)
    answer = await result_of(clients[0], accepted)
    assert (answer.status_code, answer.json(), answer.headers["x-a"]) == (201, {"n": 1}, "b")


async def test_an_event_that_is_given_up_shows_its_error(clients, hits):
    accepted = await clients[0].post(URL, json={"do": "throw", "retry": False}, headers=LATER)
    answer = await result_of(clients[0], accepted)
    assert (answer.status_code, answer.json()["code"]) == (500, "function_error")
    assert answer.json()["message"] == "out of range on purpose"
    assert answer.json()["detail"] == "RangeError"  # and no stack
    event = accepted.json()["event_id"]
    await hits.conn.execute("SELECT aerofn.replay($1)", event)
    assert (await result_of(clients[0], accepted)).status_code == 500
    await hits.conn.execute("SELECT aerofn.discard($1)", event)
    gone = await clients[0].get(accepted.headers["location"])
    assert (gone.status_code, gone.json()["code"]) == (404, "result_not_found")


async def test_a_key_makes_one_event(clients, hits):
    headers = {**LATER, **keyed("k")}
    answers = await asyncio.gather(
        *(clients[n % 2].post(URL, json=INSERT, headers=headers) for n in range(10))
    )
    assert len({a.headers["location"] for a in answers if a.status_code == 202}) == 1
    accepted = next(a for a in answers if a.status_code == 202)
    answer = await result_of(clients[0], accepted)
    again = await clients[1].post(URL, json=INSERT, headers=headers)  # its result is known by now
    assert (again.status_code, again.content) == (200, answer.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert (await clients[0].post(URL, json={"do": "raw"}, headers=headers)).status_code == 422
    assert await hits.count() == 1


@pytest.mark.parametrize("result", ["1", "x", "00000000-0000-0000-0000-000000000000", "%00"])
async def test_a_result_that_is_none(clients, result):
    answer = await clients[0].get(f"/results/v1/{result}")
    assert (answer.status_code, answer.json()["code"]) == (404, "result_not_found")


async def test_old_results_are_removed(clients, hits, nodes):
    accepted = await clients[0].post(URL, json={"do": "raw", "value": 1}, headers={**LATER, **keyed("a")})
    await result_of(clients[0], accepted)
    await clients[0].post(URL, json={"do": "raw", "value": 1}, headers=keyed("b"))
    await hits.conn.execute(
        "UPDATE aerofn_internal.results SET expires_at = now() - interval '1 s' WHERE key = 'a'"
    )
    sweeping = asyncio.create_task(nodes[0][0].parts.results.run())
    async with asyncio.timeout(60):
        while await hits.conn.fetchval("SELECT count(*) FROM aerofn_internal.results") > 1:
            await asyncio.sleep(0.01)
    sweeping.cancel()
    assert await hits.conn.fetchval("SELECT key FROM aerofn_internal.results") == "b"
