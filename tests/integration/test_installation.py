"""From `aerofn migrate` to `aerofn uninstall`, by a superuser and by the master user of a managed server.

A managed server (RDS, Supabase, Neon) gives nobody a superuser: its master user has CREATEROLE and owns the
database. Everything has to work there too, and what is weaker has to be said.
"""

import asyncio
import json
import subprocess
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from structlog.testing import capture_logs

from aerofn.db import doctor
from aerofn.db.logins import rotate_credentials
from aerofn.db.migrate import migrate
from aerofn.db.uninstall import uninstall
from aerofn.errors import Conflict, NotAllowed, NotFound
from aerofn.model import Caller
from tests.conftest import Database, binaries

APPLICATION = """
CREATE TABLE notes (id int PRIMARY KEY, owner text NOT NULL, body text);
INSERT INTO notes VALUES (1, 'ann', 'hers'), (2, 'bob', 'his');
GRANT SELECT ON notes TO bystander;
CREATE FUNCTION add_one(n int) RETURNS int LANGUAGE sql AS 'SELECT n + 1';
REVOKE EXECUTE ON FUNCTION add_one(int) FROM PUBLIC;
"""
POLICY = """
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON notes USING (owner = (SELECT auth.uid()));
GRANT SELECT ON notes TO authenticated
"""
WITHOUT = """
DROP POLICY own ON notes; ALTER TABLE notes DISABLE ROW LEVEL SECURITY; REVOKE ALL ON notes FROM authenticated
"""
# Everything that says who may do what, and everything AeroFn could leave behind.
STATE = """
WITH acls AS (
  SELECT 'function ' || f.oid::regprocedure AS object, coalesce(f.proacl, acldefault('f', f.proowner)) AS acl
    FROM pg_proc f
  UNION ALL SELECT 'relation ' || c.oid::regclass,
      coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
    FROM pg_class c WHERE c.relkind NOT IN ('i', 't', 'I')
  UNION ALL SELECT format('column %s.%s', a.attrelid::regclass, a.attname), a.attacl
    FROM pg_attribute a WHERE a.attacl IS NOT NULL
  UNION ALL SELECT 'schema ' || n.nspname, coalesce(n.nspacl, acldefault('n', n.nspowner))
    FROM pg_namespace n WHERE n.nspname !~ '^pg_(toast_)?temp'
  UNION ALL SELECT 'type ' || t.oid::regtype, coalesce(t.typacl, acldefault('T', t.typowner)) FROM pg_type t
  UNION ALL SELECT 'language ' || l.lanname, coalesce(l.lanacl, acldefault('l', l.lanowner)) FROM pg_language l
  UNION ALL SELECT 'database', coalesce(d.datacl, acldefault('d', d.datdba))
    FROM pg_database d WHERE d.datname = current_database()
)
SELECT format('%s: %s %s%s', a.object, CASE e.grantee WHEN 0 THEN 'PUBLIC' ELSE e.grantee::regrole::text END,
              e.privilege_type, CASE WHEN e.is_grantable THEN ' with grant option' ELSE '' END)
FROM acls a, aclexplode(a.acl) e
UNION ALL SELECT format('role %s %s', r.rolname, row(r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb,
                        r.rolcanlogin, r.rolbypassrls, r.rolconnlimit, r.rolconfig)) FROM pg_roles r
UNION ALL SELECT format('%s in %s, %s', m.member::regrole, m.roleid::regrole, m.admin_option) FROM pg_auth_members m
UNION ALL SELECT format('setting %s %s %s', s.setdatabase, s.setrole, s.setconfig) FROM pg_db_role_setting s
UNION ALL SELECT 'event trigger ' || t.evtname FROM pg_event_trigger t
UNION ALL SELECT format('trigger %s on %s', t.tgname, t.tgrelid::regclass) FROM pg_trigger t WHERE NOT t.tgisinternal
UNION ALL SELECT 'default rights ' || d.defaclacl::text FROM pg_default_acl d
"""


async def state(conn):
    return {row[0] for row in await conn.fetch(STATE)}


