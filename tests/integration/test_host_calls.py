"""What a function can reach, through real JavaScript: the database as its caller, its log, its environment."""

import asyncio
import json

import pytest

from aerofn.errors import NotAllowed, NotFound
from aerofn.model import Caller, Outcome

ALICE = Caller("authenticated", {"sub": "alice", "role": "authenticated"})
BOB = Caller("authenticated", {"sub": "bob", "role": "authenticated"})


@pytest.fixture
async def node(conn, node_of, probe):
    await conn.execute("SELECT aerofn.register_function('probe', $1)", probe)
    async with node_of() as node:
        yield node


async def query(node, *queries, caller=ALICE):
    """Results of statements, each [sql] or [sql, params]."""
    return await result(node, {"do": "query", "queries": [list(q) for q in queries]}, caller)


async def result(node, body, caller=ALICE):
    completed = await node.invoke("probe", body, caller)
    assert completed.run.outcome is Outcome.SUCCESS, completed.record
    return json.loads(completed.run.output)


@pytest.fixture
async def notes(conn):
    await conn.execute(
        """CREATE TABLE notes (id serial PRIMARY KEY, owner text DEFAULT auth.uid(), body text UNIQUE);
        ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON notes USING (owner = (SELECT auth.uid()));
        GRANT ALL ON notes, notes_id_seq TO authenticated, anon;
        INSERT INTO notes (owner, body) VALUES ('alice', 'a1'), ('alice', 'a2'), ('bob', 'b1')"""
    )
    return conn


async def test_rows_and_their_number(node):
    answer = await query(
        node, ["SELECT 1 AS one, 'x' AS two"], ["SELECT generate_series(1, 3) AS n"], ["VALUES (1)"]
    )
    assert answer[0] == {"rows": [{"one": 1, "two": "x"}], "rowCount": 1}
    assert answer[1] == {"rows": [{"n": 1}, {"n": 2}, {"n": 3}], "rowCount": 3}
    assert answer[2] == {"rows": [{"column1": 1}], "rowCount": 1}


async def test_row_level_security_by_caller(node, notes):
    statement = ["SELECT body FROM notes ORDER BY body"]
    assert (await query(node, statement))[0]["rows"] == [{"body": "a1"}, {"body": "a2"}]
    assert (await query(node, statement, caller=BOB))[0]["rows"] == [{"body": "b1"}]
    assert (await query(node, statement, caller=Caller("anon")))[0]["rows"] == []


async def test_who_the_database_says_it_is(node):
    (answer,) = await query(
        node, ["SELECT current_user::text AS me, auth.uid() AS uid, auth.role() AS role, auth.jwt() AS jwt"]
    )
    assert answer["rows"] == [
        {"me": "authenticated", "uid": "alice", "role": "authenticated", "jwt": ALICE.claims}
    ]


async def test_writing_with_and_without_returning(node, notes):
    answer = await query(
        node,
        ["INSERT INTO notes (body) VALUES ($1), ($2)", ["n1", "n2"]],
        ["UPDATE notes SET body = body || '!' RETURNING id, body"],
        ["WITH gone AS (DELETE FROM notes WHERE body = $1 RETURNING body) SELECT * FROM gone", ["n1!"]],
        ["DELETE FROM notes WHERE body = 'nothing'"],
    )
    assert [a["rowCount"] for a in answer] == [2, 4, 1, 0]
    assert answer[2]["rows"] == [{"body": "n1!"}]
    left = await notes.fetch("SELECT owner, body FROM notes ORDER BY body")
    assert [tuple(r) for r in left] == [("alice", "a1!"), ("alice", "a2!"), ("bob", "b1"), ("alice", "n2!")]


async def test_one_transaction_an_invocation(node, notes):
    first, second = await query(
        node,
        ["SELECT txid_current()::text AS tx, now()::text AS at"],
        ["SELECT txid_current()::text AS tx, now()::text AS at"],
    )
    assert first == second
    completed = await node.invoke(
        "probe", {"do": "fail", "queries": [["INSERT INTO notes (body) VALUES ('lost')"]]}, ALICE
    )
    assert completed.run.outcome is Outcome.FUNCTION_ERROR
    assert await notes.fetchval("SELECT count(*) FROM notes WHERE body = 'lost'") == 0


