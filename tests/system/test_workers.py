"""`aerofn serve --workers N`: several nodes on one port, kept running, and stopped in order."""

import asyncio
import os
import signal

import httpx
import psutil
import pytest

from .cli_kit import LONGEST_S, SECRET, aerofn, said_url, start

LIVE = "SELECT array_agg(n ORDER BY n) FROM aerofn_internal.live_nodes() n"


async def live(conn, number, but=None):
    """The ids of the nodes that live, once there are `number` and they are not those of `but`."""
    async with asyncio.timeout(LONGEST_S):
        while True:
            found = set(await conn.fetchval(LIVE) or ())
            if len(found) == number and found != but:
                return found
            await asyncio.sleep(0.1)


@pytest.fixture
async def parent(database, tmp_path):
    """`aerofn serve --workers 2`, and where it serves."""
    child = await start(
        "serve", "--workers", "2", "--port", "0",
        DATABASE_URL=database.url, AEROFN_JWT_SECRET=SECRET, AEROFN_CACHE_DIR=str(tmp_path), AEROFN_POLL_S="0.2",
    )  # fmt: skip
    try:
        yield child, await asyncio.wait_for(said_url(child), LONGEST_S)
    finally:
        if child.returncode is None:
            child.kill()
        await asyncio.wait_for(child.communicate(), LONGEST_S)


async def test_a_worker_that_dies_is_started_again_and_sigterm_stops_all(parent, database):
    child, url = parent
    conn = await database.connect()
    first = await live(conn, 2)
    workers = psutil.Process(child.pid).children()
    assert len(workers) == 2
    workers[0].kill()
    after = await live(conn, 2, but=first)
    assert len(first & after) == 1
    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/readyz")).status_code == 200
    workers = psutil.Process(child.pid).children()
    child.terminate()
    assert await asyncio.wait_for(child.wait(), LONGEST_S) == 0
    assert not any(psutil.pid_exists(worker.pid) for worker in workers)
    await live(conn, 0)


async def test_workers_do_not_outlive_their_parent(parent, database):
    child, _ = parent
    conn = await database.connect()
    await live(conn, 2)
    workers = psutil.Process(child.pid).children()
    os.kill(child.pid, signal.SIGKILL)
    await live(conn, 0)
    gone, alive = await asyncio.to_thread(psutil.wait_procs, workers, LONGEST_S)
    assert (len(gone), alive) == (2, [])


async def test_workers_that_cannot_start_say_why_once_and_end():
    said = await aerofn(
        "serve", "--workers", "2", "--port", "0", DATABASE_URL="postgresql://nobody@127.0.0.1:1/x"
    )
    assert (said.code, "error: the database cannot be reached" in said.err) == (1, True)
