"""The guard: every notation of a call, and a child that may crash, hang or be killed without anybody else's harm."""

import asyncio
import os
import signal

import pytest

from aerofn.bridge.guard import Guard
from aerofn.bridge.verdict import DENIED, MAX_BYTES

PLUS = "SELECT " + "1+" * 8000 + "1"


@pytest.fixture
async def guard():
    guard = Guard()
    yield guard
    await guard.close()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT set_config('a','b',true)",
        "SELECT pg_catalog.set_config('a','b',true)",
        "SELECT \"set_config\"('a','b',true)",
        "SELECT U&\"s\\0065t_config\"('a','b',true)",
        "SELECT ('select 1'::text).ts_stat",
        "SELECT (0::oid).lo_create",
        "SELECT x.setseed FROM (SELECT 0.5) x",
        "SELECT * FROM ROWS FROM (set_config('a','b',true))",
        "SELECT 1 ORDER BY set_config('a','b',true)",
        "SELECT count(*) FILTER (WHERE set_config('a','b',true) IS NULL) FROM t",
        "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = setseed(1)",
        "INSERT INTO t VALUES (1) RETURNING pg_notify('a','b')",
        "WITH x AS (DELETE FROM t RETURNING pg_sleep(1)) SELECT 1",
        "MERGE INTO t USING s ON true WHEN MATCHED THEN UPDATE SET a = pg_sleep(1)",
        "SELECT * FROM pg_roles",
        "SELECT * FROM aerofn_internal.logins",
        "SELECT 1 INTO TEMP x",
        "SELECT 1; SELECT 2",
        "SELECT 1) SELECT (2",
        *[
            "RESET ROLE",
            "COMMIT",
            "DO $$ BEGIN END $$",
            "COPY t TO STDOUT",
            "CALL p()",
            "EXPLAIN SELECT 1",
            "LOCK t",
            "",
        ],
        "SELECT 1\0",
        "SELECT '\ud800'",
        "SELECT '" + "x" * MAX_BYTES + "'",
        "SELECT '" + "é" * (MAX_BYTES // 2) + "'",
        "SELECT $1001",
    ],
)
async def test_refused(guard, text):
    assert (await guard.verdict(text)).refusal


@pytest.mark.parametrize("name", sorted(DENIED))
async def test_denied_by_name_and_by_column(guard, name):
    assert (await guard.verdict(f"SELECT {name}(1)")).refusal
    assert (await guard.verdict(f"SELECT (x.y).{name} FROM x")).refusal


@pytest.mark.parametrize(
    ("text", "kind", "numbers"),
    [
        ("SELECT 1", "rows", ()),
        ("VALUES (1)", "rows", ()),
        ("SELECT $2, $1 -- $3", "rows", (2, 1)),
        ("SELECT '$1', $$ $2 $$, $1", "rows", (1,)),
        ("INSERT INTO t VALUES ($1)", "count", (1,)),
        ("INSERT INTO t VALUES (1) RETURNING a", "rows", ()),
        ("WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM x", "rows", ()),
        ("WITH x AS (SELECT 1) UPDATE t SET a = 1 RETURNING a", "rows", ()),
        ("SELECT 1;", "rows", ()),
    ],
)
async def test_allowed(guard, text, kind, numbers):
    verdict = await guard.verdict(text)
    assert (verdict.refusal, verdict.kind, verdict.numbers) == (None, kind, numbers)


async def test_a_text_that_crashes_the_parser_is_refused_and_the_next_is_judged(guard):
    texts = [PLUS, "SELECT " + "(" * 7000 + "1" + ")" * 7000, "SELECT " + "-" * 1 + "- -" * 4000 + "1"]
    for text in texts:
        await guard.verdict(text)
    assert (await guard.verdict("SELECT 'still here'")).refusal is None


async def child_of(guard):
    await guard.verdict("SELECT 'make a child'")
    return guard._child


async def test_what_stops_a_node_does_not_stop_its_child(guard):
    child = await child_of(guard)
    assert os.getpgid(child.pid) != os.getpgid(0)  # a terminal's Ctrl-C goes to the whole group
    os.kill(child.pid, signal.SIGTERM)  # systemd's goes to the whole unit
    assert (await guard.verdict("SELECT 'while it drains'")).refusal is None
    assert guard._child is child


async def test_a_killed_child_is_replaced(guard):
    child = await child_of(guard)
    os.kill(child.pid, signal.SIGKILL)
    await child.wait()
    await guard.verdict("SELECT 'may be refused'")
    assert (await guard.verdict("SELECT 'judged again'")).refusal is None


async def test_a_child_killed_amid_a_text_refuses_it_only(guard):
    child = await child_of(guard)
    os.kill(child.pid, signal.SIGSTOP)
    waiting = asyncio.create_task(guard.verdict("SELECT 'amid'"))
    behind = asyncio.create_task(guard.verdict("SELECT 'behind'"))
    await asyncio.sleep(0)
    os.kill(child.pid, signal.SIGKILL)
    assert (await waiting).refusal == "the statement is too complex to be checked"
    assert (await behind).refusal is None


async def test_cancelled_amid_a_text_no_answer_is_taken_for_anothers(guard):
    child = await child_of(guard)
    os.kill(child.pid, signal.SIGSTOP)
    waiting = asyncio.create_task(guard.verdict("SELECT set_config('a','b',true)"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await guard.verdict("SELECT 1")).refusal is None


async def test_a_flood_is_judged_one_by_one_and_remembered_within_bounds(guard):
    verdicts = await asyncio.gather(*(guard.verdict(f"SELECT {n}") for n in range(500)))
    assert {v.refusal for v in verdicts} == {None}
    for n in range(5000):
        guard._verdicts[f"old {n}"] = verdicts[0]
    await guard.verdict("SELECT 'one more'")
    assert guard.remembered("SELECT 'one more'") is not None


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("UPDATE products SET stock = stock - $1 WHERE id = $2", True),
        (
            "INSERT INTO t (a, b) SELECT lower(x), now() FROM unnest($1::text[]) x ON CONFLICT DO NOTHING RETURNING *",
            True,
        ),
        ("SELECT pg_catalog.count(*), auth.uid(), CURRENT_DATE, coalesce(a, 1) FROM t FOR UPDATE", True),
        ("SELECT aerofn.invoke('f', $1)", True),
        ("SELECT leave_something()", False),
        ("SELECT app.lower('a')", False),
        ("SELECT 1 FROM t WHERE EXISTS (SELECT FROM u WHERE random() < nextval('s'))", False),
        ("WITH x AS (DELETE FROM t RETURNING exec_sql('a')) SELECT count(*) FROM x", False),
        ("SELECT ('a'::text).leave_something", False),
    ],
)
async def test_what_leaves_nothing_on_a_connection(guard, text, plain):
    verdict = await guard.verdict(text)
    assert (verdict.refusal, verdict.plain) == (None, plain)
