"""Sessions whose connection breaks or whose query does not end: nothing half done, and the backend is stopped."""

import asyncio

import asyncpg
import pytest

from aerofn.db import role_pool
from aerofn.errors import DatabaseUnavailable, HostError, QueryError

from .session_kit import committed, rows, session

LONG = "SELECT count(*) FROM generate_series(1, 10000000000)"


async def backends(database, door):
    """Backends of the door's login that PostgreSQL still has."""
    conn = await database.connect()
    login = await conn.fetchval("SELECT login FROM aerofn_internal.logins WHERE role = 'authenticated'")
    count = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND datname = current_database()"
    return lambda: conn.fetchval(count, login)


async def until(condition):
    async with asyncio.timeout(60):
        while not await condition():  # PostgreSQL tells nobody when a backend ends
            await asyncio.sleep(0.01)


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


@pytest.mark.parametrize(
    "error",
    [OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.ConnectionDoesNotExistError],
)
async def test_whatever_asyncpg_says_when_it_cannot_connect_is_the_databases_absence(
    door, monkeypatch, error
):
    async def refuse(*_args):
        raise error("not now")

    monkeypatch.setattr(door.pool, "acquire", refuse)
    opened = session(door)
    with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
        await opened.query("SELECT 1", "[]")
    await opened.rollback()


@pytest.mark.parametrize("trusted_s", [-1, 3600])
async def test_a_connection_is_used_again_and_replaced_when_its_backend_is_gone(
    door, database, monkeypatch, trusted_s
):
    monkeypatch.setattr(role_pool, "_TRUSTED_S", trusted_s)
    backends = []
    for _ in range(3):
        async with committed(door) as opened:
            backends += await rows(opened, "SELECT pg_backend_pid()")
        if len(backends) == 2:
            await kill(database)
    assert backends[0] == backends[1] != backends[2]


@pytest.mark.parametrize("error", [OSError, asyncpg.InterfaceError, asyncpg.InternalClientError])
async def test_a_first_message_that_meets_a_dying_connection_goes_to_another(door, monkeypatch, error):
    """PostgreSQL may have said that it ends a connection whose socket is still open: asyncpg then refuses to send."""
    async with committed(door) as opened:
        await rows(opened, "SELECT 1")
    copy_out, refused, ended = asyncpg.Connection._copy_out, [], asyncio.Event()

    async def refused_once(connection, *arguments):
        if not refused:
            refused.append(connection)
            connection.add_termination_listener(lambda _: ended.set())
            raise error("another operation is in progress")
        return await copy_out(connection, *arguments)

    monkeypatch.setattr(asyncpg.Connection, "_copy_out", refused_once)
    async with committed(door) as opened:
        assert await rows(opened, "SELECT 1") == [[1]]
    async with asyncio.timeout(60):  # a task of the pool's ends it
        await ended.wait()


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


async def cancelled(database, opened, text):
    """Begin a query, cancel it once it computes, and abandon its session."""
    await rows(opened, "SELECT 1")
    running = asyncio.create_task(opened.query(text, "[]"))
    admin = await database.connect()
    await until(lambda: admin.fetchval("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type IS NULL "
                                       "AND usename LIKE 'aerofn_run%' AND datname = current_database()"))  # fmt: skip
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    opened.abandon()


@pytest.mark.parametrize("text", [LONG, "SELECT stubborn()"])
async def test_cancelled_the_backend_really_stops(door_of, database, text):
    door = await door_of(size=1)
    count = await backends(database, door)
    await cancelled(database, session(door), text)

    async def gone():
        return await count() == 0

    await until(gone)
    async with committed(door) as after:
        assert await rows(after, "SELECT 1") == [[1]]


@pytest.mark.long
async def test_what_nothing_stops_keeps_its_place_in_the_pool(door_of, database):
    """path <-> path looks for no signal: cancelled and terminated, it computes to its end."""
    door, refused = await door_of(size=1, wait_s=0.05), 0
    opened = session(door)
    ((backend,),) = await rows(opened, "SELECT pg_backend_pid()")
    path = "(SELECT ('[' || string_agg(format('(%s,%s)', g, g * 7919 % 10007), ',') || ']')::path AS p"
    await cancelled(database, opened, f"SELECT p <-> p FROM {path} FROM generate_series(1, 4000) g) x")
    while True:
        following = session(door)
        try:
            assert await rows(following, "SELECT 1") == [[1]]
            break
        except DatabaseUnavailable:
            refused += 1
    admin = await database.connect()
    assert await admin.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", backend) == 0
    assert refused
    await following.commit()