async def test_an_error_that_is_caught_undoes_its_statement_only(node, conn):
    await conn.execute("CREATE TABLE t (a text UNIQUE); GRANT ALL ON t TO authenticated")
    statement = ["INSERT INTO t VALUES ('kept')"]
    answer = await query(node, statement, statement, ["SELECT count(*) AS n FROM t"])
    error = answer[1]["error"]
    assert (error["name"], error["code"], error["constraint"], error["table"]) == (
        "PgError", "23505", "t_a_key", "t",
    )  # fmt: skip
    assert error["message"] == 'duplicate key value violates unique constraint "t_a_key"'
    assert error["detail"] == "Key (a)=(kept) already exists."
    assert answer[2]["rows"] == [{"n": 1}]
    assert await conn.fetchval("SELECT count(*) FROM t") == 1


async def test_an_error_that_is_not_caught_is_the_functions(node):
    completed = await node.invoke("probe", {"do": "uncaught", "queries": [["SELECT 1 / 0"]]}, ALICE)
    assert completed.run.outcome is Outcome.FUNCTION_ERROR
    assert completed.run.error.message == "division by zero"
    assert "probe.js" in completed.run.error.stack


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELEC 1", "42601"),
        ("SELECT * FROM nowhere", "42P01"),
        ("SELECT nothing FROM notes", "42703"),
        ("SELECT 1; SELECT 2", "42601"),
        ("CREATE TABLE x ()", "42501"),
        ("SELECT $1", "08P01"),
        ("INSERT INTO notes (owner, body) VALUES ('bob', 'x')", "42501"),
        ("COMMIT", "42501"),
        ("", "42601"),
    ],
)
async def test_what_postgresql_says_reaches_the_function(node, notes, text, code):
    (answer,) = await query(node, [text])
    assert answer["error"]["code"] == code
    assert answer["error"]["message"]


async def test_a_deferred_constraint_fails_the_invocation(node, conn):
    await conn.execute(
        "CREATE TABLE u (a int UNIQUE DEFERRABLE INITIALLY DEFERRED); GRANT INSERT ON u TO authenticated"
    )
    completed = await node.invoke(
        "probe", {"do": "query", "queries": [["INSERT INTO u VALUES (1), (1)"]]}, ALICE
    )
    assert completed.run.outcome is Outcome.FUNCTION_ERROR
    assert "u_a_key" in completed.run.error.message
    assert await conn.fetchval("SELECT count(*) FROM u") == 0


async def test_types_as_a_javascript_author_sees_them(node, conn):
    await conn.execute("CREATE TYPE mood AS ENUM ('ok', 'bad')")
    statement = r"""SELECT 1 AS i, 9007199254740991 AS safe, 9007199254740993 AS big, 1.50::numeric AS n,
        12345678901234567890.12345 AS long, 0.1::float8 AS f, 'NaN'::float8 AS nan, true AS b,
        null AS nothing, 'é' AS t,
        '2024-02-29 12:00:00.123456+02'::timestamptz AS tz,
        '2024-02-29 12:00'::timestamp AS ts,
        '2024-02-29'::date AS d,
        '1 day 2 hours'::interval AS iv, '{"k": [1, 9007199254740993]}'::jsonb AS j, '{1,NULL}'::int[] AS a,
        '\x00ff'::bytea AS by, '5f3a0f5e-6d3a-4f6e-9d2f-0d8b2c6a4f11'::uuid AS u, 'ok'::mood AS m"""
    seen = await result(node, {"do": "types", "queries": [[statement, []]]})
    assert seen == {
        "i": ["number", 1],
        "safe": ["number", 9007199254740991],
        "big": ["string", "9007199254740993"],
        "n": ["number", 1.5],
        "long": ["string", "12345678901234567890.12345"],
        "f": ["number", 0.1],
        "nan": ["string", "NaN"],
        "b": ["boolean", True],
        "nothing": ["object", None],
        "t": ["string", "é"],
        "tz": ["string", "2024-02-29T10:00:00.123456+00:00"],
        "ts": ["string", "2024-02-29T12:00:00"],
        "d": ["string", "2024-02-29"],
        "iv": ["string", "1 day 02:00:00"],
        "j": ["object", {"k": [1, "9007199254740993"]}],
        "a": ["object", [1, None]],
        "by": ["string", r"\x00ff"],
        "u": ["string", "5f3a0f5e-6d3a-4f6e-9d2f-0d8b2c6a4f11"],
        "m": ["string", "ok"],
    }


