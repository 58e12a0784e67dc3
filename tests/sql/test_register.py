"""aerofn.register_function() and its kin, as psql sees them: what is wrong is said, with what to do next."""

import asyncpg
import pytest

COMPONENT = bytes.fromhex("0061736d0d000100")
CORE_MODULE = bytes.fromhex("0061736d01000000")
REGISTER = "SELECT aerofn.register_function($1, $2)"


@pytest.fixture
async def conn(database):
    return await database.connect()


async def complaint(conn, statement, *arguments):
    """The error that a statement must end in."""
    with pytest.raises(asyncpg.PostgresError) as caught:
        await conn.fetch(statement, *arguments)
    return caught.value


async def register(conn, name="f", wasm=COMPONENT, ready=True):
    number = await conn.fetchval(REGISTER, name, wasm)
    if ready:
        await conn.execute(
            "SELECT aerofn_internal.compiled(id, NULL) FROM aerofn_internal.versions WHERE status = 'compiling'"
        )
    return number


@pytest.mark.parametrize("name", ["", "1st", "two words", "a.b", "a/b", "é", "x" * 64, "deploy", None])
async def test_a_name_must_be_a_slug(conn, name):
    error = await complaint(conn, REGISTER, name, COMPONENT)
    assert error.sqlstate == "42602"
    assert "cannot name a function" in error.message
    assert "letter" in error.hint


@pytest.mark.parametrize("wasm", [b"", b"hello", b"AGFzbQ0AAQA=", b"\0asm", None])
async def test_bytes_that_are_no_webassembly(conn, wasm):
    error = await complaint(conn, REGISTER, "f", wasm)
    assert "no WebAssembly" in error.message
    assert "component" in error.hint


async def test_a_core_module_is_told_how_to_become_a_component(conn):
    error = await complaint(conn, REGISTER, "f", CORE_MODULE)
    assert "core WebAssembly module" in error.message
    assert "wasm-tools component new" in error.hint


async def test_a_binary_of_an_unknown_version(conn):
    error = await complaint(conn, REGISTER, "f", bytes.fromhex("0061736d0c000100"))
    assert "unknown version (0c000100)" in error.message


@pytest.mark.parametrize(
    ("option", "value"),
    [("timeout_ms", 0), ("timeout_ms", 900_001), ("memory_mb", 0), ("memory_mb", 4097)],
)
async def test_limits_out_of_range(conn, option, value):
    error = await complaint(
        conn, f"SELECT aerofn.register_function('f', $1, {option} => $2)", COMPONENT, value
    )
    assert f"{option} is {value}, outside" in error.message
    assert "default" in error.hint


@pytest.mark.parametrize("option", ["roles => '{anon,nobody}'", "run_as => 'nobody'"])
async def test_roles_that_are_not_exposed(conn, option):
    error = await complaint(conn, f"SELECT aerofn.register_function('f', $1, {option})", COMPONENT)
    assert "'nobody'" in error.message
    assert "anon, authenticated, service_role" in error.hint


async def test_the_service_itself_is_no_role_to_act_as(conn):
    error = await complaint(
        conn, "SELECT aerofn.register_function('f', $1, run_as => 'aerofn_service')", COMPONENT
    )
    assert error.sqlstate == "22023"


async def test_versions_count_up_and_the_same_again_is_the_same(conn):
    assert [await register(conn) for _ in range(3)] == [1, 1, 1]
    other = COMPONENT + b"\0\4\3abc"
    assert [await register(conn, wasm=other), await register(conn, wasm=COMPONENT)] == [2, 3]
    changed = await conn.fetchval("SELECT aerofn.register_function('f', $1, timeout_ms => 5)", COMPONENT)
    assert changed == 4


async def test_compiling_then_ready_then_active(conn):
    await register(conn, ready=False)
    before = await conn.fetchrow("SELECT status, active_version FROM aerofn.functions")
    assert tuple(before) == ("compiling", None)
    await register(conn)
    after = await conn.fetchrow("SELECT status, active_version FROM aerofn.functions")
    assert tuple(after) == ("ready", 1)