@pytest.fixture(params=["superuser", "managed"])
async def place(request, second_server_url):
    """An application's database on a server that has never seen AeroFn; `place.url` is its owner's."""
    admin = await asyncpg.connect(second_server_url)
    await admin.execute(
        "CREATE ROLE managed LOGIN CREATEROLE CREATEDB PASSWORD 'managed'; CREATE ROLE bystander"
    )
    managed = request.param == "managed"
    await admin.execute(f"CREATE DATABASE app OWNER {'managed' if managed else 'postgres'}")
    url = urlsplit(second_server_url)._replace(path="/app")
    if managed:
        url = url._replace(netloc=f"managed:managed@{url.hostname}:{url.port}")
    database = Database(urlunsplit(url))
    database.managed = managed
    await (await database.connect()).execute(APPLICATION)
    yield database
    await database.close()
    await admin.execute("DROP DATABASE app WITH (FORCE)")
    left = await admin.fetchval(
        "SELECT array_agg(rolname) FROM pg_roles WHERE rolname ~ '^(aerofn|anon|auth|service)'"
    )
    for role in [*(left or []), "managed", "bystander"]:
        await admin.execute(f'DROP ROLE IF EXISTS "{role}"')
    await admin.close()
    assert left is None


async def notes_seen(node, sub):
    caller = Caller("authenticated", {"sub": sub})
    completed = await node.invoke("probe", {"do": "query", "queries": [["SELECT owner FROM notes"]]}, caller)
    assert completed.run.error is None, completed.run.error
    return {row["owner"] for row in json.loads(completed.run.output)[0]["rows"]}


async def registered(conn, probe):
    await conn.execute("SELECT aerofn.register_function('probe', $1)", probe)
    await conn.execute("SELECT aerofn.create_row_trigger('probe', 'notes', run_as => 'service_role')")


async def test_installed_used_and_taken_out(place, node_on, probe):
    conn, settings = await place.connect(), place.settings()
    before = await state(conn)
    await migrate(conn, settings)
    await conn.execute(POLICY)
    await registered(conn, probe)

    with capture_logs() as logs:
        async with node_on(place) as node:
            await node.parts.functions.settled("probe", 1, 60)
            assert await notes_seen(node, "ann") == {"ann"}
            told = [log["what"] for log in logs if log["event"] == "the database is not hardened"]
            weaker = [doctor.WEAKER] if place.managed else []
            assert (told, (await node.readiness()).warnings) == (weaker, weaker)
            with pytest.raises(Conflict, match="nodes are running"):
                await uninstall(conn)
    found = {finding.check for finding in await doctor.diagnose(conn, settings)}
    assert found == ({"not_hardened"} if place.managed else set())

    with pytest.raises(Conflict) as caught:
        await uninstall(conn)
    assert caught.value.detail == "policy own on table public.notes"
    await conn.execute(
        "DROP POLICY own ON notes; ALTER TABLE notes DISABLE ROW LEVEL SECURITY; REVOKE ALL ON notes FROM authenticated"
    )
    installed = await state(conn)
    await uninstall(conn, dry_run=True)
    assert await state(conn) == installed
    removed = await uninstall(conn)
    assert (len(removed.roles), removed.kept) == (10, {})
    after = await state(conn)
    assert (after - before, before - after) == (set(), set())
    with pytest.raises(NotFound):
        await uninstall(conn)


async def test_a_rotation_interrupts_nothing(place, second_server_url, node_on, probe):
    """Nodes run on while all passwords change, though every connection they have is closed as well."""
    conn = await place.connect()
    await migrate(conn, place.settings())
    await conn.execute(POLICY)
    await registered(conn, probe)
    superuser = await asyncpg.connect(second_server_url)
    async with node_on(place) as node:
        await node.parts.functions.settled("probe", 1, 60)
        for _ in range(2):
            first = node.parts.listener.node
            assert await rotate_credentials(conn) == 4
            assert await asyncio.gather(*(notes_seen(node, "ann") for _ in range(8))) == [{"ann"}] * 8
            await superuser.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = 'app' AND usename ~ '^aerofn'"
            )
            async with asyncio.timeout(60):
                while node.parts.listener.node in (None, first):
                    await asyncio.sleep(0.02)
            assert await asyncio.gather(*(notes_seen(node, "bob") for _ in range(8))) == [{"bob"}] * 8
    await superuser.close()
    await conn.execute(WITHOUT)
    await uninstall(conn)


