"""Who the caller is: said once when a transaction begins, and kept by PostgreSQL in the session's own currval()."""

import asyncpg
import pytest

from aerofn.bridge.quoting import literal
from aerofn.bridge.session import document
from aerofn.db import logins
from aerofn.model import Caller

from .session_kit import committed, error, rows, session

BEGIN = "aerofn_auth.begin_invocation({}, 0)"
FORGED = '{"claims": {"sub": "bob"}}'
FORGE = f"SET LOCAL aerofn.caller = '{FORGED}'"
HASH = f"encode(sha256('{FORGED}'), 'hex')"
FORGE_HASH = "; ".join(
    f"SELECT setval('aerofn_auth.caller_{name}', ('x' || substr({HASH}, {at}, 16))::bit(64)::bigint)"
    for name, at in (("high", 1), ("low", 17))
)
WHO = "SELECT aerofn.uid()"
GUEST = "SET LOCAL ROLE authenticated"
MINE = "SELECT current_setting('aerofn.caller')"


def said_of(sub):
    return document(Caller("authenticated", {"sub": sub}), 0)


def begin(sub):
    return f"BEGIN; SELECT {BEGIN.format(literal(said_of(sub)))}"


def begin_as_guest(sub):
    return f"{begin(sub)}; {GUEST}"


@pytest.fixture
async def new_login(database):
    """Connections of the login, on which no guest's statement is sealed."""
    user, password = (await logins.read(await database.connect()))["authenticated"]

    async def connect():
        return await database.connect(user=user, password=password)

    return connect


async def refused(connection, text, state):
    with pytest.raises(asyncpg.PostgresError) as caught:
        await connection.execute(text)
    assert caught.value.sqlstate == state, caught.value
    return str(caught.value)


async def test_an_invocation_begins_in_the_first_message_and_behind_no_other_function(new_login):
    login = await new_login()
    again = BEGIN.format(literal(FORGED))
    await login.execute(begin("ann"))
    await refused(login, f"SELECT {again}", "28000")
    await login.execute("ROLLBACK")
    await refused(login, f"{begin('ann')}; DO $$ BEGIN PERFORM {again}; END $$", "28000")


async def test_nor_does_it_at_commit(database, new_login):
    """A constraint trigger that defers itself runs there as the login, in a transaction's first message too."""
    admin, login = await database.connect(), await new_login()
    await admin.execute(
        f"""CREATE TABLE planted (a int); GRANT INSERT ON planted TO {login.get_settings().session_authorization};
        CREATE FUNCTION begin_again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          PERFORM {BEGIN.format(literal(FORGED))}; RAISE EXCEPTION 'it is %', aerofn.uid(); END $$;
        CREATE CONSTRAINT TRIGGER late AFTER INSERT ON planted DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION begin_again()"""
    )
    await refused(login, "BEGIN; INSERT INTO planted VALUES (1); COMMIT", "28000")


async def test_a_document_is_good_for_its_own_transaction_only(new_login):
    """Neither one of another's nor one of an earlier invocation, on the same connection or another."""
    first, second = await new_login(), await new_login()
    await first.execute(begin_as_guest("bob"))
    stolen = await first.fetchval(MINE)
    await first.execute(f"COMMIT; {begin_as_guest('ann')}")
    await second.execute(begin_as_guest("ann"))
    for connection in (first, second):
        assert await connection.fetchval(WHO) == "ann"
        await connection.execute(f"SET LOCAL aerofn.caller = {literal(stolen)}")
        assert "tampered" in await refused(connection, WHO, "28000")
        await connection.execute("ROLLBACK")


async def test_the_same_callers_document_is_another_each_time(new_login):
    login = await new_login()
    await login.execute(begin_as_guest("ann"))
    before = await login.fetchval(MINE)
    await login.execute(f"COMMIT; {begin_as_guest('ann')}")
    await login.execute(f"SET LOCAL aerofn.caller = {literal(before)}")
    await refused(login, WHO, "28000")


