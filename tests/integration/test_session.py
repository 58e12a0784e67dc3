"""A session: one transaction as the caller, errors as values, nothing left behind, stopped for certain."""

import asyncio
import json
from contextlib import asynccontextmanager

import asyncpg
import pytest

from aerofn.bridge.guard import Guard
from aerofn.bridge.session import Caps, Door, Session
from aerofn.db import logins, pool
from aerofn.db.events import Lease
from aerofn.errors import DatabaseUnavailable, HostError, LeaseLost, QueryError
from aerofn.model import Caller

SCHEMA = """
CREATE TABLE todos (id int PRIMARY KEY, owner text NOT NULL DEFAULT auth.uid(), title text NOT NULL);
ALTER TABLE todos ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON todos USING (owner = (SELECT auth.uid()));
INSERT INTO todos VALUES (1, 'ann', 'ann''s'), (2, 'bob', 'bob''s');
CREATE TABLE uniques (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE plain (id int PRIMARY KEY);
CREATE FUNCTION exec_sql(q text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE q; END $$;
CREATE FUNCTION run_sql(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text; BEGIN EXECUTE q INTO r; RETURN r; END $$;
CREATE FUNCTION stubborn() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  LOOP BEGIN PERFORM count(*) FROM generate_series(1, 10000000);
  EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$;
GRANT ALL ON todos, uniques, plain TO authenticated;
"""
LONG = "SELECT count(*) FROM generate_series(1, 10000000000)"


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
    found, opened = await logins.read(conn), []

    async def make(role="authenticated", size=3, share=3, **caps):
        settings = database.settings(pool_size=size, function_pool_size=share)
        pools = await pool.open_role_pools(settings, found)
        opened.extend(pools.values())
        return Door(role, pools[role], guard, Caps(**caps))

    yield make
    await pool.close(*opened)


@pytest.fixture
async def door(door_of):
    return await door_of()


def session(door, sub="ann", function="f"):
    return Session(door, Caller("authenticated", {"sub": sub}), function)


async def ask(opened, text, *params):
    """The reply, decoded."""
    ok, doc = await opened.query(text, json.dumps(params))
    return ok, json.loads(doc)


async def rows(opened, text, *params):
    ok, doc = await ask(opened, text, *params)
    assert ok, doc
    return [list(row.values()) for row in doc["rows"]]


async def error(opened, text, *params):
    ok, doc = await ask(opened, text, *params)
    assert not ok, doc
    return doc


@asynccontextmanager
async def committed(door, sub="ann"):
    opened = session(door, sub)
    yield opened
    await opened.commit()


async def backends(database, door):
    """Backends of the door's login that PostgreSQL still has."""
    conn = await database.connect()
    login = await conn.fetchval("SELECT login FROM aerofn_internal.logins WHERE role = 'authenticated'")
    count = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND datname = current_database()"
    return lambda: conn.fetchval(count, login)


async def until(condition):
    async with asyncio.timeout(10):
        while not await condition():  # PostgreSQL tells nobody when a backend ends
            await asyncio.sleep(0.01)


# --- the caller ---


@pytest.mark.parametrize(("sub", "seen"), [("ann", [[1]]), ("bob", [[2]]), ("eve", [])])
async def test_a_caller_sees_its_rows(door, sub, seen):
    async with committed(door, sub) as opened:
        assert await rows(opened, "SELECT id FROM todos") == seen
        assert await rows(opened, "SELECT auth.uid(), auth.role(), auth.jwt()->>'sub', current_user") == [
            [sub, "authenticated", sub, "authenticated"]
        ]


async def test_a_write_beyond_the_policy_is_refused(door):
    async with committed(door) as opened:
        refused = await error(opened, "INSERT INTO todos VALUES (3, 'bob', 'x')")
        assert refused["code"] == "42501"
        assert "row-level security" in refused["message"]


async def test_another_role_may_not(door_of):
    opened = session(await door_of("anon"))
    assert (await error(opened, "SELECT * FROM todos"))["code"] == "42501"
    await opened.rollback()


# --- errors ---


async def test_an_error_has_its_fields_and_the_transaction_goes_on(door):
    async with committed(door) as opened:
        await rows(opened, "INSERT INTO todos (id, title) VALUES (10, 'kept')")
        failed = await error(opened, "INSERT INTO todos (id, title) VALUES ($1, 'twice')", 10)
        assert failed["code"] == "23505"
        assert (failed["constraint"], failed["table"], failed["schema"]) == ("todos_pkey", "todos", "public")
        assert "detail" not in failed  # under policies PostgreSQL does not tell which row it was
        await rows(opened, "INSERT INTO plain VALUES (1)")
        assert (await error(opened, "INSERT INTO plain VALUES (1)"))[
            "detail"
        ] == "Key (id)=(1) already exists."
        assert "hint" in await error(opened, "SELECT titel FROM todos")
        assert (await error(opened, "SELECT nosuch FROM todos"))["code"] == "42703"
        assert (await error(opened, "SELEC 1"))["code"] == "42601"
        assert (await error(opened, "SELECT $1::int", "x"))["code"] == "22P02"
        assert (await error(opened, "SELECT 1/0"))["code"] == "22012"
        assert (await error(opened, "SELECT run_sql('RAISE')"))["code"] == "42601"
    async with committed(door) as opened:
        assert await rows(opened, "SELECT title FROM todos ORDER BY id") == [["ann's"], ["kept"]]