async def test_a_service_that_may_read_its_logins_and_nothing_else(place, second_server_url, node_on, probe):
    """What docs/operating.md grants."""
    conn = await place.connect()
    await migrate(conn, place.settings())
    await conn.execute(POLICY)
    await registered(conn, probe)
    superuser = await asyncpg.connect(second_server_url)
    await superuser.execute("CREATE ROLE aerofn_node LOGIN PASSWORD 'node'")
    try:
        await conn.execute("GRANT USAGE ON SCHEMA aerofn_internal TO aerofn_node")
        await conn.execute("GRANT SELECT ON aerofn_internal.logins TO aerofn_node")
        there = urlsplit(place.url)
        url = urlunsplit(there._replace(netloc=f"aerofn_node:node@{there.hostname}:{there.port}"))
        async with node_on(Database(url), migrate=False) as node:
            await node.parts.functions.settled("probe", 1, 60)
            assert await notes_seen(node, "ann") == {"ann"}
        await conn.execute(WITHOUT)
        await uninstall(conn)
    finally:
        await superuser.execute("DROP ROLE IF EXISTS aerofn_node")
        await superuser.close()


async def test_a_restored_database_is_made_whole_by_migrating(place, second_server_url, node_on, probe):
    """Its functions have other ids, as on another server, so that an executor is no longer the one that was sealed."""
    if place.managed:
        pytest.skip("rights are given back to what a superuser's dump holds")
    conn = await place.connect()
    await migrate(conn, place.settings())
    await conn.execute(POLICY)
    await registered(conn, probe)
    superuser = await asyncpg.connect(second_server_url)
    await superuser.execute("CREATE DATABASE again")
    again = Database(urlunsplit(urlsplit(second_server_url)._replace(path="/again")))
    try:
        await asyncio.to_thread(restore, place.url, again.url)
        restored = await again.connect()
        found = {finding.check for finding in await doctor.diagnose(restored, again.settings())}
        assert found == {"not_hardened", "altered_executor"}
        report = await migrate(restored, again.settings())
        assert (report.applied, report.api_refreshed, report.roles_made, report.hardened > 0) == (
            [], False, True, True,
        )  # fmt: skip
        assert await doctor.diagnose(restored, again.settings()) == []
        async with node_on(again) as node:
            await node.parts.functions.settled("probe", 1, 60)
            assert await notes_seen(node, "bob") == {"bob"}
        await conn.execute(WITHOUT)
        await uninstall(conn)
        await restored.execute(WITHOUT)
        await uninstall(restored)
    finally:
        await again.close()
        await superuser.execute("DROP DATABASE again WITH (FORCE)")
        await superuser.close()


def restore(source, target):
    """As from a backup: `pg_dump`, then psql."""
    dumped = subprocess.run([binaries() / "pg_dump", source], capture_output=True, check=True, timeout=60)
    psql = [binaries() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", target]
    subprocess.run(psql, input=dumped.stdout, capture_output=True, check=True, timeout=60)


async def test_roles_of_others_are_kept(place):
    """An exposed role that was there before, and one that a table's grant still needs."""
    conn = await place.connect()
    await conn.execute("CREATE ROLE anon")
    await migrate(conn, place.settings())
    await conn.execute("GRANT SELECT ON notes TO authenticated")
    removed = await uninstall(conn)
    assert "anon" not in removed.roles
    assert removed.kept == {"authenticated": "privileges for table public.notes"}
    await conn.execute("REVOKE ALL ON notes FROM authenticated; DROP ROLE anon, authenticated")


async def test_who_may_not_give_back_does_not_begin(place, second_server_url):
    if not place.managed:
        pytest.skip("a superuser may")
    conn = await place.connect()
    await migrate(conn, place.settings())
    superuser = await asyncpg.connect(urlunsplit(urlsplit(second_server_url)._replace(path="/app")))
    await migrate(superuser, place.settings())
    with pytest.raises(NotAllowed, match="only one can give back"):
        await uninstall(conn)
    await uninstall(superuser)
    await superuser.close()
