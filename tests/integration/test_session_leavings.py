"""What one session does to its connection is gone for the next, and what it says of its caller stays."""

import pytest

from aerofn.bridge.session import Session

from .session_kit import ask, committed, error, rows, session

LEAVINGS = {
    "CREATE TEMP TABLE todos AS SELECT 1 AS x": "SELECT count(*) FROM pg_class WHERE relpersistence = 't'",
    "SET search_path = evil": "SELECT count(*) FROM current_setting('search_path') s WHERE s = 'evil'",
    "SET mallory.x = 'y'": "SELECT count(*) FROM current_setting('mallory.x', true) x WHERE x = 'y'",
    "PREPARE p AS SELECT 1": "SELECT count(*) FROM pg_prepared_statements",
    "DO $$ BEGIN PERFORM pg_advisory_lock(1); END $$": "SELECT count(*) FROM pg_locks "
    "WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    "LISTEN aerofn": "SELECT count(*) FROM pg_listening_channels()",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1": "SELECT count(*) FROM pg_cursors WHERE is_holdable",
}


# For looking at what is left where hardening took them.
LOOK = (
    "GRANT EXECUTE ON FUNCTION pg_prepared_statement(), pg_cursor(), pg_listening_channels() TO authenticated"
)


@pytest.mark.parametrize("hardened", [True, False], ids=["hardened", "not hardened"])
async def test_nothing_is_left_on_the_connection(door_of, database, hardened):
    await (await database.connect()).execute(
        LOOK if hardened else "SELECT aerofn_internal.unharden_database()"
    )
    door, backends = await door_of(size=1), set()
    for text, left in LEAVINGS.items():
        for end in (Session.commit, Session.rollback):
            first = session(door)
            assert (await ask(first, f"SELECT exec_sql($q${text}$q$)"))[0] or hardened, text
            backends.add((await rows(first, "SELECT pg_backend_pid()"))[0][0])
            await end(first)
            async with committed(door, "bob") as opened:
                backends.add((await rows(opened, "SELECT pg_backend_pid()"))[0][0])
                assert await rows(opened, f"SELECT run_sql($q${left}$q$)") == [["0"]], text
    assert len(backends) == 1


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
    assert "SELECT $1::int + 1" not in door.statements.known
    await opened.rollback()
    async with committed(door) as after:
        assert await rows(after, "SELECT $1::int + 1", 1) == [[2]]
    assert "SELECT $1::int + 1" in door.statements.known


async def test_a_statement_whose_types_changed_is_learnt_again(door, database):
    text, admin = "SELECT $1 = a FROM uniques", await database.connect()
    await admin.execute("INSERT INTO uniques VALUES (1)")
    async with committed(door) as opened:
        assert await rows(opened, text, 1) == [[True]]
    await admin.execute("ALTER TABLE uniques ALTER a TYPE text")
    async with committed(door) as opened:
        await ask(opened, text, "one")
        assert await rows(opened, text, "1") == [[True]]


async def test_no_function_hides_how_many_stand_behind_it(door_of, database):
    admin = await database.connect()
    await admin.execute(
        "SELECT aerofn.register_function('f', decode('0061736d0d000100', 'hex'));"
        "SELECT aerofn_internal.compiled(id, NULL) FROM aerofn_internal.versions"
    )
    door = await door_of()
    for before in ("SELECT 1", "SELECT exec_sql($q$SET LOCAL aerofn.caller = ''$q$)"):
        async with committed(door) as opened:
            await rows(opened, before)
            await rows(opened, "SELECT aerofn.invoke('f')")
    events = await admin.fetch("SELECT depth FROM aerofn_internal.events ORDER BY id")
    assert [event["depth"] for event in events] == [1, 32767]
