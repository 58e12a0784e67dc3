"""Which version runs: changed on every node, back and forth, while functions are invoked all the time."""

import asyncio
from collections import Counter

import asyncpg
import pytest

from aerofn.model import Caller, Outcome
from tests.guests.wat import component


@pytest.fixture
async def versions(conn):
    """Makes versions of f, ready at once, and runs the given one."""

    async def make(*wasms):
        for wasm in wasms:
            await conn.execute("SELECT aerofn.register_function('f', $1, activate => false)", wasm)

    return make


async def ready(conn, number):
    async with asyncio.timeout(60):
        while await conn.fetchval("SELECT count(*) FROM aerofn.versions WHERE status = 'ready'") < number:
            await asyncio.sleep(0.05)


async def seen_by(node, version):
    async with asyncio.timeout(60):
        while (await node.parts.functions.active("f")).number != version:
            await asyncio.sleep(0.01)


async def test_back_and_forth_under_traffic_loses_nothing(conn, node_of, versions):
    await versions(component(), component("(nop)"))
    async with node_of() as one, node_of() as other:
        await ready(conn, 2)
        await conn.execute("SELECT aerofn.activate_version('f', 1)")
        over, seen = False, Counter()

        async def traffic(node):
            while not over:
                completed = await node.invoke("f")
                seen[completed.run.outcome, completed.record.version] += 1

        clients = [asyncio.create_task(traffic(node)) for node in (one, other) for _ in range(3)]
        for turn in range(24):
            await conn.execute("SELECT aerofn.activate_version('f', $1)", 2 - turn % 2)
            before = seen[Outcome.SUCCESS, 2 - turn % 2]
            async with asyncio.timeout(60):
                while seen[Outcome.SUCCESS, 2 - turn % 2] == before:
                    await asyncio.sleep(0.01)
        over = True
        await asyncio.gather(*clients)
        assert set(seen) == {(Outcome.SUCCESS, 1), (Outcome.SUCCESS, 2)}
        for version in (2, 1):
            await conn.execute("SELECT aerofn.activate_version('f', $1)", version)
            for node in (one, other):
                await seen_by(node, version)
                assert (await node.invoke("f")).record.version == version


async def test_in_flight_it_ends_as_the_version_it_began_as(conn, database, node_of, versions, probe):
    await versions(probe, component())
    await conn.execute(
        "CREATE TABLE held (a int); INSERT INTO held VALUES (0); GRANT ALL ON held TO service_role"
    )
    async with node_of() as node:
        await ready(conn, 2)
        await conn.execute("SELECT aerofn.activate_version('f', 1)")
        await seen_by(node, 1)
        async with conn.transaction():
            await conn.execute("UPDATE held SET a = 1")
            body = {"do": "query", "queries": [["UPDATE held SET a = a + 1 RETURNING a"]]}
            slow = asyncio.create_task(node.invoke("f", body, Caller("service_role")))
            async with asyncio.timeout(30):
                while not await conn.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    await asyncio.sleep(0.02)
            other = await database.connect()
            await other.execute("SELECT aerofn.activate_version('f', 2); SELECT aerofn.drop_version('f', 1)")
            await seen_by(node, 2)
        completed = await slow
        assert (completed.run.outcome, completed.record.version) == (Outcome.SUCCESS, 1)
    assert await conn.fetchval("SELECT a FROM held") == 2


async def test_what_is_needed_cannot_be_dropped(conn, node_of, versions):
    await versions(component(), component("(nop)"))
    async with node_of() as node:
        await ready(conn, 2)
        await conn.execute("SELECT aerofn.activate_version('f', 2)")
        with pytest.raises(asyncpg.ObjectInUseError, match="is the one that runs"):
            await conn.execute("SELECT aerofn.drop_version('f', 2)")
        with pytest.raises(asyncpg.NoDataFoundError, match="has no version 3"):
            await conn.execute("SELECT aerofn.drop_version('f', 3)")
        await conn.execute("SELECT aerofn.create_schedule('f', '@daily')")
        with pytest.raises(asyncpg.DependentObjectsStillExistError, match="f_schedule"):
            await conn.execute("SELECT aerofn.drop_function('f')")
        await conn.execute("SELECT aerofn.drop_version('f', 1)")
        # Its component stays for a while, then nobody can need it any more.
        count = "SELECT count(*) FROM aerofn_internal.components"
        await node.parts.functions.sweep()
        assert await conn.fetchval(count) == 2
        await conn.execute(
            "UPDATE aerofn_internal.components SET unused_since = unused_since - interval '61 minutes'"
        )
        await node.parts.functions.sweep()
        assert await conn.fetchval(count) == 1
        assert [v.version for v in await node.parts.functions.versions("f")] == [2]


async def test_deploying_after_a_rollback(conn, database, versions):
    """Without a node, so that what compiles goes on compiling."""

    async def compiled():
        await conn.execute(
            "SELECT aerofn_internal.compiled(id, NULL) FROM aerofn_internal.versions WHERE status = 'compiling'"
        )

    async def runs():
        return await conn.fetchval("SELECT active_version FROM aerofn.functions")

    register = "SELECT aerofn.register_function('f', $1)"
    for wasm in (component(), component("(nop)")):
        await conn.execute(register, wasm)
        await compiled()
    assert await runs() == 2
    await conn.execute("SELECT aerofn.activate_version('f', 1)")
    assert (await conn.fetchval(register, component("(nop)")), await runs()) == (2, 2)
    # A rollback while a newer version compiles is meant: the newer one does not undo it.
    assert await conn.fetchval(register, component("(nop) (nop)")) == 3
    await conn.execute("SELECT aerofn.activate_version('f', 1)")
    await compiled()
    assert await runs() == 1
    assert (await conn.fetchval(register, component("(nop) (nop)")), await runs()) == (4, 4)