async def test_parameters_need_no_casts(node, conn):
    await conn.execute(
        """CREATE TYPE mood AS ENUM ('ok', 'bad');
        CREATE TABLE t (i int, big bigint, n numeric, f float8, b boolean, t text, tz timestamptz, d date, iv interval,
          j jsonb, a int[], txt text[], by bytea, u uuid, m mood);
        GRANT ALL ON t TO authenticated"""
    )
    values = [
        1, "9007199254740993", "12345678901234567890.12345", 0.1, True, 'quote " \\ é', "2024-02-29T12:00:00Z",
        "2024-02-29", "26 hours", {"k": [1, None]}, [1, None, 3], ["a,b", 'c"d', "{}", None, ""], "\\x00ff",
        "5f3a0f5e-6d3a-4f6e-9d2f-0d8b2c6a4f11", "bad",
    ]  # fmt: skip
    marks = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    answer = await query(
        node,
        [f"INSERT INTO t VALUES ({marks})", values],
        [
            "SELECT i FROM t WHERE i = ANY($1) AND tz > $2 AND j @> $3 AND m = $4",
            [[1, 2], "2024-01-01", {"k": [1]}, "bad"],
        ],
        ["INSERT INTO t (i, t) VALUES ($1, $2)", [None, None]],
        ["SELECT 1 AS one LIMIT $1 OFFSET $2", [1, 0]],
    )
    assert [a["rowCount"] for a in answer] == [1, 1, 1, 1]
    row = await conn.fetchrow("SELECT big, n::text, t, txt, by, iv::text, a FROM t WHERE i = 1")
    assert tuple(row) == (
        9007199254740993, "12345678901234567890.12345", 'quote " \\ é', ["a,b", 'c"d', "{}", None, ""], b"\x00\xff",
        "26:00:00", [1, None, 3],
    )  # fmt: skip


async def test_a_changed_table_is_noticed(node, conn):
    await conn.execute("CREATE TABLE t (a int); GRANT ALL ON t TO authenticated")
    statement = ["INSERT INTO t VALUES ($1)", ["1"]]
    await query(node, statement)
    await conn.execute("ALTER TABLE t ALTER a TYPE text")
    words = ["INSERT INTO t VALUES ($1)", ["words"]]
    await query(node, words)  # may still be judged by the old type, and is then learnt anew
    (answer,) = await query(node, words)
    assert answer == {"rows": [], "rowCount": 1}


async def test_the_log_is_kept_with_levels(node):
    completed = await node.invoke("probe", {"do": "log"})
    assert [line.level for line in completed.record.logs] == ["debug", "info", "warn", "error"]
    assert completed.record.logs[0].message.startswith("debug {")


async def test_only_granted_environment_keys(conn, node_of, probe):
    await conn.execute("SELECT aerofn.register_function('probe', $1, env => '{GREETING,MISSING}')", probe)
    async with node_of(env={"GREETING": "hello", "OTHER": "no"}) as node:
        keys = ["GREETING", "OTHER", "MISSING", "DATABASE_URL", "PATH"]
        assert await result(node, {"do": "env", "keys": keys}) == ["hello", None, None, None, None]


async def test_outcomes_are_told_apart(conn, node_of, probe):
    await conn.execute("SELECT aerofn.register_function('probe', $1, memory_mb => 16)", probe)
    await conn.execute("SELECT aerofn.register_function('brief', $1, timeout_ms => 300)", probe)
    async with node_of() as node:
        seen = {}
        for action in ("throw", "spin", "grow", "recurse", "forever"):
            completed = await node.invoke("brief" if action == "spin" else "probe", {"do": action})
            seen[action] = completed.run.outcome
            assert completed.record.error["message"]
        again = await node.invoke("probe", {"do": "raw", "value": 7})
    assert seen == {
        "throw": Outcome.FUNCTION_ERROR,
        "spin": Outcome.TIMEOUT,
        "grow": Outcome.MEMORY_LIMIT,
        "recurse": Outcome.TRAP,
        "forever": Outcome.FUNCTION_ERROR,  # the SDK notices that nothing can settle the promise
    }
    assert again.run.output == b"7"


async def test_an_error_carries_name_message_and_stack(node):
    completed = await node.invoke("probe", {"do": "throw"})
    error = completed.run.error
    assert (error.name, error.message) == ("RangeError", "out of range on purpose")
    assert "probe.js" in error.stack


