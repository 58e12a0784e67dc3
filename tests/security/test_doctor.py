"""doctor finds the operator's duties in the victim's database, by name, and nothing in a clean one."""

import io
import json

import msgspec
import pytest

from aerofn.cli.doctor import doctor as command
from aerofn.db import doctor
from aerofn.db.migrate import migrate

VICTIMS = {
    "raw_claims": "policy p on public.todos",
    "dynamic_sql": "exec_sql(text)",
    "definer_without_path": "admin_report()",
    "owner_view": "all_todos",
    "materialized_view": "todo_stats",
    "open_partition": "logs_p1",
    "broad_grant": "todos",
    "secret_in_setting": "app.jwt_secret",
    "no_policies": "orders",
}


@pytest.mark.parametrize("check", VICTIMS)
async def test_the_victims_faults_are_found(arena, check):
    found = await doctor.diagnose(arena.admin, arena.database.settings())
    assert VICTIMS[check] in {finding.object for finding in found if finding.check == check}


async def test_hardening_is_told(arena):
    found = {finding.check for finding in await doctor.diagnose(arena.admin, arena.database.settings())}
    assert ("not_hardened" in found) is not arena.hardened
    assert await doctor.is_hardened(arena.admin) is arena.hardened


async def test_the_safe_are_not_named(arena):
    named = {
        f.object
        for f in await doctor.diagnose(arena.admin, arena.database.settings())
        if f.check != "no_policies"
    }
    assert not named & {"safe_report()", "policy p on public.notes", "run_sql()"}


async def findings(conn, database):
    """Without the victim's authenticator: roles are the whole server's, and that one is rightly found everywhere."""
    found = await doctor.diagnose(conn, database.settings())
    return [finding for finding in found if finding.object != "role authenticator"]


async def test_a_clean_database_has_no_findings(database):
    assert await findings(await database.connect(), database) == []


FAULTS = {
    "loose_login": 'GRANT pg_monitor TO "{login}"',
    "altered_executor": "ALTER FUNCTION aerofn_run.anon_finish() STABLE",
    "kept_rights": "GRANT EXECUTE ON FUNCTION set_config(text,text,boolean) TO anon",
    "secret_in_source": "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT 'Bearer abcdefghijklmnop1234' $$",
    "foreign_uid": "CREATE OR REPLACE FUNCTION auth.uid() RETURNS text LANGUAGE sql AS "
    "$$ SELECT current_setting('a.b') $$",
    "powerful_role": "ALTER ROLE anon LOGIN",
    "cut_off": "CREATE ROLE late_authenticator LOGIN NOINHERIT; GRANT anon TO late_authenticator",
}
UNDONE = {
    "loose_login": 'REVOKE pg_monitor FROM "{login}"',
    "powerful_role": "ALTER ROLE anon NOLOGIN",
    "cut_off": "DROP ROLE late_authenticator",
}


@pytest.mark.parametrize("check", FAULTS)
async def test_each_fault_is_found(database, check):
    conn = await database.connect()
    login = await conn.fetchval("SELECT login FROM aerofn_internal.logins WHERE role = 'anon'")
    await conn.execute(FAULTS[check].format(login=login))
    try:
        assert {finding.check for finding in await findings(conn, database)} == {check}
    finally:
        if check in UNDONE:  # roles are the whole server's
            await conn.execute(UNDONE[check].format(login=login))


SETS = "CREATE FUNCTION f(s text) RETURNS bigint {} SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
PLPGSQL = SETS.format("LANGUAGE plpgsql") + " AS $$ BEGIN {} END $$"
REACHES = {
    "the right to set": ("GRANT UPDATE ON SEQUENCE aerofn_auth.caller_high TO anon", "role anon"),
    "the right to use": ("GRANT USAGE ON SEQUENCE aerofn_auth.caller_low TO anon", "role anon"),
    "everybody's right": ("GRANT UPDATE ON SEQUENCE aerofn_auth.caller_low TO PUBLIC", "role service_role"),
    "the beginning": ("GRANT EXECUTE ON FUNCTION aerofn_auth.begin_invocation TO anon", "role anon"),
    "a member": ("GRANT aerofn_auth TO anon", "role anon"),
    "a member of a member": (
        "CREATE ROLE between NOINHERIT; GRANT aerofn_auth TO between; GRANT between TO anon", "role anon",
    ),
    "a role it may become": (
        "CREATE ROLE between; ALTER ROLE anon NOINHERIT; GRANT between TO anon; "
        "GRANT UPDATE ON SEQUENCE aerofn_auth.caller_low TO between", "role anon",
    ),
    "a function": (PLPGSQL.format("RETURN setval(s, 1);"), "f(text)"),
    "a function in SQL": (SETS.format("LANGUAGE sql") + " RETURN pg_catalog.setval(s::regclass, 1)", "f(text)"),
    "a cast": (PLPGSQL.format("RETURN pg_catalog.\"setval\" ( s::regclass, 1);"), "f(text)"),
    "a text put together": (PLPGSQL.format("EXECUTE 'SELECT setval(''' || s || ''', 1)';"), "f(text)"),
    "a text with a place": (PLPGSQL.format("EXECUTE format('SELECT setval(''%I'', 1)', s);"), "f(text)"),
    "a literal begun": (PLPGSQL.format("RETURN setval('a' || s, 1);"), "f(text)"),
    "one of the two": (PLPGSQL.format("RETURN setval('aerofn_auth.caller_low', 1);"), "f(text)"),
    "the second call": (PLPGSQL.format("PERFORM setval('t_id_seq', 1); RETURN setval(s, 1);"), "f(text)"),
    "the owner's function": (
        PLPGSQL.format("RETURN setval(s, 1);") + "; ALTER FUNCTION f OWNER TO aerofn_auth", "f(text)",
    ),
    "a trigger": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp "
        "AS $$ BEGIN PERFORM setval(NEW.s, 1); RETURN NEW; END $$; REVOKE ALL ON FUNCTION f FROM PUBLIC; "
        "CREATE TABLE t (s text); CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()", "f()",
    ),
}  # fmt: skip
BETWEEN = """REVOKE aerofn_auth FROM anon; ALTER ROLE anon INHERIT;
    DO $$ BEGIN DROP OWNED BY between; DROP ROLE between; EXCEPTION WHEN undefined_object THEN NULL; END $$"""


