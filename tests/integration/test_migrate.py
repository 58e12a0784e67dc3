"""Installing and updating the schema: order, checksums, two nodes at once, errors that name the place."""

import asyncio
from types import SimpleNamespace

import pytest

from aerofn import sql
from aerofn.db import migrate as subject
from aerofn.db.migrate import dry_run, migrate
from aerofn.errors import MigrationError
from aerofn.sql import Migration

SHIPPED = sql.migrations()
BOOTSTRAP = SHIPPED[0]


def migration(version: int, name: str, text: str) -> Migration:
    return Migration(version, name, text, sql.checksum(text))


@pytest.fixture
def files(monkeypatch):
    """Lets a test say which files AeroFn ships: the bootstrap and nothing else at first."""

    files = SimpleNamespace(migrations=[BOOTSTRAP], api=[])
    monkeypatch.setattr(sql, "migrations", lambda: files.migrations)
    monkeypatch.setattr(sql, "api", lambda: files.api)

    async def none(*_, **__):
        return 0

    monkeypatch.setattr(subject, "_install_roles", none)  # their SQL is in the files left out here
    monkeypatch.setattr(subject, "_harden", none)
    return files


async def test_installs_in_order_and_then_has_nothing_to_do(empty_database, files):
    files.migrations = [
        BOOTSTRAP,
        migration(1, "one", "CREATE TABLE aerofn_internal.one (a int);"),
        migration(2, "two", "ALTER TABLE aerofn_internal.one ADD COLUMN b int;"),
    ]
    conn = await empty_database.connect()
    report = await migrate(conn, empty_database.settings())
    assert report.applied == ["0000_bootstrap", "0001_one", "0002_two"]
    again = await migrate(conn, empty_database.settings())
    assert again == ([], False, 0, 0, None)
    rows = await conn.fetch(
        "SELECT version, name, checksum FROM aerofn_internal.schema_migrations ORDER BY version"
    )
    assert [tuple(row) for row in rows] == [(m.version, m.name, m.checksum) for m in files.migrations]


async def test_applies_only_what_is_missing(empty_database, files):
    conn = await empty_database.connect()
    await migrate(conn, empty_database.settings())
    files.migrations = [BOOTSTRAP, migration(1, "one", "CREATE TABLE aerofn_internal.one (a int);")]
    report = await migrate(conn, empty_database.settings())
    assert report.applied == ["0001_one"]
    assert await conn.fetchval("SELECT count(*) FROM aerofn_internal.one") == 0


async def test_the_api_is_applied_when_it_changed_and_only_then(empty_database, files):
    conn = await empty_database.connect()
    function = "CREATE OR REPLACE FUNCTION aerofn_internal.answer() RETURNS int LANGUAGE sql AS 'SELECT {}'"
    for text, refreshed, answer in [
        (function.format(1), True, 1),
        (function.format(1), False, 1),
        (function.format(2), True, 2),
    ]:
        files.api = [("10_answer.sql", text)]
        report = await migrate(conn, empty_database.settings())
        assert report.api_refreshed is refreshed
        assert await conn.fetchval("SELECT aerofn_internal.answer()") == answer


async def test_an_edited_migration_is_refused(empty_database, files):
    files.migrations = [BOOTSTRAP, migration(1, "one", "CREATE TABLE aerofn_internal.one (a int);")]
    conn = await empty_database.connect()
    await migrate(conn, empty_database.settings())
    files.migrations = [BOOTSTRAP, migration(1, "one", "CREATE TABLE aerofn_internal.one (a bigint);")]
    with pytest.raises(MigrationError, match=r"0001_one\.sql was changed") as caught:
        await migrate(conn, empty_database.settings())
    assert "put the change into a new one" in caught.value.hint
    with pytest.raises(MigrationError, match="was changed"):
        await dry_run(conn)


