"""Secrets: sealed wherever they rest, read by those that were granted them, and in nothing the service says."""

import asyncio
import json

import asyncpg
import pytest

from aerofn.db import rotation
from aerofn.db.sealing import PublicKey, Wrapping, new_private_key
from aerofn.errors import Conflict, HostError, InvalidRequest, SettingsError
from aerofn.model import Outcome

OLD, NEW = "an old key of at least 32 characters", "a newer key of at least 32 characters"
VALUE = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"


@pytest.fixture(scope="session")
def private():
    """A key pair for the session's tests: making one takes a second."""
    return new_private_key()


@pytest.fixture
async def keyed(conn, private):
    """A database that has its key pair already."""
    modulus = str(private.public_key().public_numbers().n)
    wrapped = Wrapping([OLD]).wrap(private)
    await conn.execute("SELECT aerofn_internal.offer_key_pair($1::text::numeric, $2)", modulus, wrapped)
    return conn


async def read(node, *keys):
    completed = await node.invoke("probe", {"do": "env", "keys": list(keys)})
    assert completed.run.outcome is Outcome.SUCCESS, completed.record
    return json.loads(completed.run.output)


async def test_set_granted_read_changed_removed(keyed, node_of, probe):
    await keyed.execute("SELECT aerofn.register_function('probe', $1, env => '{STRIPE,BOTH,PLAIN}')", probe)
    async with node_of(secret_key=OLD, env={"BOTH": "environment", "PLAIN": "plain"}) as node:
        assert await read(node, "STRIPE", "BOTH") == [None, "environment"]
        await keyed.execute(
            "SELECT aerofn.set_secret('STRIPE', $1), aerofn.set_secret('OTHER', 'not granted')", VALUE
        )
        await until(
            lambda: read(node, "STRIPE", "OTHER", "BOTH", "PLAIN"), [VALUE, None, "environment", "plain"]
        )
        await node.parts.secrets.set("BOTH", "é" * 5000, "ada")
        await until(lambda: read(node, "BOTH"), ["é" * 5000])
        await keyed.execute("SELECT aerofn.drop_secret('STRIPE')")
        await until(lambda: read(node, "STRIPE", "BOTH"), [None, "é" * 5000])


async def until(look, wanted):
    """Wait until it is as wanted: what is set is live within a second."""
    async with asyncio.timeout(30):
        while await look() != wanted:
            await asyncio.sleep(0.01)


async def test_what_can_be_seen_of_it(keyed):
    made = await keyed.fetchval("SELECT aerofn.set_secret('STRIPE', $1)", VALUE)
    again = await keyed.fetchval("SELECT aerofn.set_secret('STRIPE', $1)", VALUE)
    assert made != again  # a fingerprint says nothing of the value
    (row,) = await keyed.fetch("SELECT * FROM aerofn.secrets")
    assert (row["name"], row["fingerprint"], row["author"]) == ("STRIPE", again, "postgres")
    assert row["updated_at"] > row["created_at"]
    assert VALUE not in str(await keyed.fetch("SELECT s::text FROM aerofn_internal.secrets s"))


async def test_no_file_of_the_server_ever_holds_it(keyed, node_of):
    """Neither tables nor WAL: those are what backups and replicas are made of."""
    value = b"a value that is in no file of the server: 8d0cc1f2"
    await keyed.execute("SELECT aerofn.set_secret('DEEP', $1)", value.decode())
    async with node_of(secret_key=OLD) as node:
        await node.parts.secrets.set("OVER_HTTP", value.decode(), "ada")
    await keyed.execute("CREATE TABLE control (t text); CHECKPOINT")
    await keyed.execute("INSERT INTO control VALUES ('control ' || $1)", value.decode()[::-1])
    await keyed.execute("CHECKPOINT")
    holding = """SELECT count(*) FROM (
        SELECT pg_read_binary_file('pg_wal/' || name) AS content FROM pg_ls_waldir() UNION ALL
        SELECT pg_read_binary_file(pg_relation_filepath(oid)) FROM pg_class WHERE pg_relation_filepath(oid) IS NOT NULL
    ) files WHERE position($1::bytea IN content) > 0"""
    assert await keyed.fetchval(holding, value[::-1]) > 0  # what is in a table is found this way
    assert await keyed.fetchval(holding, value) == 0


async def test_a_sealed_text_opens_under_its_own_name_only(keyed, node_of, probe):
    await keyed.execute("SELECT aerofn.register_function('probe', $1, env => '{A,B}')", probe)
    await keyed.execute("SELECT aerofn.set_secret('A', $1), aerofn.set_secret('B', 'another value')", VALUE)
    await keyed.execute(
        """UPDATE aerofn_internal.secrets SET sealed = (SELECT sealed FROM aerofn_internal.secrets WHERE name = 'A')
        WHERE name = 'B'"""
    )
    async with node_of(secret_key=OLD) as node:
        with pytest.raises(HostError, match="secret B cannot be opened"):
            await node.invoke("probe", {"do": "raw"})


