"""Records on their way into the table: in nobody's way, whatever becomes of the table."""

import asyncio

import msgspec

from aerofn.db import invocations
from aerofn.model import LogLine, Outcome

WRITTEN = "SELECT count(*) FROM aerofn.invocations"


async def kept(conn, number):
    async with asyncio.timeout(60):
        while await conn.fetchval(WRITTEN) < number:
            await asyncio.sleep(0.02)
    assert await conn.fetchval(WRITTEN) == number


async def test_a_table_that_is_slow_or_fails_costs_no_invocation(conn, database, probe, node_of, monkeypatch):
    monkeypatch.setattr(invocations, "_MOST_WAITING", 30)
    await conn.execute("SELECT aerofn.register_function('probe', $1)", probe)
    async with node_of() as node:
        await node.invoke("probe", {"do": "raw"})
        await kept(conn, 1)

        async def ran(number):
            for _ in range(number):
                assert (await node.invoke("probe", {"do": "raw"})).run.outcome is Outcome.SUCCESS

        holder = await database.connect()
        async with asyncio.timeout(60), holder.transaction():
            await holder.execute("LOCK TABLE aerofn_internal.invocations IN ACCESS EXCLUSIVE MODE")
            await ran(20)  # nobody waits for the lock
        await kept(conn, 21)
        assert node.parts.invocations.dropped == 0
        await conn.execute(
            "ALTER TABLE aerofn_internal.invocations ADD CONSTRAINT no CHECK (attempt < 0) NOT VALID"
        )
        await ran(100)  # of which there is room for 30, and as many may be on their way
        await conn.execute("ALTER TABLE aerofn_internal.invocations DROP CONSTRAINT no")
        async with asyncio.timeout(60):
            while await conn.fetchval(WRITTEN) + node.parts.invocations.dropped < 121:
                await asyncio.sleep(0.02)
        dropped = node.parts.invocations.dropped
        assert dropped >= 40
        assert await conn.fetchval(WRITTEN) == 121 - dropped
        text = node.metrics.exposition()[0].decode()
        assert f'aerofn_records_dropped_total{{sink="table"}} {dropped}.0' in text


async def test_a_record_that_cannot_be_stored_is_in_nobodys_way(conn, probe, node_of):
    await conn.execute("SELECT aerofn.register_function('probe', $1)", probe)
    async with node_of() as node:
        fine = (await node.invoke("probe", {"do": "raw"})).record
        bad = msgspec.structs.replace(fine, attempt=1 << 40, logs=[LogLine("info", "beyond an int", 0.1)])
        for record in (fine, bad, fine):
            node.parts.invocations.add(record)
        await kept(conn, 3)
        assert node.parts.invocations.dropped == 1
