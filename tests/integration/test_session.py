"""A session: one transaction as the caller, errors as values, nothing left behind, stopped for certain."""

import asyncio

import pytest

from aerofn.db.events import Lease
from aerofn.errors import DatabaseUnavailable, LeaseLost, QueryError

from .session_kit import committed, error, rows, session

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


@pytest.mark.parametrize("wanted", [False, True])
async def test_the_unsigned_setting_is_only_made_when_asked_for(door, wanted):
    door.postgrest_claims = wanted
    async with committed(door) as opened:
        seen = await rows(opened, "SELECT nullif(current_setting('request.jwt.claims', true), '')")
        assert seen == [['{"sub":"ann"}' if wanted else None]]


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
        await opened.commit([Lease(4711, 1)])
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
