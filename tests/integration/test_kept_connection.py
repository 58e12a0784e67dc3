"""The connection that leasing keeps: when PostgreSQL ends it, that is the database away, and no end of the node."""

import asyncio

import asyncpg
import pytest

from aerofn.db.database import Database
from aerofn.errors import DatabaseUnavailable


async def test_a_kept_connection_that_broke_is_told_and_another_one_taken(database):
    other = await database.connect()
    async with asyncpg.create_pool(database.url, min_size=1, max_size=2) as pool:
        asked = Database(pool)
        ((backend,),) = await asked.fetch_at_once("SELECT pg_backend_pid()")
        await other.execute("SELECT pg_terminate_backend($1)", backend)
        async with asyncio.timeout(30):
            while asked._kept._con is not None and not asked._kept.is_closed():
                await asyncio.sleep(0.01)
        with pytest.raises(DatabaseUnavailable):
            await asked.fetch_at_once("SELECT 1")
        ((another,),) = await asked.fetch_at_once("SELECT pg_backend_pid()")
        await asked.close()
    assert another != backend