async def test_sealed_outside_the_database(keyed, node_of, probe):
    public = PublicKey(
        *(int(value) for value in (await keyed.fetch("SELECT * FROM aerofn.sealing_key()"))[0])
    )
    await keyed.execute("SELECT aerofn.set_secret('A', sealed => $1)", public.seal("A", VALUE))
    await keyed.execute("SELECT aerofn.register_function('probe', $1, env => '{A}')", probe)
    async with node_of(secret_key=f"{NEW},{OLD}") as node:
        assert await read(node, "A") == [VALUE]
    with pytest.raises(asyncpg.InvalidParameterValueError, match="another key"):
        elsewhere = PublicKey(public.pair + 1, public.modulus).seal("A", VALUE)
        await keyed.execute("SELECT aerofn.set_secret('A', sealed => $1)", elsewhere)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("'1BAD', 'long enough'", "this name"),
        ("NULL, 'long enough'", "this name"),
        ("'SHORT', '1234567'", "8 to 16384 bytes"),
        ("'LONG', repeat('x', 16385)", "8 to 16384 bytes"),
        ("'NONE'", "either"),
        ("'BOTH', 'long enough', 'sealed:1:1:x'", "either"),
        ("'BAD', sealed => 'sealed:1:1:not a sealed text'", "no sealed text"),
    ],
)
async def test_what_cannot_be_right_is_refused(keyed, arguments, message):
    with pytest.raises(asyncpg.PostgresError, match=message) as caught:
        await keyed.execute(f"SELECT aerofn.set_secret({arguments})")
    assert "long enough" not in str(caught.value.as_dict())
    assert caught.value.as_dict()["hint" if "either" not in message else "message"]


async def test_only_admins_set_and_nobody_reads(keyed, database):
    await keyed.execute("SELECT aerofn.set_secret('A', $1)", VALUE)
    for role, allowed in (("aerofn_admin", True), ("service_role", False), ("authenticated", False)):
        await keyed.execute(f"SET ROLE {role}")
        for statement, may in (
            ("SELECT aerofn.set_secret('B', 'long enough')", allowed),
            ("SELECT * FROM aerofn.secrets", allowed),
            ("SELECT * FROM aerofn_internal.secrets", False),
            ("SELECT * FROM aerofn_internal.key_pairs", False),
            ("SELECT aerofn_internal.seal('A', 'long enough')", False),
        ):
            if may:
                await keyed.execute(statement)
            else:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await keyed.execute(statement)
        await keyed.execute("RESET ROLE")


async def test_the_first_nodes_make_one_key_pair(conn, node_of, probe):
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="no key to seal"):
        await conn.execute("SELECT aerofn.set_secret('A', $1)", VALUE)
    async with node_of(secret_key=NEW) as one, node_of(secret_key=f"{OLD},{NEW}") as two:
        assert await conn.fetchval("SELECT count(*) FROM aerofn_internal.key_pairs") == 1
        await conn.execute("SELECT aerofn.register_function('probe', $1, env => '{A}')", probe)
        await one.parts.secrets.set("A", VALUE, "ada")
        await until(lambda: read(two, "A"), [VALUE])


async def test_a_wrong_key_and_none(keyed, node_of, probe):
    await keyed.execute("SELECT aerofn.set_secret('A', $1)", VALUE)
    await keyed.execute("SELECT aerofn.register_function('probe', $1, env => '{A}')", probe)
    with pytest.raises(SettingsError, match="does not open"):
        async with node_of(secret_key=NEW):
            pass
    async with node_of() as node:
        with pytest.raises(HostError, match="no key to open secret A"):
            await node.invoke("probe", {"do": "raw"})
        with pytest.raises(Conflict, match="cannot seal"):
            await node.parts.secrets.set("B", VALUE, "ada")
    async with node_of(secret_key=OLD) as node:
        with pytest.raises(InvalidRequest, match="8 to 16384"):
            await node.parts.secrets.set("B", "short", "ada")


async def test_rotation_while_nodes_run(keyed, node_of, probe):
    await keyed.execute("SELECT aerofn.register_function('probe', $1, env => '{A,B}')", probe)
    await keyed.execute("SELECT aerofn.set_secret('A', $1), aerofn.set_secret('B', 'another value')", VALUE)
    async with node_of(secret_key=f"{NEW},{OLD}") as node:
        assert await read(node, "A", "B") == [VALUE, "another value"]
        before = await keyed.fetch("SELECT name, fingerprint FROM aerofn.secrets ORDER BY name")
        assert await rotation.rotate(keyed, [NEW, OLD]) == 2
        assert await keyed.fetch("SELECT name, fingerprint FROM aerofn.secrets ORDER BY name") == before
        await keyed.execute("SELECT aerofn.set_secret('B', 'set afterwards')")
        await until(lambda: read(node, "A", "B"), [VALUE, "set afterwards"])
    async with node_of(secret_key=NEW) as node:
        assert await read(node, "A", "B") == [VALUE, "set afterwards"]
    with pytest.raises(SettingsError):
        await rotation.rotate(keyed, [OLD])


async def test_setting_one_while_all_are_rotated(keyed, database):
    """Whoever comes second waits; nothing is left sealed for a key that is gone."""
    other = await database.connect()
    await keyed.execute("SELECT aerofn.set_secret('A', $1)", VALUE)
    await asyncio.gather(
        rotation.rotate(keyed, [OLD]),
        *(other.execute(f"SELECT aerofn.set_secret('S{n}', 'long enough')") for n in range(1)),
    )
    assert await keyed.fetchval("SELECT count(*) FROM aerofn_internal.key_pairs") == 1
    rows = await keyed.fetch("SELECT name, sealed FROM aerofn_internal.secrets")
    row = await keyed.fetchrow("SELECT id, modulus::text AS modulus, wrapped FROM aerofn_internal.key_pairs")
    pair = Wrapping([OLD]).unwrap(row["id"], int(row["modulus"]), row["wrapped"])
    assert {name: pair.open(name, sealed) for name, sealed in rows} == {"A": VALUE, "S0": "long enough"}