async def test_a_deferred_constraint_refuses_the_commit(door):
    opened = session(door)
    await rows(opened, "INSERT INTO uniques VALUES (1), (1)")
    with pytest.raises(QueryError) as caught:
        await opened.commit()
    assert (caught.value.code, caught.value.fields["constraint"]) == ("23505", "uniques_a_key")
    async with committed(door) as after:
        assert await rows(after, "SELECT count(*) FROM uniques") == [[0]]


async def test_rollback_and_abandon_undo(door):
    for end in ("rollback", "abandon"):
        opened = session(door)
        await rows(opened, "INSERT INTO uniques VALUES (7)")
        if end == "rollback":
            await opened.rollback()
        else:
            opened.abandon()
        assert (await error(opened, "SELECT 1"))["code"] == "25000"
    async with committed(door) as after:
        assert await rows(after, "SELECT count(*) FROM uniques") == [[0]]


async def test_the_events_end_belongs_to_the_transaction(door, database):
    opened = session(door)
    await rows(opened, "INSERT INTO uniques VALUES (8)")
    with pytest.raises(LeaseLost):
        await opened.commit(Lease(4711, 1))
    async with committed(door) as after:
        assert await rows(after, "SELECT count(*) FROM uniques") == [[0]]


async def test_a_guest_cannot_pretend_that_the_reset_failed(door, database):
    await (await database.connect()).execute(
        """CREATE FUNCTION liar() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'AF002'; END $$;
        CREATE CONSTRAINT TRIGGER t AFTER INSERT ON uniques DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION liar()"""
    )
    opened = session(door)
    await rows(opened, "INSERT INTO uniques VALUES (9)")
    with pytest.raises(QueryError):
        await opened.commit()


# --- lazy, capped ---


async def test_no_query_no_connection(door):
    opened = session(door)
    await opened.commit()
    assert (opened.open, door.pool.get_size()) == (False, 0)


async def test_caps(door_of):
    door = await door_of(statements=4, rows=10, bytes=2000)
    opened = session(door)
    assert len(await rows(opened, "SELECT g FROM generate_series(1, 10) g")) == 10
    for text in (
        "SELECT g FROM generate_series(1, 11) g",
        "WITH x AS (INSERT INTO uniques SELECT generate_series(1, 11) RETURNING a) SELECT a FROM x",
        "SELECT repeat('x', 3000)",
    ):
        refused = await error(opened, text)
        assert refused["code"] == "54000"
        assert "more than" in refused["message"]
    assert "may run 4 statements" in (await error(opened, "SELECT 1"))["message"]
    await opened.commit()
    async with committed(door) as after:
        assert await rows(after, "SELECT count(*) FROM uniques") == [[0]]


async def test_the_wait_for_a_connection_is_bounded(door_of):
    door = await door_of(size=1, wait_s=0.05)
    first = session(door)
    await rows(first, "SELECT 1")
    with pytest.raises(DatabaseUnavailable) as caught:
        await session(door).query("SELECT 1", "[]")
    assert caught.value.code == "database_busy"
    await first.commit()
    async with committed(door) as after:
        assert await rows(after, "SELECT 1") == [[1]]


async def test_many_sessions_share_few_connections_and_keep_apart(door_of):
    door = await door_of(size=3)

    async def one(n):
        async with committed(door, f"user {n}") as opened:
            assert await rows(opened, "SELECT auth.uid()") == [[f"user {n}"]]

    await asyncio.gather(*(one(n) for n in range(60)))
    assert door.pool.get_size() <= 3


# --- connections that break, queries that do not end ---


async def kill(database):
    conn = await database.connect()
    await conn.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE usename LIKE 'aerofn_run%' AND datname = current_database()"
    )


async def test_killed_while_idle_before_and_after_a_query(door, database):
    async with committed(door) as opened:
        await rows(opened, "SELECT 1")
    await kill(database)  # an idle one: the next session must not notice more than an error
    opened = session(door)
    try:
        await opened.query("SELECT 1", "[]")
    except (DatabaseUnavailable, HostError):
        opened.abandon()
    else:
        await opened.commit()
    opened = session(door)
    await rows(opened, "INSERT INTO uniques VALUES (1)")
    await kill(database)
    with pytest.raises((DatabaseUnavailable, QueryError)):
        await opened.commit()
    async with committed(door) as after:
        assert await rows(after, "SELECT count(*) FROM uniques") == [[0]]


