"""Traces through real services: a request, what it writes, what that starts, and what goes out again."""

import asyncio
import base64
import json
from datetime import UTC, datetime

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id
from standardwebhooks import Webhook

from aerofn.model import Caller, Outcome
from aerofn.tracing import Tracing
from tests.conftest import _lent
from tests.egress.far_side import far_side

from .http_kit import bearer, lasting, served

CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, SPAN = CLIENT.split("-")[1:3]
# Quotes and backslashes are allowed in it, and go through SQL.
STATE = "rojo=00f067aa0ba902b7,congo@vendor='\\\"; DROP"
OF_TRACE = "SELECT count(*) FROM aerofn.invocations WHERE trace_id = $1"
KEY = "the key that opens secrets in these tests"


class Spans:
    """The spans of a node, and waiting for those to come."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(provider)

    @property
    def all(self):
        """All that counted: a run in a shared transaction that is undone and repeated alone has a span too."""
        spans = self._exporter.get_finished_spans()
        return [span for span in spans if span.attributes.get("aerofn.outcome") != "repeated"]

    def clear(self):
        self._exporter.clear()

    async def until(self, number):
        async with asyncio.timeout(60):
            while len(self.all) < number:
                await asyncio.sleep(0.01)
        return self.all


def ids(span):
    return format_trace_id(span.context.trace_id), format_span_id(span.context.span_id)


def parent(span):
    return None if span.parent is None else format_span_id(span.parent.span_id)


@pytest.fixture(scope="module")
async def served_place(server, template, fetcher, probe):
    spans = Spans()
    async with _lent(server, await server.create(template)) as database, far_side() as far:
        conn = await database.connect()
        register = (
            "SELECT aerofn.register_function($1, $2, hosts => $3, env => '{TOKEN}', timeout_ms => 30000)"
        )
        for name, wasm in {"fetcher": fetcher, "probe": probe}.items():
            await conn.execute(register, name, wasm, [f"127.0.0.1:{far.port}"])
        await conn.execute(
            """CREATE TABLE asks ("do" text, url text); GRANT INSERT ON asks TO authenticated;
            SELECT aerofn.create_row_trigger('fetcher', 'asks', '{INSERT}', run_as => 'service_role')"""
        )
        given = {"secret_key": KEY, "egress_allow": ("127.0.0.0/8",)}
        async with (
            lasting(database, traces=spans.tracing, **given) as node,
            served(node) as client,
        ):
            yield conn, node, client, spans, far


@pytest.fixture
async def place(served_place):
    """A traced node, its client, its spans, and a server for its functions' requests."""
    _conn, node, client, spans, far = served_place
    spans.clear()
    far.asked.clear()
    return node, client, spans, far


@pytest.fixture
def conn_of_place(served_place):
    return served_place[0]


async def call(client, body, function="fetcher", **headers):
    return await client.post(f"/functions/v1/{function}", json=body, headers={**bearer(), **headers})


async def test_a_request_and_all_it_causes_are_one_trace(place, conn_of_place):
    _node, client, spans, far = place
    body = {
        "do": "after",
        "url": far.url("/after"),
        "sql": f"INSERT INTO asks VALUES ('get', '{far.url('/row')}')",
    }
    answer = await call(client, body, traceparent=CLIENT, tracestate=STATE)
    assert answer.status_code == 200, answer.text
    all_spans = await spans.until(5)
    assert {ids(span)[0] for span in all_spans} == {TRACE}
    by = {(s.attributes.get("aerofn.trigger"), s.name): s for s in all_spans}
    http, row, later = (by[kind, "invoke fetcher"] for kind in ("http", "row", "fetch"))
    assert (http.kind, row.kind, parent(http)) == (SpanKind.SERVER, SpanKind.CONSUMER, SPAN)
    assert parent(row) == parent(later) == ids(http)[1]
    sent = {"/row": (by[None, "GET"], row), "/after": (by[None, "POST"], later)}
    for path, (request, invocation) in sent.items():
        (asked,) = [asked for asked in far.asked if asked.path == path]
        assert asked.header("traceparent") == "00-{}-{}-01".format(*ids(request))
        assert asked.header("tracestate") == STATE
        assert (request.kind, parent(request)) == (SpanKind.CLIENT, ids(invocation)[1])
        assert request.attributes["http.response.status_code"] == 200
    assert http.attributes["faas.invocation_id"] == answer.headers["x-aerofn-invocation-id"]
    assert (http.attributes["faas.trigger"], row.attributes["faas.trigger"]) == ("http", "datasource")
    assert {s.attributes.get("aerofn.outcome") for s in (http, row, later)} == {"success"}
    async with asyncio.timeout(60):
        while await conn_of_place.fetchval(OF_TRACE, TRACE) < 3:
            await asyncio.sleep(0.02)
    listed = await client.get(
        "/manage/v1/invocations?function=fetcher&limit=3", headers=bearer("service_role")
    )
    assert {one["trace_id"] for one in listed.json()} == {TRACE}


