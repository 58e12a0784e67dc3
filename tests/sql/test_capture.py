"""Row triggers: what is captured of which change, in the writer's own transaction."""

import json

import asyncpg
import pytest

COMPONENT = bytes.fromhex("0061736d0d000100")


@pytest.fixture
async def conn(database):
    conn = await database.connect()
    await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
    return conn


async def attach(conn, table, options=""):
    return await conn.fetchval(f"SELECT aerofn.create_row_trigger('f', $1 {options})", table)


async def events(conn):
    rows = await conn.fetch("SELECT operation, record, old_record FROM aerofn.events ORDER BY id")
    return [(r[0], *(None if part is None else json.loads(part) for part in r[1:])) for r in rows]


async def complaint(conn, statement, *arguments):
    with pytest.raises(asyncpg.PostgresError) as caught:
        await conn.fetch(statement, *arguments)
    return caught.value


async def test_insert_update_delete(conn):
    await conn.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    assert await attach(conn, "t") == "f_on_t"
    await conn.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    await conn.execute("UPDATE t SET v = 'c' WHERE id = 1")
    await conn.execute("DELETE FROM t WHERE id = 2")
    assert await events(conn) == [
        ("INSERT", {"id": 1, "v": "a"}, None),
        ("INSERT", {"id": 2, "v": "b"}, None),
        ("UPDATE", {"id": 1, "v": "c"}, {"id": 1, "v": "a"}),
        ("DELETE", None, {"id": 2, "v": "b"}),
    ]


async def test_only_the_events_asked_for(conn):
    await conn.execute("CREATE TABLE t (a int)")
    await attach(conn, "t", ", events => '{delete}'")
    await conn.execute("INSERT INTO t VALUES (1); UPDATE t SET a = 2; DELETE FROM t")
    assert [e[0] for e in await events(conn)] == ["DELETE"]


async def test_a_rolled_back_write_leaves_nothing(conn):
    await conn.execute("CREATE TABLE t (a int)")
    await attach(conn, "t")
    transaction = conn.transaction()
    await transaction.start()
    await conn.execute("INSERT INTO t VALUES (1)")
    assert len(await events(conn)) == 1
    await transaction.rollback()
    assert await events(conn) == []


async def test_a_statement_without_rows_leaves_nothing(conn):
    await conn.execute("CREATE TABLE t (a int)")
    await attach(conn, "t")
    await conn.execute("INSERT INTO t SELECT 1 WHERE false; DELETE FROM t; UPDATE t SET a = 1")
    assert await events(conn) == []


async def test_quoted_and_non_ascii_names(conn):
    await conn.execute(
        """CREATE SCHEMA "Größe x"; CREATE TABLE "Größe x"."Täb""le" ("Spalte é" int, "select" text)"""
    )
    assert await attach(conn, '"Größe x"."Täb""le"') == 'f_on_Täb"le'
    await conn.execute("""INSERT INTO "Größe x"."Täb""le" VALUES (1, 'ü')""")
    assert await events(conn) == [("INSERT", {"Spalte é": 1, "select": "ü"}, None)]
    row = await conn.fetchrow('SELECT "schema", "table" FROM aerofn.triggers')
    assert tuple(row) == ("Größe x", 'Täb"le')


async def test_partitions_whichever_way_rows_come_in(conn):
    await conn.execute(
        "CREATE TABLE p (id int, v text) PARTITION BY RANGE (id);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)"
    )
    await attach(conn, "p")
    await conn.execute("INSERT INTO p VALUES (1, 'a'), (11, 'b'); INSERT INTO p1 VALUES (2, 'c')")
    await conn.execute("UPDATE p SET v = 'z' WHERE id = 11; DELETE FROM p2")
    captured = await events(conn)
    assert [e[0] for e in captured] == ["INSERT", "INSERT", "INSERT", "UPDATE", "DELETE"]
    assert captured[3] == ("UPDATE", {"id": 11, "v": "z"}, {"id": 11, "v": "b"})


async def test_a_partition_by_itself(conn):
    await conn.execute(
        "CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)"
    )
    await attach(conn, "p1")
    await conn.execute("INSERT INTO p VALUES (1)")
    assert await events(conn) == [("INSERT", {"id": 1}, None)]