async def test_a_version_that_fails_does_not_replace_one_that_works(conn):
    await register(conn)
    await register(conn, wasm=COMPONENT + b"\0\4\3abc", ready=False)
    problem = '{"code": "invalid_component", "message": "it has no handle", "hint": "export one"}'
    await conn.execute(
        "SELECT aerofn_internal.compiled(id, $1::jsonb) FROM aerofn_internal.versions WHERE number = 2",
        problem,
    )
    row = await conn.fetchrow(
        "SELECT status, active_version, newest_version, error, hint FROM aerofn.functions"
    )
    assert tuple(row) == ("failed", 1, 2, "it has no handle", "export one")
    error = await complaint(conn, "SELECT aerofn.activate_version('f', 2)")
    assert (error.detail, error.sqlstate) == ("it has no handle", "55000")


async def test_a_slow_compile_does_not_undo_a_newer_version(conn):
    await register(conn, ready=False)
    await register(conn, wasm=COMPONENT + b"\0\4\3abc", ready=False)
    for number in (2, 1):
        await conn.execute(
            "SELECT aerofn_internal.compiled(id, NULL) FROM aerofn_internal.versions WHERE number = $1",
            number,
        )
    assert await conn.fetchval("SELECT active_version FROM aerofn.functions") == 2


async def test_rollback_to_an_earlier_version(conn):
    await register(conn)
    await register(conn, wasm=COMPONENT + b"\0\4\3abc")
    await conn.execute("SELECT aerofn.activate_version('f', 1)")
    assert await conn.fetchval("SELECT active_version FROM aerofn.functions") == 1
    assert (
        await complaint(conn, "SELECT aerofn.activate_version('f', 9)")
    ).message == "function 'f' has no version 9"
    assert "'g'" in (await complaint(conn, "SELECT aerofn.activate_version('g', 1)")).message


async def test_drop_refuses_while_something_starts_it(conn):
    await register(conn)
    await conn.execute("CREATE TABLE t (a int); SELECT aerofn.create_row_trigger('f', 't')")
    error = await complaint(conn, "SELECT aerofn.drop_function('f')")
    assert "f_on_t" in error.message
    assert "drop_trigger" in error.hint
    await conn.execute("INSERT INTO t VALUES (1); SELECT aerofn.drop_trigger('f_on_t')")
    error = await complaint(conn, "SELECT aerofn.drop_function('f')")
    assert error.message == "1 events of function 'f' are still to run"
    await conn.execute("SELECT aerofn.discard(id) FROM aerofn.events; SELECT aerofn.drop_function('f')")
    assert await conn.fetchval("SELECT count(*) FROM aerofn.versions") == 0
    # Its component goes later, for nodes that have not heard yet; registered meanwhile, it is in use again.
    unused = "SELECT unused_since IS NOT NULL FROM aerofn_internal.components"
    assert await conn.fetchval(unused) is True
    assert "'f'" in (await complaint(conn, "SELECT aerofn.drop_function('f')")).message
    await register(conn)
    assert await conn.fetchval(unused) is False


async def test_only_admins_may_register(database, conn):
    await conn.execute("SET ROLE anon")
    assert (await complaint(conn, REGISTER, "f", COMPONENT)).sqlstate == "42501"
    await conn.execute("RESET ROLE; CREATE ROLE dev_of_this_test; GRANT aerofn_admin TO dev_of_this_test")
    try:
        await conn.execute("SET ROLE dev_of_this_test")
        assert await conn.fetchval(REGISTER, "f", COMPONENT) == 1
        assert await conn.fetchval("SELECT author FROM aerofn.versions") == "postgres"
    finally:
        await conn.execute("RESET ROLE; DROP ROLE dev_of_this_test")


async def test_registration_is_part_of_its_transaction(conn):
    with pytest.raises(ZeroDivisionError):
        async with conn.transaction():
            await register(conn, ready=False)
            raise ZeroDivisionError
    assert await conn.fetchval("SELECT count(*) FROM aerofn.functions") == 0