async def test_what_is_not_sampled_is_not_told_but_passed_on(place):
    _node, client, spans, far = place
    answer = await call(client, {"do": "get", "url": far.url("/quiet")}, traceparent=CLIENT[:-2] + "00")
    assert answer.json()["status"] == 200
    version, trace, span, flags = far.asked[-1].header("traceparent").split("-")
    assert (version, trace, flags) == ("00", TRACE, "00")
    assert span != SPAN
    assert spans.all == []


MALFORMED = (
    "", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01", f"00-{TRACE}-{'0' * 16}-01", "ff" + CLIENT[2:],
    CLIENT.upper(), CLIENT + "-more", CLIENT[:-1], f"{CLIENT}, {CLIENT}", "00-" + "z" * 5000,
)  # fmt: skip


async def test_a_malformed_traceparent_is_ignored(place, conn_of_place):
    conn = conn_of_place
    _node, client, spans, _far = place
    for value in MALFORMED:
        spans.clear()
        answer = await call(client, {"do": "raw", "value": 1}, "probe", traceparent=value)
        assert answer.status_code == 200
        (span,) = await spans.until(1)
        assert span.parent is None, value
        assert ids(span)[0] != TRACE
        async with conn.transaction():
            await conn.execute("SELECT set_config('aerofn.traceparent', $1, true)", value)
            event = await conn.fetchval("SELECT aerofn.invoke('probe', run_at => now() + interval '1 day')")
        kept = await conn.fetchval("SELECT traceparent FROM aerofn.events WHERE id = $1", event)
        assert kept is None or kept in value


async def test_sql_later_answers_and_webhooks_bring_their_trace(place, conn_of_place):
    conn = conn_of_place
    node, client, spans, _far = place
    async with conn.transaction():
        await conn.execute(f"SET LOCAL aerofn.traceparent = '{CLIENT}'; SET LOCAL aerofn.tracestate = 'a=1'")
        await conn.execute("SELECT aerofn.invoke('probe', '{\"do\": \"raw\"}')")
    given = {"traceparent": CLIENT, "tracestate": "a=1"}
    later = await call(client, {"do": "raw"}, "probe", **given, prefer="respond-async")
    assert later.status_code == 202
    secret = "whsec_" + base64.b64encode(b"a secret of the hook").decode()
    await conn.execute("SELECT aerofn.set_secret('HOOK', $1)", secret)
    await conn.execute("SELECT aerofn.create_webhook('probe', 'standard', '{HOOK}', name => 'hook')")
    await node.parts.functions.refresh()
    body, now = '{"do": "raw"}', datetime.now(UTC)
    signed = {
        "webhook-id": "1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("1", now, body),
    }
    headers = signed | given | {"content-type": "application/json"}
    hooked = await client.post("/hooks/v1/hook", content=body, headers=headers)
    assert hooked.status_code == 200, hooked.text
    found = await spans.until(3)
    assert {s.attributes["aerofn.trigger"] for s in found} == {"invoke", "http", "webhook"}
    assert {(ids(s)[0], parent(s)) for s in found} == {(TRACE, SPAN)}
    assert {s.context.trace_state.to_header() for s in found} == {"a=1"}