async def test_column_types_keep_every_digit_and_zone(conn):
    await conn.execute(
        """CREATE TYPE mood AS ENUM ('ok', 'bad');
        CREATE TABLE t (a int, big bigint, n numeric, ts timestamptz, d date, i interval, j jsonb, arr int[],
          txt text[][], m mood, b bytea, f float8, u uuid, bool boolean,
          stored int GENERATED ALWAYS AS (a * 2) STORED, PRIMARY KEY (a, big))"""
    )
    await attach(conn, "t")
    # The writer's own settings must not show in the event.
    await conn.execute(
        "SET timezone = 'Asia/Tokyo'; SET bytea_output = 'escape'; SET intervalstyle = 'iso_8601'"
    )
    await conn.execute(
        r"""INSERT INTO t VALUES (3, 9007199254740993, 12345678901234567890.12345, '2024-02-29 12:00:00.123456+00',
          '2024-02-29', '1 day 2 hours', '{"k": [1, null]}', '{1,NULL}', '{{a,"b,c"}}', 'ok', '\x00ff', 0.1,
          '5f3a0f5e-6d3a-4f6e-9d2f-0d8b2c6a4f11', true)"""
    )
    text = await conn.fetchval("SELECT record::text FROM aerofn.events")
    assert '"big":9007199254740993' in text
    assert '"n":12345678901234567890.12345' in text
    record = json.loads(text)
    assert record["ts"] == "2024-02-29T12:00:00.123456+00:00"
    assert (record["d"], record["i"], record["b"]) == ("2024-02-29", "1 day 02:00:00", r"\x00ff")
    assert (record["j"], record["arr"], record["txt"]) == ({"k": [1, None]}, [1, None], [["a", "b,c"]])
    assert (record["m"], record["f"], record["bool"], record["stored"]) == ("ok", 0.1, True, 6)


async def test_virtual_generated_columns(conn):
    if conn.get_server_version().major < 18:
        pytest.skip("virtual generated columns came with PostgreSQL 18")
    await conn.execute('CREATE TABLE t (a int, "B c" int, total int GENERATED ALWAYS AS (a * "B c") VIRTUAL)')
    await attach(conn, "t")
    await conn.execute("INSERT INTO t VALUES (2, 3); UPDATE t SET a = 4; DELETE FROM t")
    first, second = {"a": 2, "B c": 3, "total": 6}, {"a": 4, "B c": 3, "total": 12}
    assert await events(conn) == [
        ("INSERT", first, None),
        ("UPDATE", second, first),
        ("DELETE", None, second),
    ]


async def test_rows_of_megabytes(conn):
    await conn.execute("CREATE TABLE t (a text)")
    await attach(conn, "t")
    await conn.execute("INSERT INTO t SELECT string_agg(md5(i::text), '') FROM generate_series(1, 150000) i")
    await conn.execute("UPDATE t SET a = a || 'x'")
    sizes = await conn.fetch("SELECT length(record::text) FROM aerofn.events")
    assert all(row[0] > 4_800_000 for row in sizes)


async def test_a_condition(conn):
    await conn.execute("CREATE TABLE t (id int, status text)")
    await attach(conn, "t", """, '{INSERT,UPDATE}', "when" => $$NEW.status = 'paid'$$""")
    await conn.execute(
        "INSERT INTO t VALUES (1, 'new'), (2, 'paid'); UPDATE t SET status = 'paid' WHERE id = 1"
    )
    assert [(e[0], e[1]["id"]) for e in await events(conn)] == [("INSERT", 2), ("UPDATE", 1)]


async def test_columns_means_that_one_of_them_changed(conn):
    await conn.execute("CREATE TABLE t (id int, status text, doc json)")
    await attach(conn, "t", ", '{UPDATE}', columns => '{status,doc}'")
    await conn.execute("INSERT INTO t VALUES (1, 'a', '{}')")
    await conn.execute("UPDATE t SET id = 2; UPDATE t SET status = status; UPDATE t SET status = 'b'")
    await conn.execute("UPDATE t SET doc = '[]'; UPDATE t SET status = NULL")
    assert [e[1]["status"] for e in await events(conn)] == ["b", "b", None]


@pytest.mark.parametrize(
    "condition", ["NEW.nix = 1", "true) OR (", "NEW.id", "OLD.id = 1 AND NEW.id ~ 'x'", "(SELECT true)"]
)
async def test_a_condition_that_does_not_work_is_explained_and_leaves_nothing(conn, condition):
    await conn.execute("CREATE TABLE t (id int)")
    error = await complaint(
        conn, """SELECT aerofn.create_row_trigger('f', 't', '{UPDATE}', "when" => $1)""", condition
    )
    assert error.message.startswith("the condition does not work: ")
    assert (error.detail, "SQL over NEW" in error.hint) == (condition, True)
    assert await conn.fetchval("SELECT count(*) FROM aerofn.triggers") == 0


async def test_disabled_enabled_and_dropped(conn):
    await conn.execute("CREATE TABLE t (a int)")
    await attach(conn, "t")
    await conn.execute("SELECT aerofn.disable_trigger('f_on_t'); INSERT INTO t VALUES (1)")
    await conn.execute("SELECT aerofn.enable_trigger('f_on_t'); INSERT INTO t VALUES (2)")
    await conn.execute("SELECT aerofn.drop_trigger('f_on_t'); INSERT INTO t VALUES (3)")
    assert [e[1]["a"] for e in await events(conn)] == [2]
    assert await conn.fetchval("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'aerofn%'") == 0


