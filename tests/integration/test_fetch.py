"""fetch from JavaScript, and requests that are sent once the effects have committed."""

import asyncio
import json

import pytest

from aerofn.model import Caller, Outcome
from tests.egress.far_side import far_side

KEY = "the key that opens secrets in these tests"
ALICE = Caller("authenticated", {"sub": "alice", "role": "authenticated"})


@pytest.fixture
async def far():
    async with far_side() as far:
        yield far


@pytest.fixture
def register(conn, fetcher, far):
    async def register(**options) -> None:
        given = {"hosts": [f"127.0.0.1:{far.port}"], "env": [], "timeout_ms": 20_000, **options}
        statement = "SELECT aerofn.register_function('fetcher', $1, hosts => $2, env => $3, timeout_ms => $4)"
        await conn.execute(statement, fetcher, given["hosts"], given["env"], given["timeout_ms"])

    return register


@pytest.fixture
async def node(register, node_of):
    await register()
    async with node_of(egress_allow=("127.0.0.0/8",), max_fetches=20) as node:
        yield node


async def ran(node, body, outcome=Outcome.SUCCESS):
    completed = await node.invoke("fetcher", body, ALICE)
    assert completed.run.outcome is outcome, completed.record
    return json.loads(completed.run.output) if outcome is Outcome.SUCCESS else completed.run.error


async def gone(conn, events: int = 0):
    """Wait until no event, or so many, are left."""
    async with asyncio.timeout(30):
        while await conn.fetchval("SELECT count(*) FROM aerofn.events") > events:
            await asyncio.sleep(0.02)


async def test_what_javascript_sees(node, far):
    assert await ran(node, {"do": "get", "url": far.url("/status?404")}) == {
        "ok": False, "status": 404, "statusText": "As Asked", "url": far.url("/status?404"), "redirected": False,
        "text": "said",
    }  # fmt: skip
    seen = await ran(node, {"do": "binary", "url": far.url("/binary")})
    assert seen == {"bytes": list(range(256)), "size": 256}
    assert far.asked[-1].body == bytes([0, 255, 128])
    failed = await ran(node, {"do": "get", "url": "http://elsewhere.example/"})
    assert failed == {
        "name": "TypeError", "code": "egress_denied", "hint": "register it with hosts => '{elsewhere.example:80}'",
        "message": "fetch GET http://elsewhere.example/ failed: this function was not granted elsewhere.example:80",
    }  # fmt: skip
    late = await ran(node, {"do": "get", "url": far.url("/drip"), "timeout": 200})
    assert (late["name"], late["message"]) == ("TimeoutError", "The operation was aborted due to timeout")


async def test_promise_all_is_truly_at_the_same_time(node, far):
    """The server answers none of the requests before all of them are open."""
    urls = [far.url("/together?8")] * 8
    assert await ran(node, {"do": "all", "urls": urls}) == ["together"] * 8
    assert far.most_open == 8


async def test_requests_are_counted(node, far):
    seen = await ran(node, {"do": "all", "urls": [far.url("/status?200")] * 22})
    assert seen == ["said"] * 20 + ["too_many_fetches"] * 2
    metrics = node.metrics.exposition()[0].decode()
    assert 'aerofn_fetches_total{function="fetcher",outcome="answered"} 20.0' in metrics
    assert 'aerofn_fetches_total{function="fetcher",outcome="too_many_fetches"} 2.0' in metrics


async def test_the_invocations_time_limit_ends_a_request(register, node_of, far):
    await register(timeout_ms=500)
    async with node_of(egress_allow=("127.0.0.0/8",)) as node:
        completed = await node.invoke("fetcher", {"do": "get", "url": far.url("/drip")}, ALICE)
        assert completed.run.outcome is Outcome.TIMEOUT
        async with asyncio.timeout(60):
            while far.open:
                await asyncio.sleep(0.01)


async def test_hosts_are_checked_at_registration(conn):
    import asyncpg

    from tests.docs.test_reference import COMPONENT

    statement = "SELECT aerofn.register_function('f', $1, hosts => ARRAY[$2])"
    for host in (
        "https://a.example",
        "a.example/path",
        "a b",
        "",
        "*.",
        "a*.example",
        "a.example:",
        "a..b",
        "u@h",
        "bücher.de",
    ):
        with pytest.raises(asyncpg.InvalidParameterValueError, match="no host that can be granted"):
            await conn.execute(statement, COMPONENT, host)
    for host in (
        "a.example",
        "*.A.example:443",
        "*",
        "10.0.0.1:80",
        "[::1]:8080",
        "localhost",
        "a_b.example.",
    ):
        await conn.execute(statement, COMPONENT, host)


async def test_after_commit(conn, node, far):
    await conn.execute("CREATE TABLE t (a int); GRANT ALL ON t TO authenticated")
    made = await ran(node, {"do": "after", "url": far.url("/paid"), "sql": "INSERT INTO t VALUES (1)"})
    await gone(conn)
    (asked,) = far.asked
    assert asked.header("idempotency-key") == made["idempotencyKey"]
    assert (asked.line, asked.body, asked.header("x-mine")) == ("POST /paid HTTP/1.1", b'{"a":1}', "1")
    assert await conn.fetchval("SELECT count(*) FROM t") == 1
    (record,) = await node.records.until(1, lambda r: r.trigger == "fetch")
    assert (record.status, record.function, record.user_id) == (Outcome.SUCCESS, "fetcher", "alice")
    assert record.logs[0].message == "POST 127.0.0.1: 200"


