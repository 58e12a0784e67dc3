"""What the pages say, and what they cost: hostile rows stay text, lists are bounded, looking is cheap."""

import asyncio
import json
import re

import httpx
import pytest

from aerofn import sql

from .dashboard_kit import HOSTILE, OURS, REVERSED, dead_event, form_token, log_in, record, send, text_of
from .http_kit import SECRET

COMPONENT = bytes.fromhex("0061736d0d000100")
PATHS = ("/", "/functions/f", "/invocations", "/invocations?show=failed", "/invocations?function=f", "/events",
         "/events?state=dead", "/triggers")  # fmt: skip


@pytest.fixture
async def node(node_of, conn):
    await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
    await conn.execute("SELECT aerofn_internal.compiled(id, NULL) FROM aerofn_internal.versions")
    async with node_of(jwt_secret=SECRET) as node:
        yield node


@pytest.fixture
async def client(node):
    transport = httpx.ASGITransport(node.application())
    async with httpx.AsyncClient(transport=transport, base_url="http://aerofn", timeout=60) as client:
        await log_in(client)
        client.headers.update(OURS)
        yield client


@pytest.fixture
def see(client, node):
    async def see(path):
        node.parts.desk.glances.forget()  # what this test has just written
        answer = await client.get(f"/dashboard{path}")
        assert answer.status_code == 200, (path, answer.text)
        return answer.text

    return see


async def test_a_new_service_says_what_to_do_next(see):
    assert "aerofn.create_schedule(" in text_of(await see("/triggers"))
    assert "aerofn invoke hello" in text_of(await see("/invocations"))
    assert "aerofn invoke f" in text_of(await see("/functions/f"))
    assert "aerofn.invoke('hello'" in text_of(await see("/events"))
    assert "No dead events" in text_of(await see("/events?state=dead"))


async def test_the_functions_figures(see, conn):
    async with conn.transaction():  # one now(), so one minute
        for number in range(100):
            await record(conn, status="trap" if number < 3 else "success", ago=90)
    page = text_of(await see("/"))
    assert re.search(r"f\s+v1\s+20/min\s+12 ms\s*12 ms\s*12 ms\s+3\.0 %", page)
    assert "f: 100 invocations in the last hour, 3 failed" in await see("/")
    assert 'class="failed" d="M57' in await see("/") or 'class="failed" d="M58' in await see("/")
    one = await see("/functions/f")
    assert "3.0 %: trap" in text_of(one)
    assert "1 min ago: 100, 3 failed" in one or "2 min ago: 100, 3 failed" in one
    p95 = await conn.fetchval("SELECT p95_ms FROM aerofn.metrics WHERE function = 'f'")
    assert p95 == pytest.approx(12.5, rel=0.05)


async def test_hostile_rows_stay_text(see, conn, client):
    text = HOSTILE + REVERSED
    await conn.execute("CREATE TABLE t (id int)")
    await conn.execute("SELECT aerofn.create_row_trigger('f', 't', '{INSERT}', name => $1)", text)
    event = await dead_event(conn, text, text, {text: [text, "x" * (1 << 20)]})
    error = {"message": text, "name": text, "stack": text, "detail": {"a": [text]}, "hint": [1], "code": "x"}
    logs = [{"level": text, "message": text + "y" * (1 << 20), "at_ms": 1.5}]
    ran = await record(conn, text, "trap", event=event, error=error, logs=logs, user=text)
    for path in (*PATHS, f"/invocations/{ran}", f"/events/{event}"):
        page = await see(path)
        assert "<script>window" not in page, path
        assert "<img src=x" not in page, path
        assert not re.search("[\u202e\u2066\x1b]", page), path
        assert len(page) < 400_000, path
    shown = text_of(await see(f"/invocations/{ran}"))
    assert HOSTILE in shown
    assert "safe⟨RIGHT-TO-LEFT OVERRIDE⟩txt.exe⟨LEFT-TO-RIGHT ISOLATE⟩␛[31m" in shown
    assert "more lines are too long for a page" in shown
    assert (await send(client, "/triggers/pause", trigger="nobody's")).status_code == 404
    answer = await send(
        client, "/events/discard", trigger=httpx.QueryParams({"": text}).__str__()[1:].replace("+", "%20")
    )
    assert answer.headers["location"] == "/dashboard/events?state=dead&notice=discarded_all&n=1"


async def test_any_json_is_shown(see, conn):
    numbers = '{"a": 1e999, "b": 123456789012345678901234567890}'
    for payload in ("[" * 3000 + "]" * 3000, numbers, '"\\ud800"', '""', "null"):
        event = await conn.fetchval(
            """INSERT INTO aerofn_internal.events (function_id, source, role, state, payload, errors)
               SELECT id, 'invoke', 'anon', 'dead', $1, '[{"odd": true}, 7]' FROM aerofn_internal.functions
               RETURNING id""",
            payload,
        )
        page = await see(f"/events/{event}")
        assert "Payload" in page
        assert "What went wrong" in page