async def test_who_does_not_own_the_table_can_attach_and_detach_with_the_trigger_right(conn):
    await conn.execute(
        "CREATE TABLE t (a int); CREATE ROLE guest_of_this_test; GRANT aerofn_admin TO guest_of_this_test"
    )
    try:
        await conn.execute("SET ROLE guest_of_this_test")
        error = await complaint(conn, "SELECT aerofn.create_row_trigger('f', 't')")
        assert (error.sqlstate, "GRANT TRIGGER ON t TO guest_of_this_test" in error.hint) == ("42501", True)
        await conn.execute(
            "RESET ROLE; GRANT TRIGGER, INSERT ON t TO guest_of_this_test; SET ROLE guest_of_this_test"
        )
        await conn.execute("SELECT aerofn.create_row_trigger('f', 't', '{INSERT}'); INSERT INTO t VALUES (1)")
        await conn.execute("SELECT aerofn.drop_trigger('f_on_t'); INSERT INTO t VALUES (2)")
        await conn.execute("RESET ROLE")
        assert [e[1]["a"] for e in await events(conn)] == [1]
    finally:
        await conn.execute("RESET ROLE; DROP OWNED BY guest_of_this_test; DROP ROLE guest_of_this_test")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("'f', 'nix'", "there is no table 'nix'"),
        ("'f', 'a b c'", "there is no table 'a b c'"),
        ("'f', NULL", "there is no table NULL"),
        ("'f', 'v'", "v is not a table"),
        ("'f', 'pg_class'", "pg_class belongs to the system"),
        ("'f', 'aerofn_internal.events'", "aerofn_internal.events belongs to the system"),
        ("'nix', 't'", "there is no function 'nix'"),
        ("'f', 't', '{TRUNCATE}'", "events are {TRUNCATE}"),
        ("'f', 't', '{}'", "events are {}"),
        ("'f', 't', run_as => 'postgres'", "role 'postgres' is not one that functions may act as"),
        ("'f', 't', max_attempts => 0", "max_attempts is 0"),
        ("'f', 't', columns => '{nix}'", "table t has no column 'nix'"),
    ],
)
async def test_arguments_that_cannot_be_right(conn, call, message):
    await conn.execute("CREATE TABLE t (a int); CREATE VIEW v AS SELECT 1 AS a")
    error = await complaint(conn, f"SELECT aerofn.create_row_trigger({call})")
    assert message in error.message


async def test_a_name_that_is_taken(conn):
    await conn.execute("CREATE TABLE t (a int)")
    await attach(conn, "t")
    error = await complaint(conn, "SELECT aerofn.create_row_trigger('f', 't')")
    assert ("already" in error.message, "name =>" in error.hint) == (True, True)
    assert await attach(conn, "t", ", name => 'second'") == "second"


async def test_who_an_event_acts_as(conn):
    await conn.execute(
        "CREATE TABLE t (a int); GRANT INSERT ON t TO authenticated; CREATE ROLE writer_of_this_test"
    )
    try:
        await attach(conn, "t", ", name => 'plain'")
        await attach(conn, "t", ", name => 'set', run_as => 'service_role'")
        await attach(conn, "t", ", name => 'causer', run_as => 'causer'")
        await conn.execute("GRANT INSERT ON t TO writer_of_this_test")
        for role in ("authenticated", "writer_of_this_test"):
            await conn.execute(f"SET ROLE {role}; INSERT INTO t VALUES (1); RESET ROLE")
        rows = await conn.fetch('SELECT "trigger", role, claims FROM aerofn.events ORDER BY id')
        # A writer whose role is not exposed is the least privileged one, never more.
        assert sorted(tuple(r) for r in rows) == [
            ("causer", "anon", None),
            ("causer", "authenticated", None),
            ("plain", "anon", None),
            ("plain", "anon", None),
            ("set", "service_role", None),
            ("set", "service_role", None),
        ]
    finally:
        await conn.execute("RESET ROLE; DROP OWNED BY writer_of_this_test; DROP ROLE writer_of_this_test")


async def test_a_hostile_search_path_changes_nothing(conn):
    await conn.execute(
        """CREATE SCHEMA evil; CREATE TABLE evil.events (LIKE aerofn_internal.events);
        CREATE FUNCTION evil.row_to_json(anyelement) RETURNS json LANGUAGE sql AS $$ SELECT '"evil"'::json $$;
        CREATE TABLE t (a int)"""
    )
    await attach(conn, "t")
    await conn.execute("SET search_path = evil, pg_catalog, public; INSERT INTO public.t VALUES (1)")
    assert await events(conn) == [("INSERT", {"a": 1}, None)]


async def test_a_dropped_table_takes_its_database_triggers_along(conn):
    await conn.execute("CREATE TABLE t (a int)")
    await attach(conn, "t")
    await conn.execute("INSERT INTO t VALUES (1); DROP TABLE t")
    row = await conn.fetchrow('SELECT "table", enabled FROM aerofn.triggers')
    assert tuple(row) == ("t", False)
    await conn.execute("SELECT aerofn.drop_trigger('f_on_t')")
    assert len(await events(conn)) == 1