async def test_after_commit_without_a_transaction_and_with_a_key_of_its_own(conn, node, far):
    made = await ran(node, {"do": "after", "url": far.url("/paid"), "key": "my-own", "body": "\0é\\'"})
    assert made == {"idempotencyKey": "my-own"}
    await gone(conn)
    assert far.asked[0].body.decode() == "\0é\\'"
    assert [value for name, value in far.asked[0].headers if name.lower() == "idempotency-key"] == ["my-own"]


async def test_nothing_is_sent_for_what_was_rolled_back(conn, node, far):
    await conn.execute(
        "CREATE TABLE t (a int UNIQUE DEFERRABLE INITIALLY DEFERRED); GRANT ALL ON t TO authenticated"
    )
    thrown = await ran(node, {"do": "after", "url": far.url("/no"), "throw": True}, Outcome.FUNCTION_ERROR)
    assert thrown.message == "on purpose"
    refused = {"do": "after", "url": far.url("/no"), "sql": "INSERT INTO t VALUES (1), (1)"}
    await ran(node, refused, Outcome.FUNCTION_ERROR)  # by the deferred constraint, at the commit itself
    denied = await ran(node, {"do": "after", "url": "http://elsewhere.example/"}, Outcome.FUNCTION_ERROR)
    assert "not granted" in denied.message
    assert await conn.fetchval("SELECT count(*) FROM aerofn.events") == 0
    await ran(node, {"do": "after", "url": far.url("/yes")})
    await gone(conn)
    assert [asked.path for asked in far.asked] == ["/yes"]


async def test_again_until_it_succeeds_with_the_same_key(conn, node, far, monkeypatch):
    monkeypatch.setattr("aerofn.dispatch.retry._FIRST_S", 0.01)
    far.statuses[:] = [503, 429, 500]
    await ran(node, {"do": "after", "url": far.url("/status?201")})
    await gone(conn)
    assert len({asked.header("idempotency-key") for asked in far.asked}) == 1
    records = await node.records.until(4, lambda r: r.trigger == "fetch")
    assert [(r.attempt, r.status.value) for r in records] == [
        (1, "function_error"), (2, "function_error"), (3, "function_error"), (4, "success"),
    ]  # fmt: skip
    assert records[0].error["message"] == "POST 127.0.0.1 answered 503"


async def test_dead_ones_are_seen_and_replayed_by_todays_grants(conn, node, register, far):
    far.statuses[:] = [400]
    await ran(node, {"do": "after", "url": far.url("/status?200")})
    dead = "SELECT count(*) FROM aerofn.events WHERE state = 'dead'"
    async with asyncio.timeout(30):
        while not await conn.fetchval(dead):
            await asyncio.sleep(0.02)
    event = await conn.fetchrow(
        "SELECT id, source, attempt, max_attempts, errors, payload FROM aerofn.events"
    )
    assert (event["source"], event["attempt"], event["max_attempts"]) == ("fetch", 1, 12)
    assert json.loads(event["errors"])[0]["message"] == "POST 127.0.0.1 answered 400"
    assert json.loads(event["payload"])["request"]["url"] == far.url("/status?200")
    await register(hosts=["127.0.0.1:1"])
    async with asyncio.timeout(30):
        while await conn.fetchval("SELECT active_version FROM aerofn.functions") != 2:
            await asyncio.sleep(0.02)
    await node.parts.functions.refresh()
    await conn.execute("SELECT aerofn.replay($1)", event["id"])
    (denied,) = (await node.records.until(2, lambda r: r.trigger == "fetch"))[1:]
    assert "not granted" in denied.error["message"]
    await register()
    async with asyncio.timeout(30):
        while await conn.fetchval("SELECT active_version FROM aerofn.functions") != 3:
            await asyncio.sleep(0.02)
    await node.parts.functions.refresh()
    async with asyncio.timeout(30):
        while not await conn.fetchval(dead):
            await asyncio.sleep(0.02)
    await conn.execute("SELECT aerofn.replay($1)", event["id"])
    await gone(conn)
    assert len(far.asked) == 2


async def test_what_is_stored_holds_no_secret(conn, register, node_of, far):
    await register(env=["API_KEY"])
    far.statuses[:] = [500]
    async with node_of(egress_allow=("127.0.0.0/8",), secret_key=KEY) as node:
        await node.parts.secrets.set("API_KEY", "sk_live_0123456789", "ada")
        await node.parts.functions.refresh()
        await ran(node, {"do": "after", "url": far.url("/status?200"), "secret": "API_KEY"})
        payload = await conn.fetchval("SELECT payload::text FROM aerofn.events")
        assert json.loads(payload).keys() == {"key", "method", "host", "sealed"}
        async with asyncio.timeout(30):
            while not far.asked:
                await asyncio.sleep(0.01)
        assert far.asked[0].header("authorization") == "Bearer sk_live_0123456789"
        await conn.execute("UPDATE aerofn_internal.events SET run_at = now()")
        node.parts.dispatcher.wake()
        await gone(conn)


async def test_several_nodes_send_each_once(conn, register, node_of, far):
    await register()
    async with node_of(egress_allow=("127.0.0.0/8",)) as one, node_of(egress_allow=("127.0.0.0/8",)) as other:
        await asyncio.gather(
            *(ran(node, {"do": "after", "url": far.url("/x")}) for node in (one, other) * 20)
        )
        await gone(conn)
        assert len(far.asked) == 40
        assert len({asked.header("idempotency-key") for asked in far.asked}) == 40