async def test_killed_during_a_query(door, database):
    opened = session(door)
    await rows(opened, "SELECT 1")
    running = asyncio.create_task(opened.query(LONG, "[]"))
    await asyncio.sleep(0)
    await kill(database)
    try:
        ok, _ = await running
        assert not ok
    except DatabaseUnavailable:
        pass
    await opened.rollback()
    async with committed(door) as after:
        assert await rows(after, "SELECT 1") == [[1]]


@pytest.mark.parametrize("text", [LONG, "SELECT stubborn()"])
async def test_cancelled_the_backend_really_stops(door_of, database, text):
    door = await door_of(size=1)
    count = await backends(database, door)
    opened = session(door)
    await rows(opened, "SELECT 1")
    running = asyncio.create_task(opened.query(text, "[]"))
    admin = await database.connect()
    await until(lambda: admin.fetchval("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type IS NULL "
                                       "AND usename LIKE 'aerofn_run%' AND datname = current_database()"))  # fmt: skip
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    opened.abandon()

    async def gone():
        return await count() == 0

    await until(gone)
    async with committed(door) as after:
        assert await rows(after, "SELECT 1") == [[1]]


# --- nothing stays ---


LEAVINGS = {
    "CREATE TEMP TABLE todos AS SELECT 1 AS x": "SELECT count(*) FROM pg_class WHERE relpersistence = 't'",
    "SET search_path = evil": "SELECT count(*) FROM pg_settings WHERE name = 'search_path' AND setting = 'evil'",
    "SET mallory.x = 'y'": "SELECT count(*) FROM current_setting('mallory.x', true) x WHERE x = 'y'",
    "PREPARE p AS SELECT 1": "SELECT count(*) FROM pg_prepared_statements",
    "DO $$ BEGIN PERFORM pg_advisory_lock(1); END $$": "SELECT count(*) FROM pg_locks "
    "WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    "LISTEN aerofn": "SELECT count(*) FROM pg_listening_channels()",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1": "SELECT count(*) FROM pg_cursors WHERE is_holdable",
}


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("text", LEAVINGS)
async def test_nothing_is_left_on_the_connection(door_of, database, text, end):
    await (await database.connect()).execute("SELECT aerofn_internal.unharden_database()")
    door = await door_of(size=1)
    first = session(door)
    assert (await ask(first, f"SELECT exec_sql($q${text}$q$)"))[0]
    pid = await rows(first, "SELECT pg_backend_pid()")
    await (first.commit() if end == "commit" else first.rollback())
    async with committed(door, "bob") as opened:
        assert await rows(opened, "SELECT pg_backend_pid()") == pid
        assert await rows(opened, f"SELECT run_sql($q${LEAVINGS[text]}$q$)") == [["0"]]


async def test_the_seed_and_the_sequence_are_not_left(door_of, database):
    admin = await database.connect()
    await admin.execute(
        "CREATE SEQUENCE s; GRANT ALL ON s TO authenticated; SELECT aerofn_internal.unharden_database()"
    )
    door, seen = await door_of(size=1), set()
    for _ in range(3):
        async with committed(door) as opened:
            seen.add((await rows(opened, "SELECT random()"))[0][0])
            assert (await error(opened, "SELECT lastval()"))["code"] == "55000"
            await rows(opened, "SELECT nextval('s'), run_sql('SELECT setseed(0.5)')")
    assert len(seen) == 3


async def test_types_learnt_under_a_changed_search_path_are_not_remembered(door):
    opened = session(door)
    await rows(opened, "SELECT exec_sql('SET LOCAL search_path = pg_catalog')")
    await rows(opened, "SELECT $1::int + 1", 1)
    assert "SELECT $1::int + 1" not in door.statements.types
    await opened.rollback()
    async with committed(door) as after:
        assert await rows(after, "SELECT $1::int + 1", 1) == [[2]]
    assert "SELECT $1::int + 1" in door.statements.types


async def test_a_statement_whose_types_changed_is_learnt_again(door, database):
    text, admin = "SELECT $1 = a FROM uniques", await database.connect()
    await admin.execute("INSERT INTO uniques VALUES (1)")
    async with committed(door) as opened:
        assert await rows(opened, text, 1) == [[True]]
    await admin.execute("ALTER TABLE uniques ALTER a TYPE text")
    async with committed(door) as opened:
        await ask(opened, text, "one")
        assert await rows(opened, text, "1") == [[True]]


async def test_signing_is_for_the_first_message_only(database):
    found = await logins.read(await database.connect())
    user, password = found["authenticated"]
    login = await database.connect(user=user, password=password)
    await login.execute("BEGIN; SELECT aerofn_auth.begin_invocation('{}', 0)")
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await login.execute("SELECT aerofn_auth.begin_invocation('{}', 0)")
