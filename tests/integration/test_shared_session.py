"""A shared session by itself: savepoints, what a member meets of the others, and who is completed."""

import pytest

from aerofn import sql
from aerofn.bridge.door import Known
from aerofn.bridge.shared import SharedSession
from aerofn.db.events import Lease
from aerofn.errors import AeroFnError, LeaseLost, SteppedAside
from aerofn.model import Caller

from .session_kit import ask

INSERT = "INSERT INTO plain VALUES ($1)"


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A busy machine may take longer than a shared transaction allows."""
    longer = sql.queries("session").impatience.format(lock=25, statement=3000)
    monkeypatch.setattr("aerofn.bridge.shared._IMPATIENCE", longer)


@pytest.fixture
async def shared(door):
    session = SharedSession(door, Caller("authenticated", {"sub": "ann"}), "f")
    yield session
    session.abandon()


@pytest.fixture
async def leases(database):
    """Three events that a node has leased."""
    conn = await database.connect()
    rows = await conn.fetch(
        "INSERT INTO aerofn_internal.events (function_id, source, state, token, role)"
        " SELECT 1, 'invoke', 'running', 100 + i, 'authenticated' FROM generate_series(1, 3) i RETURNING id, token"
    )
    return [Lease(row["id"], row["token"]) for row in rows]


async def table(database):
    conn = await database.connect()
    return [row["id"] for row in await conn.fetch("SELECT id FROM plain ORDER BY id")]


async def events(database):
    conn = await database.connect()
    return await conn.fetchval("SELECT count(*) FROM aerofn_internal.events")


async def test_each_member_is_kept_or_undone_by_itself(shared, database, leases):
    for number, keep in enumerate([True, False, True, False, False, True, False]):
        shared.turn()
        assert (await ask(shared, INSERT, number))[0]
        assert not (await ask(shared, INSERT, number))[0]  # the executor undoes a statement that fails
        assert shared.queries == 2
        (shared.keep if keep else shared.undo)()
    await shared.commit(leases)
    assert await table(database) == [0, 2, 5]
    assert await events(database) == 0


async def test_a_member_without_a_statement_changes_nothing(shared, database, leases):
    for end in (shared.keep, shared.undo):
        shared.turn()
        end()
    assert not shared.open
    shared.turn()
    await ask(shared, INSERT, 1)
    shared.keep()
    for end in (shared.undo, shared.keep, shared.undo):
        shared.turn()
        end()
    await shared.commit(leases)
    assert await table(database) == [1]


async def test_a_lost_lease_undoes_everything(shared, database, leases):
    for number in range(3):
        shared.turn()
        await ask(shared, INSERT, number)
        shared.keep()
    with pytest.raises(LeaseLost):
        await shared.commit([*leases[:2], Lease(leases[2].event, 999)])
    assert await table(database) == []
    assert await events(database) == 3


async def test_a_member_whose_savepoint_was_never_made(shared, database, leases, monkeypatch):
    """What is undone then must not be the member before, whose event would be done without its effects."""
    shared.turn()
    await ask(shared, INSERT, 1)
    shared.keep()
    shared.turn()
    with monkeypatch.context() as broken, pytest.raises(SteppedAside):
        # The whole message is refused, the savepoint in front included.
        broken.setattr(Known, "call", lambda *_: "SELECT (")
        await ask(shared, INSERT, 2)
    shared.undo()
    with pytest.raises(AeroFnError):
        await shared.commit(leases)
    assert await table(database) == []
    assert await events(database) == 3


async def test_a_statement_that_takes_long_is_cut_for_the_neighbours(shared, database, leases, monkeypatch):
    rows = "generate_series(1, 10000)"  # three times over: for hours, without a file
    shorter = sql.queries("session").impatience.format(lock=25, statement=500)
    monkeypatch.setattr("aerofn.bridge.shared._IMPATIENCE", shorter)
    shared.turn()
    await ask(shared, INSERT, 1)
    shared.keep()
    shared.turn()
    with pytest.raises(SteppedAside):
        await ask(shared, f"SELECT count(*) FROM {rows} a, {rows} b, {rows} c")
    shared.undo()
    assert shared.full
    assert not shared.broken
    await shared.commit(leases)
    assert (await table(database), await events(database)) == ([1], 0)


async def test_a_lock_that_is_not_free_is_not_waited_for(shared, database, leases):
    other = await database.connect()
    transaction = other.transaction()
    await transaction.start()
    await other.execute("INSERT INTO plain VALUES (7)")
    shared.turn()
    await ask(shared, INSERT, 1)
    shared.keep()
    shared.turn()
    await ask(shared, INSERT, 2)
    with pytest.raises(SteppedAside):
        await ask(shared, INSERT, 7)
    shared.undo()
    await shared.commit(leases)
    await transaction.rollback()
    assert (await table(database), await events(database)) == ([1], 0)


async def test_it_is_full_before_postgresql_loses_sight_of_its_subtransactions(shared):
    members = 0
    while not shared.full:
        shared.turn()
        await ask(shared, INSERT, members)
        shared.keep()
        members += 1
    assert members == 30


async def test_a_wait_for_something_else_steps_aside(shared):
    shared.turn()
    with pytest.raises(SteppedAside):
        shared.before_wait()
    assert shared.alone


async def test_a_call_of_an_unknown_function_is_the_last(shared):
    shared.turn()
    assert (await ask(shared, "SELECT count(*), max(id) FROM plain"))[0]
    assert not shared.full
    await ask(shared, "SELECT run_sql('SELECT 1')")
    assert shared.full
    assert shared.alone


async def test_nothing_stays_for_the_next_transaction(door, leases):
    first = SharedSession(door, Caller("authenticated", {"sub": "ann"}), "f")
    first.turn()
    await ask(first, INSERT, 1)
    first.keep()
    await first.commit(leases)
    second = SharedSession(door, Caller("authenticated", {"sub": "bob"}), "f")
    second.turn()
    ok, doc = await ask(second, "SELECT auth.uid() AS me, current_setting('statement_timeout') AS t")
    assert (ok, doc["rows"]) == (True, [{"me": "bob", "t": "3s"}])
    second.abandon()