async def test_a_query_does_not_outlive_the_time_limit(conn, node_of, probe):
    await conn.execute("SELECT aerofn.register_function('probe', $1, timeout_ms => 500)", probe)
    slow = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b WHERE a * b < 0"
    async with node_of() as node:
        completed = await node.invoke("probe", {"do": "query", "queries": [[slow]]}, ALICE)
        assert completed.run.outcome is Outcome.TIMEOUT
        running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND application_name LIKE 'aerofn as%'"
        async with asyncio.timeout(60):
            while await conn.fetchval(running):
                await asyncio.sleep(0.02)
        assert (await query(node, ["SELECT 1 AS one"]))[0]["rowCount"] == 1


async def test_nothing_stays_on_the_connection(conn, node_of, probe):
    await conn.execute("SELECT aerofn.register_function('probe', $1)", probe)
    await conn.execute(
        """CREATE FUNCTION plant() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
          PERFORM set_config('app.planted', 'yes', false); PERFORM pg_advisory_lock(42);
          EXECUTE 'PREPARE planted AS SELECT 1'; END $$"""
    )
    # One connection, so that the next invocation has the same; unhardened, so that planting works at all.
    async with node_of(pool_size=1, harden=False) as node:
        await query(node, ["SELECT plant()"])
        (answer,) = await query(node, ["SELECT current_setting('app.planted', true) AS planted"])
        assert answer["rows"][0]["planted"] in (None, "")
        assert (
            await conn.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42")
            == 0
        )


async def test_roles_that_may_invoke(conn, node_of, probe):
    await conn.execute("SELECT aerofn.register_function('probe', $1, roles => '{authenticated}')", probe)
    async with node_of() as node:
        assert await result(node, {"do": "raw", "value": 1}) == 1
        with pytest.raises(NotAllowed):
            await node.invoke("probe", {"do": "raw"}, Caller("anon"))
        with pytest.raises(NotFound):
            await node.invoke("nothing")


async def test_run_as_is_the_functions_role_with_the_callers_claims(conn, node_of, probe):
    await conn.execute("SELECT aerofn.register_function('probe', $1, run_as => 'service_role')", probe)
    async with node_of() as node:
        (answer,) = await query(node, ["SELECT current_user::text AS me, auth.uid() AS uid"])
        assert answer["rows"] == [{"me": "service_role", "uid": "alice"}]


async def test_a_hundred_at_once(node, notes):
    answers = await asyncio.gather(
        *(
            query(node, ["SELECT count(*) AS n FROM notes"], caller=ALICE if i % 2 else BOB)
            for i in range(100)
        )
    )
    assert [a[0]["rows"][0]["n"] for a in answers] == [2 if i % 2 else 1 for i in range(100)]


async def test_a_function_asks_for_another_in_its_own_transaction(node, conn):
    statement = "SELECT aerofn.invoke('probe', $1)"
    completed = await node.invoke(
        "probe", {"do": "fail", "queries": [[statement, [{"do": "raw", "value": 1}]]]}, ALICE
    )
    assert completed.run.outcome is Outcome.FUNCTION_ERROR
    await query(node, [statement, [{"do": "query", "queries": [["SELECT auth.uid() AS uid"]]}]])
    (asked,) = await node.records.until(1, lambda r: r.trigger == "invoke")
    assert (asked.role, asked.user_id, asked.status) == ("authenticated", "alice", Outcome.SUCCESS)


async def test_a_nul_stops_neither_records_nor_settling(conn, node):
    """PostgreSQL's text and jsonb know none: one hostile line must not hold up everybody's records."""
    await conn.execute("""SELECT aerofn.invoke('probe', '{"do": "nul"}', max_attempts => 1)""")
    (record,) = await node.records.until(1, lambda record: record.trigger == "invoke")
    assert (record.logs[0].message, record.error["message"]) == ("a\0b", "c\0d")
    async with asyncio.timeout(30):
        while not (dead := await conn.fetchval("SELECT errors FROM aerofn.events WHERE state = 'dead'")):
            await asyncio.sleep(0.02)
        assert json.loads(dead)[0]["message"] == "c\ufffdd"
        while not (
            kept := await conn.fetchval("SELECT logs FROM aerofn.invocations WHERE \"trigger\" = 'invoke'")
        ):
            await asyncio.sleep(0.02)
    assert json.loads(kept)[0]["message"] == "a\ufffdb"