async def test_each_session_keeps_its_own_caller(new_login):
    ann, bob = await new_login(), await new_login()
    await ann.execute(begin_as_guest("ann"))
    await bob.execute(begin_as_guest("bob"))
    for _ in range(2):
        assert [await connection.fetchval(WHO) for connection in (ann, bob)] == ["ann", "bob"]
    await ann.execute("ROLLBACK")
    assert await bob.fetchval(WHO) == "bob"
    assert await ann.fetchval(WHO) is None


async def test_outside_an_invocation_nobody_is_the_caller(database):
    conn = await database.connect()
    assert await conn.fetchval(WHO) is None
    await conn.execute("SET aerofn.caller = ''")
    assert tuple(await conn.fetchrow("SELECT aerofn.uid(), aerofn.jwt(), aerofn.role()")) == (
        None,
        None,
        None,
    )


async def test_what_the_owner_of_the_sequences_could_do_guests_cannot(database, new_login):
    """The same statements that forge a caller for a superuser are refused to the role and to its login."""
    admin, login = await database.connect(), await new_login()
    async with admin.transaction():
        await admin.execute(f"{FORGE_HASH}; {FORGE}")
        assert await admin.fetchval(WHO) == "bob"
    for role in ("authenticated", "none"):
        for statement in FORGE_HASH.split("; "):
            await login.execute(f"{begin('ann')}; SET LOCAL ROLE {role}")
            await refused(login, statement, "42501")
            await login.execute("ROLLBACK")


async def test_no_privileges_on_the_sequences_are_left_to_anybody(database):
    held = await (await database.connect()).fetch(
        """SELECT c.relname, r.rolname, c.relpersistence FROM pg_class c, pg_roles r
        WHERE c.relnamespace = 'aerofn_auth'::regnamespace AND c.relkind = 'S' AND NOT r.rolsuper
          AND has_sequence_privilege(r.oid, c.oid, 'USAGE, SELECT, UPDATE') AND r.rolname !~ '^pg_' ORDER BY 1"""
    )
    assert [tuple(row) for row in held] == [(f"caller_{n}", "aerofn_auth", b"u") for n in ("high", "low")]


@pytest.mark.parametrize("forget", ["DISCARD SEQUENCES", "DISCARD SEQUENCES; " + FORGE])
async def test_a_session_without_its_sequences_has_no_caller(door, forget):
    """The error is currval()'s own: who would catch it could not be called while parallel workers run."""
    opened = session(door)
    assert await rows(opened, WHO) == [["ann"]]
    for text in forget.split("; "):
        await rows(opened, f"SELECT exec_sql($q${text}$q$)")
    for text in (WHO, "SELECT title FROM todos", "INSERT INTO todos (id, title) VALUES (9, 'nobody''s')"):
        assert (await error(opened, text))["code"] == "55000"
    await opened.rollback()
    async with committed(door) as after:
        assert await rows(after, WHO) == [["ann"]]


async def test_what_is_undone_to_a_savepoint_does_not_bring_another_caller(new_login):
    login = await new_login()
    await login.execute(begin_as_guest("ann"))
    await login.execute(f"SAVEPOINT s; {FORGE}")
    await refused(login, WHO, "28000")
    await login.execute("ROLLBACK TO s")
    assert await login.fetchval(WHO) == "ann"
    await login.execute(f"{FORGE}; RELEASE s")
    await refused(login, WHO, "28000")


SHADOWS = """
CREATE SCHEMA evil;
CREATE FUNCTION evil.never(bytea, bytea) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR evil.<> (leftarg = bytea, rightarg = bytea, function = evil.never);
CREATE FUNCTION evil.of_bob(jsonb, text) RETURNS text LANGUAGE sql AS $$ SELECT 'bob' $$;
CREATE OPERATOR evil.->> (leftarg = jsonb, rightarg = text, function = evil.of_bob);
CREATE FUNCTION evil.substr(bytea, int, int) RETURNS bytea LANGUAGE sql AS 'SELECT NULL::bytea';
CREATE FUNCTION evil.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT NULL::bytea';
CREATE DOMAIN evil.jsonb AS text;
GRANT USAGE ON SCHEMA evil TO PUBLIC
"""


