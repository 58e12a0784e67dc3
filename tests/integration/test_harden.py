"""Hardening: what it takes, who keeps it, that a second time changes nothing, and that all of it can be given back."""

import base64
import json

import asyncpg
import pytest

from aerofn.db import logins
from aerofn.db.migrate import dry_run, migrate

RIGHTS = """
SELECT f.oid::regprocedure::text AS object, a.grantee, a.privilege_type
FROM pg_proc f, aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a
WHERE f.pronamespace = 'pg_catalog'::regnamespace
UNION ALL SELECT c.oid::regclass::text, a.grantee, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
WHERE c.relnamespace = 'pg_catalog'::regnamespace
UNION ALL SELECT 'database', a.grantee, a.privilege_type
FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a WHERE d.datname = current_database()
UNION ALL SELECT 'public', a.grantee, a.privilege_type
FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'public'
"""


async def rights(conn):
    return {tuple(row) for row in await conn.fetch(RIGHTS)}


async def test_everything_is_given_back(empty_database):
    conn = await empty_database.connect()
    await migrate(conn, empty_database.settings(harden=False))
    before = await rights(conn)
    await migrate(conn, empty_database.settings())
    assert before - await rights(conn)
    await conn.execute("SELECT aerofn_internal.unharden_database()")
    after = await rights(conn)
    assert (after - before, before - after) == (set(), set())
    assert await conn.fetchval("SELECT count(*) FROM pg_event_trigger") == 0


async def test_a_second_time_changes_nothing(database):
    conn = await database.connect()
    assert await conn.fetchval("SELECT aerofn_internal.harden_database()") == 0
    assert await dry_run(conn, database.settings()) == ""


async def test_dry_run_prints_it_and_no_harden_does_not(empty_database):
    conn = await empty_database.connect()
    assert "SELECT aerofn_internal.harden_database();" in await dry_run(conn, empty_database.settings())
    await migrate(conn, empty_database.settings(harden=False))
    assert await dry_run(conn, empty_database.settings(harden=False)) == ""
    script = await dry_run(conn, empty_database.settings())
    assert "REVOKE EXECUTE ON FUNCTION set_config(text,text,boolean) FROM PUBLIC; GRANT EXECUTE" in script
    assert "CREATE EVENT TRIGGER aerofn_no_ddl" in script


async def test_other_roles_keep_what_they_had(empty_database):
    conn = await empty_database.connect()
    await conn.execute(
        "DO $$ BEGIN CREATE ROLE bystander LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    await migrate(conn, empty_database.settings())
    may = "SELECT has_function_privilege($1, 'set_config(text,text,boolean)', 'EXECUTE')"
    assert [await conn.fetchval(may, role) for role in ("bystander", "anon", "service_role")] == [
        True,
        False,
        False,
    ]


async def test_functions_run_no_ddl_and_others_do(database):
    conn = await database.connect()
    found = await logins.read(conn)
    login = await database.connect(user=found["anon"].user, password=found["anon"].password)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="CREATE TABLE may not run in a function"):
        await login.execute("CREATE TEMP TABLE t (a int)")
    await conn.execute("CREATE TABLE t (a int)")


async def test_the_services_login_cannot_read_passwords_or_say_who_the_caller_is(database):
    found = await logins.read(await database.connect())
    service = await database.connect(
        user=found["aerofn_service"].user, password=found["aerofn_service"].password
    )
    for refused in (
        "SELECT * FROM aerofn_internal.logins",
        "SELECT setval('aerofn_auth.caller_high', 1)",
        "SELECT aerofn_auth.begin_invocation('{}', 0)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.fetch(refused)
    assert await service.fetchval("SELECT count(*) FROM aerofn_internal.events") == 0


async def test_exposed_roles_may_call_little_of_aerofn(database):
    found = await (await database.connect()).fetch(
        """SELECT DISTINCT n.nspname || '.' || f.proname AS name FROM pg_proc f
        JOIN pg_namespace n ON n.oid = f.pronamespace, unnest(ARRAY['anon', 'authenticated', 'service_role']) r
        WHERE n.nspname ~ '^aerofn' AND has_schema_privilege(r, n.oid, 'USAGE')
          AND has_function_privilege(r, f.oid, 'EXECUTE') ORDER BY 1"""
    )
    assert {row["name"] for row in found} <= {
        "aerofn.invoke", "aerofn.jwt", "aerofn.uid", "aerofn.role",
        "aerofn_auth.caller", "aerofn_auth.parameter_types",
    }  # fmt: skip


@pytest.fixture
async def passwords_restored(database):
    """Logins belong to the whole server: other tests' databases know the passwords of before."""
    conn = await database.connect()
    before = await logins.read(conn)
    yield conn
    for login in before.values():
        fresh = json.dumps({"verifier": login.password, "password": login.password})
        await conn.execute("SELECT aerofn_internal.set_password($1::name, $2::jsonb)", login.user, fresh)


async def test_rotated_credentials(database, passwords_restored):
    conn = passwords_restored
    before = await logins.read(conn)
    assert await logins.rotate_credentials(conn) == 4
    after = await logins.read(conn)
    assert {role for role in after if after[role].password == before[role].password} == set()
    await database.connect(user=after["anon"].user, password=after["anon"].password)


async def test_a_server_that_refuses_verifiers_gets_the_password(database, passwords_restored):
    conn = passwords_restored
    if conn.get_server_version() < (18,):
        pytest.skip("older servers take any verifier for a plain password")
    key = base64.b64encode(bytes(32)).decode()
    too_long = f"SCRAM-SHA-256$4096:{base64.b64encode(bytes(600)).decode()}${key}:{key}"
    fresh = json.dumps({"verifier": too_long, "password": "plain"})
    login = (await logins.read(conn))["anon"].user
    await conn.execute("SELECT aerofn_internal.set_password($1::name, $2::jsonb)", login, fresh)
    await database.connect(user=login, password="plain")


async def test_an_existing_auth_uid_is_left_alone(empty_database):
    conn = await empty_database.connect()
    await conn.execute(
        "CREATE SCHEMA auth; CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'"
    )
    await migrate(conn, empty_database.settings())
    assert await conn.fetchval(
        "SELECT prosrc FROM pg_proc WHERE proname = 'uid' AND pronamespace = 'auth'::regnamespace"
    ) == ("SELECT NULL::uuid")
    assert await conn.fetchval("SELECT to_regprocedure('auth.jwt()') IS NOT NULL")
