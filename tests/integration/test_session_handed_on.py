"""Connections that are handed on: the end of a transaction that only read goes out with the next one's beginning."""

import asyncio
import contextlib

import pytest

from aerofn.bridge.session import Session
from aerofn.errors import QueryError

from .session_kit import ask, committed, rows, session
from .test_session_ends import backends, kill, until

LOCKED = "SELECT count(*) FROM pg_locks WHERE relation = 'todos'::regclass"


@pytest.fixture
async def sent(monkeypatch):
    """Every message of every session that is no statement of a guest: what a handed-on end saves."""
    messages, send = [], Session._send

    async def noted(self, connection, commands):
        messages.append(commands)
        await send(self, connection, commands)

    monkeypatch.setattr(Session, "_send", noted)
    return messages


async def handed_on(door, first, then, *, refused=False):
    """Commit `first` while `then`, which is begun here, waits for its connection."""
    waiting = asyncio.create_task(then)
    async with asyncio.timeout(60):
        while not door.pool._places.waiting:
            await asyncio.sleep(0)
    with pytest.raises(QueryError) if refused else contextlib.nullcontext():
        await first.commit()
    return waiting


async def all_of(opened, text):
    found = await rows(opened, text)
    await opened.commit()
    return found


async def test_a_reader_s_end_goes_with_the_next_one_s_beginning(door_of, sent):
    door = await door_of(size=1)
    first = session(door, "ann")
    assert await rows(first, "SELECT title FROM todos") == [["ann's"]]
    waiting = await handed_on(door, first, all_of(session(door, "bob"), "SELECT title FROM todos"))
    assert await waiting == [["bob's"]]
    async with committed(door) as after:
        assert await rows(after, "SELECT title FROM todos") == [["ann's"]]
    assert sent == []
    assert door.pool.get_size() == 1


@pytest.mark.parametrize(
    "text",
    ["INSERT INTO plain VALUES (1)", "SELECT id FROM todos FOR UPDATE", "SELECT exec_sql('LISTEN aerofn')"],
)
async def test_who_wrote_or_locked_or_called_something_ends_by_itself(door_of, sent, text):
    door = await door_of(size=1)
    first = session(door)
    await ask(first, text)
    waiting = await handed_on(door, first, all_of(session(door), "SELECT 1"))
    assert await waiting == [[1]]
    assert len(sent) == 1


async def test_what_the_application_leaves_is_gone_for_the_next(door_of, database):
    admin = await database.connect()
    await admin.execute(
        "CREATE VIEW leaving AS SELECT set_config('mallory.x', 'y', false) AS a, set_config('role', 'none', false);"
        "CREATE VIEW left_over AS SELECT current_setting('mallory.x', true) AS a;"
        "GRANT SELECT ON leaving, left_over TO authenticated;"
        "GRANT EXECUTE ON FUNCTION set_config(text, text, boolean) TO authenticated"
    )
    door = await door_of(size=1)
    first, second = session(door), session(door)
    await ask(first, "SELECT a FROM leaving")

    async def undone():
        seen = await rows(second, "SELECT a FROM left_over")
        await second.rollback()  # which would bring back what a reset of the same transaction took away
        return seen

    assert await (await handed_on(door, first, undone())) in ([[None]], [[""]])
    async with committed(door) as third:
        assert await rows(third, "SELECT a FROM left_over") in ([[None]], [[""]])


HELD = "SELECT count(*) FROM held"


async def locking(door, database):
    """A transaction that is not over yet, in which a view, whose name tells nothing, has taken a session's lock."""
    admin = await database.connect()
    await admin.execute(
        "CREATE VIEW locking AS SELECT pg_advisory_lock(4711)::text;"
        "CREATE VIEW held AS SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711;"
        "GRANT SELECT ON locking, held TO authenticated;"
        "GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO authenticated"
    )
    first = session(door)
    await ask(first, "SELECT * FROM locking")
    assert await admin.fetchval(HELD) == 1
    return first, admin


async def test_a_lock_that_was_left_is_gone_before_the_next_one_s_first_statement(door_of, database, sent):
    door = await door_of(size=1)
    first, _ = await locking(door, database)
    assert await (await handed_on(door, first, all_of(session(door), HELD))) == [[0]]
    assert sent == []


async def test_a_lock_that_was_left_is_gone_where_nobody_comes(door_of, database):
    door = await door_of(size=1)
    first, admin = await locking(door, database)
    await first.commit()

    async def gone():
        return not await admin.fetchval(HELD)

    await until(gone)
    assert door.pool.get_size() == 1


@pytest.mark.parametrize("end", [Session.commit, Session.rollback])
async def test_a_lock_that_was_left_is_gone_by_one_that_never_queries(door_of, database, end):
    door = await door_of(size=1)
    first, admin = await locking(door, database)
    second = session(door)
    await (await handed_on(door, first, second._connect()))
    await end(second)
    assert await admin.fetchval(HELD) == 0