NOT_THERE = [
    "/functions/none", "/functions/%00", "/functions/%2e%2e%2f", "/invocations/1", "/events/abc", "/events/0",
    "/events/99999999999999999999", f"/events/{1 << 62}", "/invocations/00000000-0000-0000-0000-000000000000",
    "/nothing", "/static/../application.py", "/static/nothing.css",
]  # fmt: skip


ODD = [
    "/?after=%00", "/?after=zzz", "/functions/f?before=x", "/functions/f?before=1", "/invocations?before=x",
    "/invocations?before=2026-01-01T00:00:00_00000000-0000-0000-0000-000000000000", "/invocations?function=%00%FF",
    "/invocations?before=9999-12-31T23:59:59.999999%2B00:00_00000000-0000-0000-0000-000000000000",
    "/events?before=-1", "/events?state=dead&trigger=%00", "/events?state=%F0%9F", "/triggers?row=%00&webhook=zz",
    "/?notice=%3Cscript%3E&n=7", "/?notice=replayed_all&n=9999999999",
]  # fmt: skip


async def test_a_page_that_renews_itself_of_what_is_gone_stays(client, conn):
    event = await dead_event(conn)
    script = {"x-requested-with": "XMLHttpRequest"}
    assert (await client.get(f"/dashboard/events/{event}", headers=script)).status_code == 200
    await conn.execute("DELETE FROM aerofn_internal.events")
    assert (await client.get(f"/dashboard/events/{event}", headers=script)).status_code == 204
    assert (await client.get(f"/dashboard/events/{event}")).status_code == 404
    replayed = await client.get(f"/dashboard/events/{event}?notice=replayed")
    assert "The record is being written" in replayed.text
    await record(conn, event=event)
    assert "no longer among the events" in (await client.get(f"/dashboard/events/{event}")).text


async def test_odd_addresses_are_no_errors(client, see):
    for path in NOT_THERE:
        answer = await client.get(f"/dashboard{path}")
        assert answer.status_code == 404, path
        assert "<h1>" in answer.text or "static" in path
    ours = '<script src="/dashboard/static/dashboard.js"'
    for query in ODD:
        assert "<script>" not in (await see(query)).replace(ours, ""), query