async def test_a_newer_database_is_left_alone(empty_database, files):
    known = [BOOTSTRAP]
    files.migrations = [*known, migration(1, "future", "CREATE TABLE aerofn_internal.future (a int);")]
    files.api = [
        ("10_f.sql", "CREATE OR REPLACE FUNCTION aerofn_internal.f() RETURNS int LANGUAGE sql AS 'SELECT 2'")
    ]
    conn = await empty_database.connect()
    await migrate(conn, empty_database.settings())
    files.migrations = known
    files.api = [
        ("10_f.sql", "CREATE OR REPLACE FUNCTION aerofn_internal.f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    ]
    report = await migrate(conn, empty_database.settings())
    assert report.applied == []
    assert "0001_future" in report.newer
    assert await conn.fetchval("SELECT aerofn_internal.f()") == 2


@pytest.mark.parametrize(("installed_by", "answer"), [("99.0.0", 2), ("0.0.1", 1)])
async def test_an_older_node_does_not_put_its_api_back(
    empty_database, files, monkeypatch, installed_by, answer
):
    function = "CREATE OR REPLACE FUNCTION aerofn_internal.f() RETURNS int LANGUAGE sql AS 'SELECT {}'"
    conn = await empty_database.connect()
    with monkeypatch.context() as other:
        other.setattr(subject, "__version__", installed_by)
        files.api = [("10_f.sql", function.format(2))]
        await migrate(conn, empty_database.settings())
    files.api = [("10_f.sql", function.format(1))]
    await migrate(conn, empty_database.settings())
    assert await conn.fetchval("SELECT aerofn_internal.f()") == answer


async def test_four_nodes_at_once(empty_database, files):
    files.migrations = [BOOTSTRAP, migration(1, "one", "CREATE TABLE aerofn_internal.one (a int);")]
    nodes = [await empty_database.connect() for _ in range(4)]
    reports = await asyncio.gather(*(migrate(node, empty_database.settings()) for node in nodes))
    assert sorted(len(report.applied) for report in reports) == [0, 0, 0, 2]


async def test_a_node_waits_for_the_one_before_it(empty_database, files):
    first, second, observer = [await empty_database.connect() for _ in range(3)]
    async with first.transaction():
        await first.execute(sql.queries("migrate").begin_migration)
        waiting = asyncio.create_task(migrate(second, empty_database.settings()))
        while not await observer.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        ):
            assert not waiting.done()
    assert (await waiting).applied == ["0000_bootstrap"]


async def test_an_error_names_file_state_and_line_and_changes_nothing(empty_database, files):
    files.migrations = [
        BOOTSTRAP,
        migration(1, "one", "CREATE TABLE aerofn_internal.é (a int);\n\nSELECT nowhere.f(1);\n"),
    ]
    conn = await empty_database.connect()
    with pytest.raises(MigrationError) as caught:
        await migrate(conn, empty_database.settings())
    assert caught.value.message.startswith("sql/migrations/0001_one.sql: ")
    assert "SQLSTATE 3F000, line 3" in caught.value.detail
    assert await conn.fetchval("SELECT to_regnamespace('aerofn_internal')") is None


async def test_an_error_inside_a_function_gives_its_context(empty_database, files):
    files.api = [("10_do.sql", "DO $$ BEGIN\n PERFORM 1;\n PERFORM 1/0;\nEND $$;")]
    conn = await empty_database.connect()
    with pytest.raises(MigrationError, match=r"sql/api/10_do\.sql: division by zero") as caught:
        await migrate(conn, empty_database.settings())
    assert "SQLSTATE 22012" in caught.value.detail
    assert "line 3 at PERFORM" in caught.value.detail


async def test_a_name_without_its_schema_is_an_error(empty_database, files):
    files.migrations = [BOOTSTRAP, migration(1, "one", "CREATE TABLE loose (a int);")]
    with pytest.raises(MigrationError, match="no schema has been selected"):
        await migrate(await empty_database.connect(), empty_database.settings())


async def test_the_connection_is_given_back_as_it_was(empty_database, files):
    conn = await empty_database.connect(server_settings={"statement_timeout": "4321"})
    path = await conn.fetchval("SHOW search_path")
    await migrate(conn, empty_database.settings())
    assert await conn.fetchval("SHOW statement_timeout") == "4321ms"
    assert await conn.fetchval("SHOW search_path") == path
    own = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    assert await conn.fetchval(own) == 0


async def test_dry_run_gives_the_text_and_changes_nothing(empty_database, files):
    files.migrations = [BOOTSTRAP, migration(1, "one", "CREATE TABLE aerofn_internal.one (a int);")]
    files.api = [
        ("10_f.sql", "CREATE OR REPLACE FUNCTION aerofn_internal.f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    ]
    conn = await empty_database.connect()
    script = await dry_run(conn)
    names = [line for line in script.splitlines() if line.startswith("-- sql/")]
    assert names == [
        "-- sql/migrations/0000_bootstrap.sql",
        "-- sql/migrations/0001_one.sql",
        "-- sql/api/10_f.sql",
    ]
    assert await conn.fetchval("SELECT to_regnamespace('aerofn_internal')") is None
    await migrate(conn, empty_database.settings())
    assert await dry_run(conn) == ""


async def test_the_files_of_this_aerofn_install_and_install_again(empty_database):
    conn = await empty_database.connect()
    report = await migrate(conn, empty_database.settings())
    assert report.applied == [f"{m.version:04}_{m.name}" for m in sql.migrations()]
    assert await migrate(conn, empty_database.settings()) == ([], False, False, 0, None)


async def test_while_a_dump_holds_the_keys_it_gives_up_and_can_be_run_again(empty_database, files):
    *before, caller = SHIPPED[: [m.name for m in SHIPPED].index("caller") + 1]
    impatient = caller.text.replace("'10s'", "'50ms'")
    assert impatient != caller.text
    files.migrations = before
    conn, dump = await empty_database.connect(), await empty_database.connect()
    await migrate(conn, empty_database.settings())
    files.migrations = [*before, migration(caller.version, caller.name, impatient)]
    async with dump.transaction():
        await dump.execute("LOCK TABLE aerofn_auth.claim_keys IN ACCESS SHARE MODE")
        with pytest.raises(MigrationError, match=r"0027_caller\.sql: .*lock timeout") as caught:
            await migrate(conn, empty_database.settings())
        assert "a dump (pg_dump) or a long transaction: run migrate again" in caught.value.hint
        assert "55P03" in caught.value.detail
        assert await dump.fetchval("SELECT count(*) FROM aerofn_auth.claim_keys") == 1
    assert (await migrate(conn, empty_database.settings())).applied == ["0027_caller"]