@pytest.mark.parametrize("way", REACHES)
async def test_each_way_to_say_who_the_caller_is_is_found(database, way):
    conn = await database.connect()
    statements, named = REACHES[way]
    try:
        await conn.execute(statements)
        found = await findings(conn, database)
        inherited = {"kept_rights"} if way == "a member" else set()  # aerofn_auth was there before hardening
        assert {finding.check for finding in found} == {"caller_in_reach", *inherited}
        assert named in {finding.object for finding in found}
    finally:
        await conn.execute(BETWEEN)  # roles are the whole server's


async def test_an_update_takes_back_what_was_granted_on_the_callers_sequences(database):
    conn = await database.connect()
    await conn.execute(
        "GRANT ALL ON SEQUENCE aerofn_auth.caller_low TO anon WITH GRANT OPTION; SET ROLE anon;"
        "GRANT ALL ON SEQUENCE aerofn_auth.caller_low TO PUBLIC; RESET ROLE;"
        "UPDATE aerofn_internal.schema_api SET checksum = 'of the version before'"
    )
    await migrate(conn, database.settings())
    assert await findings(conn, database) == []
    assert await conn.fetchval("SELECT has_sequence_privilege('anon', 'aerofn_auth.caller_low', 'SELECT')")


OUT_OF_REACH = {
    "a literal": PLPGSQL.format("RETURN setval('t_id_seq', 1);"),
    "a literal with its type": PLPGSQL.format("RETURN setval( 't_id_seq'::pg_catalog.regclass , 1);"),
    "a literal in a text": PLPGSQL.format("EXECUTE 'SELECT setval(''t_id_seq'', 1)';"),
    "a column's": PLPGSQL.format("RETURN setval(pg_get_serial_sequence('public.t', 'id'), 1);"),
    "a column's in SQL": SETS.format("LANGUAGE sql")
    + " RETURN setval(pg_get_serial_sequence('public.t', 'id')::regclass, 1)",
    "another function": PLPGSQL.format("RETURN my_setval(s, 1);"),
    "an owner without the right": PLPGSQL.format("RETURN setval(s, 1);")
    + "; ALTER FUNCTION f OWNER TO aerofn_owner",
    "nobody may call it": PLPGSQL.format("RETURN setval(s, 1);") + "; REVOKE ALL ON FUNCTION f FROM PUBLIC",
    "its caller's rights": PLPGSQL.format("RETURN setval(s, 1);") + "; ALTER FUNCTION f SECURITY INVOKER",
}


@pytest.mark.parametrize("way", OUT_OF_REACH)
async def test_what_sets_other_sequences_is_not_named(database, way):
    conn = await database.connect()
    await conn.execute("CREATE SEQUENCE t_id_seq")
    await conn.execute(OUT_OF_REACH[way])
    assert await findings(conn, database) == []


async def test_an_altered_executor_is_made_anew(database):
    conn = await database.connect()
    await conn.execute("ALTER FUNCTION aerofn_run.anon_finish() SECURITY INVOKER")
    await migrate(conn, database.settings())
    assert await findings(conn, database) == []
    assert await conn.fetchval("SELECT prosecdef FROM pg_proc WHERE proname = 'anon_finish'")


async def test_the_command(database):
    import asyncio

    out = io.StringIO()
    assert await asyncio.to_thread(command, database.settings(), out, json=True) == 0
    assert [found for found in json.loads(out.getvalue()) if found["check"] != "cut_off"] == []
    await (await database.connect()).execute("CREATE TABLE t (a int); GRANT SELECT ON t TO anon")
    out = io.StringIO()
    assert await asyncio.to_thread(command, database.settings(), out) == 0  # a warning
    assert "warning: no_policies" in out.getvalue()
    await (await database.connect()).execute("GRANT EXECUTE ON FUNCTION setseed(float8) TO anon")
    out = io.StringIO()
    assert await asyncio.to_thread(command, database.settings(), out, json=True) == 1
    first = msgspec.json.decode(out.getvalue())[0]
    assert (first["check"], first["severity"], "setseed" in first["object"]) == ("kept_rights", "error", True)