async def test_lists_go_on_page_by_page(see, conn):
    async with conn.transaction():  # one now(): their order is that of `ago`
        made = [await record(conn, ago=n // 3, status="trap" if n % 2 else "success") for n in range(130)]
    for query, expected in (("?", made), ("?show=failed", made[1::2]), ("?function=f", made)):
        found, path = [], f"/invocations{query}"
        while path:
            page = await see(path)
            rows = re.findall(r'<tr id="i-([0-9a-f-]+)"', page)
            assert len(rows) <= 50
            found += rows
            more = re.search(r'href="/dashboard(/invocations[^"]*)" rel="next"', page)
            path = more and more[1].replace("&amp;", "&")
        assert sorted(found) == sorted(expected)
        assert found[0] in expected[:6]
    events = [await dead_event(conn) for _ in range(120)]
    first = await see("/events?state=dead")
    more = re.search(r'href="/dashboard(/events[^"]*)" rel="next"', first)[1].replace("&amp;", "&")
    rows = [int(n) for page in (first, await see(more)) for n in re.findall(r'<tr id="e-(\d+)"', page)]
    assert rows == sorted(events, reverse=True)[:100]


async def test_decisions_over_events_triggers_and_versions(client, conn, see):
    await conn.execute("CREATE TABLE t (id int)")
    await conn.execute("SELECT aerofn.create_row_trigger('f', 't', '{INSERT}', name => 'on t')")
    one, other, *_ = [await dead_event(conn, trigger="on t") for _ in range(5)]
    states = "SELECT state FROM aerofn.events WHERE id = $1"
    answer = await send(client, f"/events/{one}/discard", **{"from": "dead"})
    assert answer.headers["location"] == "/dashboard/events?state=dead&notice=discarded"
    assert await conn.fetchval(states, one) == "cancelled"
    answer = await send(client, f"/events/{other}/replay")
    assert answer.headers["location"] == f"/dashboard/events/{other}?notice=replayed"
    assert await conn.fetchval(states, other) != "dead"
    assert (await send(client, f"/events/{1 << 60}/replay")).status_code == 404
    answer = await send(client, "/events/discard", trigger="on%20t")
    assert answer.headers["location"].endswith("notice=discarded_all&n=3")
    assert await conn.fetchval("SELECT count(*) FROM aerofn.events WHERE state = 'cancelled'") == 4
    assert (await send(client, "/triggers/pause", trigger="on%20t")).status_code == 303
    assert await conn.fetchval("SELECT enabled FROM aerofn.triggers") is False
    assert "paused" in text_of(await see("/triggers"))
    assert (await send(client, "/triggers/resume", trigger="on%20t")).status_code == 303
    for version, status in (("9", 404), ("x", 400), ("", 400), ("1", 303)):
        assert (await send(client, "/functions/f/activate", version=version)).status_code == status
    assert (await client.get("/dashboard/", params={"notice": "replayed_all", "n": "12"})).text.count(
        "12 run again"
    )


async def test_a_hundred_open_pages_cost_the_database_as_one(client, node):
    await form_token(client)
    desk, asked = node.parts.desk, []
    for name in ("newest", "of_event"):
        whole = getattr(desk.invocations, name)
        setattr(desk.invocations, name, _counted(whole, asked))
    answers = await asyncio.gather(*(client.get("/dashboard/invocations") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(asked) <= 10


def _counted(whole, asked):
    async def counted(*arguments, **options):
        asked.append(arguments)
        return await whole(*arguments, **options)

    return counted


async def test_looking_holds_up_nothing_and_ends(node, conn, client):
    """The dashboard's own connections are all busy: what runs does not notice, and who looks is told."""
    pool = node._dashboard_pool
    assert await pool.fetchval("SHOW statement_timeout") == "30s"
    held = [await pool.acquire() for _ in range(pool.get_max_size())]
    node.parts.desk.glances.forget()
    looking = asyncio.create_task(client.get("/dashboard/"))
    assert await node.parts.functions.all()
    assert not looking.done()
    for connection in held:
        await pool.release(connection)
    assert (await looking).status_code == 200


PLANS = {
    "records.newest": [
        (function, status, None, None, None, False, 51)
        for function in (None, "f", "nobody") for status in (None, "failed", "success", "trap")
    ],
    "records.oldest": [
        (function, status, "2020-01-01", 51)
        for function in (None, "f") for status in (None, "failed", "success", "trap")
    ],
    "records.one": [("00000000-0000-0000-0000-000000000000",)],
    "records.of_event": [(7, 50)],
    "event_list.some": [
        (state, function, trigger, None, 51)
        for state in (None, "pending", "dead", "running", "done")
        for function, trigger in ((None, None), ("f", None), (None, "on t"), ("nobody", None), (None, "nothing"))
    ],
    "event_list.waiting": [((1 << 63) - 1, 51)],
    "event_list.dead": [(None, (1 << 63) - 1, 51), ("on t", (1 << 63) - 1, 51)],
    "event_list.one": [(77,)],
    "event_list.one_cut": [(77, 65_537)],
    "figures.metrics": [("{f}",)],
    "figures.minutes": [("{f}",)],
    "figures.hour": [()],
    "figures.failures": [("f",)],
    "functions.some": [("", 51)],
    "functions.versions": [("f", None, 11)],
}  # fmt: skip


async def test_lists_read_what_they_show(conn):
    """On tables with many rows every statement of a list goes by an index: counted in rows, not in time."""
    await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
    await conn.execute("CREATE TABLE t (id int)")
    await conn.execute("SELECT aerofn.create_row_trigger('f', 't', '{INSERT}', name => 'on t')")
    await conn.execute(
        """SELECT aerofn_internal.keep_partitions('7 days');
        INSERT INTO aerofn_internal.invocations
          (id, function, "trigger", event_id, attempt, status, duration_ms, cpu_ms, queries, role, logs, "timestamp")
        SELECT gen_random_uuid(), CASE WHEN n % 50 = 0 THEN 'f' ELSE 'g' || n % 7 END, 'row', n, 1,
               CASE WHEN n % 101 = 0 THEN 'trap' ELSE 'success' END, 1, 1, 1, 'anon', '[]',
               now() - n * interval '1 second'
        FROM generate_series(1, 30000) n;
        INSERT INTO aerofn_internal.events (function_id, trigger_id, source, role, state)
        SELECT f.id, t.id, 'row', 'anon',
               CASE WHEN n % 40 = 0 THEN 'dead' ELSE 'pending' END::aerofn_internal.event_state
        FROM generate_series(1, 20000) n, aerofn_internal.functions f, aerofn_internal.triggers t;
        ANALYZE;
        SET plan_cache_mode = force_generic_plan"""
    )
    for name, cases in PLANS.items():
        noun, _, statement = name.partition(".")
        await conn.execute(f"PREPARE looked AS {getattr(sql.queries(noun), statement)}")
        for case in cases:
            arguments = ", ".join("NULL" if one is None else f"'{one}'" for one in case)
            call = f"looked({arguments})" if case else "looked"
            found = await conn.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {call}")
            plan = json.loads(found)[0]["Plan"]
            assert _rows_read(plan) < 1500, (name, case, _rows_read(plan))
            pages = (
                plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
            )  # of functions that are called, too
            assert pages < 3000, (name, case, pages)
        await conn.execute("DEALLOCATE looked")


def _rows_read(plan):
    """Rows that the scans below a plan have looked at."""
    own = 0
    if "Scan" in plan["Node Type"] and "Relation Name" in plan:
        removed = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
        own = (plan["Actual Rows"] + removed) * plan["Actual Loops"]
    return own + sum(_rows_read(below) for below in plan.get("Plans", ()))