async def test_events_that_run_together_keep_their_own_traces(conn, probe, node_of):
    await conn.execute("SELECT aerofn.register_function('probe', $1)", probe)
    await conn.execute("CREATE TABLE seen (n int, trace text, state text); GRANT ALL ON seen TO service_role")
    write = """INSERT INTO seen VALUES ($1, current_setting('aerofn.traceparent', true),
                                        current_setting('aerofn.tracestate', true))"""
    for n in range(20):
        async with conn.transaction():
            await conn.execute(f"SET LOCAL aerofn.traceparent = '{CLIENT[:-5]}{n:02}-01'")
            if n % 2:
                await conn.execute(f"SET LOCAL aerofn.tracestate = 'n={n}'")
            payload = json.dumps({"do": "query", "queries": [[write, [n]]]})
            await conn.execute("SELECT aerofn.invoke('probe', $1, run_as => 'service_role')", payload)
    spans = Spans()
    async with node_of(traces=spans.tracing) as node:
        await node.records.until(20)
        done = await spans.until(20)
    assert sorted(parent(s)[-2:] for s in done) == [f"{n:02}" for n in range(20)]
    seen = {row["trace"]: row["n"] for row in await conn.fetch("SELECT * FROM seen")}
    own = {"00-{}-{}-01".format(*ids(s)): int(parent(s)[-2:]) for s in done}
    assert seen == own
    states = {row["n"]: row["state"] for row in await conn.fetch("SELECT * FROM seen")}
    assert states == {n: f"n={n}" if n % 2 else "" for n in range(20)}


async def test_a_batch_is_linked_to_each_of_its_events(conn, probe, node_of):
    await conn.execute("SELECT aerofn.register_function('probe', $1)", probe)
    await conn.execute("CREATE TABLE things (n int)")
    await conn.execute(
        """SELECT aerofn.create_row_trigger('probe', 'things', '{INSERT}', run_as => 'service_role',
                                            batch_size => 10)"""
    )
    for n in range(3):
        async with conn.transaction():
            await conn.execute(f"SET LOCAL aerofn.traceparent = '{CLIENT[:-5]}0{n}-01'")
            await conn.execute("INSERT INTO things VALUES (1)")
    spans = Spans()
    async with node_of(traces=spans.tracing):
        (span,) = await spans.until(1)
    assert span.parent is None
    assert {format_span_id(link.context.span_id)[-2:] for link in span.links} == {"00", "01", "02"}
    assert span.attributes["aerofn.events"] == 3


async def test_no_text_of_a_function_is_in_a_trace(place, conn_of_place):
    conn = conn_of_place
    node, _client, spans, far = place
    secret = "sesame-open-0123456789"
    await conn.execute("SELECT aerofn.set_secret('TOKEN', $1)", secret)
    alice = Caller("authenticated", {"sub": "alice"})
    for path in (f"/{secret}?{secret}", f"/status?500#{secret}"):
        await node.invoke("fetcher", {"do": "get", "url": far.url(path)}, alice)
    await node.invoke("fetcher", {"do": "get", "url": f"http://{secret}.example/"}, alice)
    failed = await node.invoke("probe", {"do": "fail", "queries": [[f"SELECT '{secret}'::int"]]}, alice)
    assert failed.run.outcome is Outcome.FUNCTION_ERROR
    told = [span.to_json() for span in await spans.until(6)]
    assert not [text for text in told if secret in text]
    assert [s.attributes["error.type"] for s in spans.all if s.name == "invoke probe"] == ["function_error"]
    assert "500" in {s.attributes.get("error.type") for s in spans.all}


async def test_a_node_that_does_not_trace_says_in_its_records_whose_trace_it_was(conn, probe, node_of):
    await conn.execute("SELECT aerofn.register_function('probe', $1)", probe)
    async with node_of() as node:
        for given in (f"SET LOCAL aerofn.traceparent = '{CLIENT}'", "SELECT 1"):
            async with conn.transaction():
                await conn.execute(given)
                await conn.execute("SELECT aerofn.invoke('probe', '{\"do\": \"raw\"}')")
        records = await node.records.until(2)
    assert {record.trace_id for record in records} == {TRACE, None}
