"""`aerofn serve --workers N`: several nodes on one port, kept running, and stopped in order."""

import asyncio
import os
import signal
from pathlib import Path

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


async def told_of_both(url):
    """Whichever worker is asked for metrics, it tells of both."""
    async with httpx.AsyncClient(base_url=url) as client, asyncio.timeout(LONGEST_S):
        while True:
            text = (await client.get("/metrics")).text
            told = {f'aerofn_worker_up{{worker="{n}"}} 1.0' in text for n in (1, 2)}
            both = all(f'process_open_fds{{worker="{n}"}}' in text for n in (1, 2))
            if told == {True} and both:
                return


def assert_nothing_secret(pid, *, worker):
    """No secret is an argument, which everybody can read; what only compiles or parses has none at all."""
    secret = (SECRET.encode(), b"postgresql://")
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    assert not any(one in arguments for one in secret), arguments
    if not worker:
        variables = Path(f"/proc/{pid}/environ").read_bytes()
        assert not any(one in variables for one in secret), variables


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
    await told_of_both(url)
    workers = psutil.Process(child.pid).children()
    for one in (child, *workers, *(below for worker in workers for below in worker.children(recursive=True))):
        assert_nothing_secret(one.pid, worker=one is child or one in workers)
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