async def test_where_nobody_comes_the_pool_ends_it(door_of, database):
    door = await door_of(size=1)
    await all_of(session(door), "SELECT title FROM todos")
    admin = await database.connect()
    await until(lambda: free(admin))
    count = await backends(database, door)
    assert await count() == 1
    assert door.pool.get_size() == 1
    async with committed(door) as after:
        assert await rows(after, "SELECT 1") == [[1]]
    assert await count() == 1


async def none(counted):
    return await counted == 0


async def free(admin):
    return not await admin.fetchval(LOCKED)


async def test_an_end_of_the_pools_that_fails_costs_the_connection_alone(door_of, database):
    door = await door_of(size=1)
    door.statements.ending = "COMMIT; SELECT 1 / 0; "
    await all_of(session(door), "SELECT title FROM todos")
    count = await backends(database, door)
    await until(lambda: none(count()))
    async with committed(door) as after:
        assert await rows(after, "SELECT title FROM todos") == [["ann's"]]


async def test_closing_ends_what_is_not_ended(door_of, database):
    admin = await database.connect()
    await admin.execute("CREATE VIEW telling AS SELECT pg_notify('told', 'of it')::text")
    await admin.execute("GRANT EXECUTE ON FUNCTION pg_notify(text, text) TO authenticated")
    await admin.execute("GRANT SELECT ON telling TO authenticated")
    heard = asyncio.Event()
    await admin.add_listener("told", lambda *_: heard.set())
    door = await door_of(size=1)
    await all_of(session(door), "SELECT * FROM telling")
    await door.pool.close()
    async with asyncio.timeout(60):
        await heard.wait()


@pytest.mark.parametrize("end", [Session.commit, Session.rollback])
async def test_one_that_never_queries_ends_what_it_was_handed(door_of, database, end):
    door = await door_of(size=1)
    first = session(door)
    await rows(first, "SELECT title FROM todos")
    second = session(door)
    await (await handed_on(door, first, second._connect()))
    admin = await database.connect()
    assert await admin.fetchval(LOCKED)
    await end(second)
    assert not await admin.fetchval(LOCKED)
    async with committed(door) as after:
        assert await rows(after, "SELECT title FROM todos") == [["ann's"]]


async def test_killed_in_between(door_of, database):
    door = await door_of(size=1)
    first = session(door)
    await rows(first, "SELECT title FROM todos")
    await kill(database)
    waiting = await handed_on(door, first, all_of(session(door, "bob"), "SELECT title FROM todos"))
    assert await waiting == [["bob's"]]


async def test_another_ones_end_that_fails_is_nobodys_error(door_of):
    door = await door_of(size=1)
    door.statements.ending = "COMMIT; SELECT 1 / 0; "
    first = session(door)
    await rows(first, "SELECT title FROM todos")
    waiting = await handed_on(door, first, all_of(session(door, "bob"), "SELECT title FROM todos"))
    assert await waiting == [["bob's"]]


async def test_ones_own_error_is_not_tried_again(door_of, database):
    """However it comes about: an error that the executor does not catch ends the transaction, once."""
    admin = await database.connect()
    await admin.execute(
        "CREATE SEQUENCE tries; GRANT ALL ON tries TO authenticated;"
        "CREATE FUNCTION failing() RETURNS int LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM nextval(''tries''); ASSERT false; END'"
    )
    door = await door_of(size=1)
    first, second = session(door), session(door)
    await rows(first, "SELECT title FROM todos")
    ok, _ = await (await handed_on(door, first, ask(second, "SELECT failing()")))
    await second.rollback()
    assert not ok
    assert await admin.fetchval("SELECT last_value FROM tries") == 1


async def test_a_transaction_that_broke_off_is_not_handed_on(door_of, database):
    """A function may catch that error and succeed."""
    admin = await database.connect()
    await admin.execute(
        "CREATE FUNCTION broken() RETURNS int LANGUAGE plpgsql AS 'BEGIN ASSERT false; END';"
        "CREATE VIEW breaking AS SELECT broken(); GRANT SELECT ON breaking TO authenticated"
    )
    door = await door_of(size=1)
    first = session(door)
    ok, error = await ask(first, "SELECT * FROM breaking")
    assert (ok, error["code"]) == (False, "P0004")
    waiting = await handed_on(
        door, first, all_of(session(door, "bob"), "SELECT title FROM todos"), refused=True
    )
    assert await waiting == [["bob's"]]


async def test_many_of_different_callers_keep_apart(door_of, sent):
    door = await door_of(size=3)

    async def one(n):
        async with committed(door, "ann" if n % 2 else "bob") as opened:
            assert await rows(opened, "SELECT owner FROM todos") == [["ann" if n % 2 else "bob"]]

    await one(0)  # the guard judges the text
    await asyncio.gather(*(one(n) for n in range(60)))
    assert door.pool.get_size() <= 3
    assert sent == []