async def test_no_search_path_changes_what_is_compared(database, new_login):
    """Whoever may create in some schema could shadow what the functions use, if they did not name it in full."""
    admin, login = await database.connect(), await new_login()
    await admin.execute(SHADOWS)
    await login.execute(f"{begin_as_guest('ann')}; SET LOCAL search_path = evil, pg_catalog")
    assert await login.fetchval(WHO) == "ann"
    await login.execute(FORGE)
    await refused(login, WHO, "28000")


async def test_a_parallel_worker_that_was_led_there_knows_no_caller(database, new_login):
    """A wrapper that is wrongly declared PARALLEL SAFE runs in workers, which have the setting but no currval()."""
    admin, login = await database.connect(), await new_login()
    await admin.execute(
        """CREATE FUNCTION who() RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS
          $$ BEGIN RETURN aerofn.uid(); END $$;
        CREATE TABLE many AS SELECT i, CASE WHEN i % 2 = 0 THEN 'ann' ELSE 'bob' END AS owner
          FROM generate_series(1, 10000) i; ANALYZE many; GRANT SELECT ON many TO PUBLIC"""
    )
    await login.execute(begin_as_guest("ann"))
    await login.execute(
        "SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0;"
        "SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL parallel_leader_participation = off"
    )
    count = "SELECT count(*) FROM many WHERE owner = {}()"
    plans = {
        who: "Gather" in str(await login.fetch(f"EXPLAIN {count.format(who)}"))
        for who in ("who", "aerofn.uid")
    }
    assert plans == {"who": True, "aerofn.uid": False}
    assert await login.fetchval(count.format("aerofn.uid")) == 5000
    await refused(login, count.format("who"), "55000")


async def test_who_only_reads_gets_no_transaction_id_and_writes_no_wal(door, new_login):
    opened = session(door)
    assert await rows(opened, "SELECT title FROM todos") == [["ann's"]]
    assert await rows(opened, "SELECT pg_current_xact_id_if_assigned()::text") == [[None]]
    await opened.rollback()
    login = await new_login()
    await login.execute(begin("ann"))
    assert await login.fetchval("SELECT pg_current_xact_id_if_assigned()") is None


@pytest.mark.parametrize("of", ["DATABASE {database}", "ROLE {login}"])
async def test_it_begins_where_read_only_is_the_default(door_of, database, of):
    """setval() is not for read-only transactions; but functions' connections have a default of their own."""
    admin = await database.connect()
    name, login = await admin.fetchrow(
        "SELECT quote_ident(current_database()), quote_ident(login) FROM aerofn_internal.logins"
        " WHERE role = 'authenticated'"
    )
    of = of.format(database=name, login=login)
    await admin.execute(f"ALTER {of} SET default_transaction_read_only = on")
    try:
        door = await door_of(size=1)
        for _ in range(2):  # the second begins behind the end of the first, in the same message
            async with committed(door) as opened:
                assert await rows(opened, "SELECT title FROM todos") == [["ann's"]]
    finally:
        await admin.execute(f"ALTER {of} RESET default_transaction_read_only")


@pytest.mark.parametrize("read_only", ["SET default_transaction_read_only = on", "SET TRANSACTION READ ONLY"])
async def test_no_function_keeps_the_next_from_beginning(door_of, read_only):
    door = await door_of(size=1)
    async with committed(door) as opened:
        await rows(opened, f"SELECT exec_sql('{read_only}')")
    async with committed(door) as after:
        assert await rows(after, WHO) == [["ann"]]


async def test_the_next_invocations_random_numbers_are_not_foreseen(door_of):
    """Whoever knows the claims, and when the transaction before ended, does not know the seed."""
    door, drawn = await door_of(size=1), set()
    for _ in range(4):
        async with committed(door) as opened:
            drawn.add(str(await rows(opened, "SELECT random()")))
    assert len(drawn) == 4
