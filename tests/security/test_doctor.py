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
