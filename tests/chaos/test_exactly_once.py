"""Every effect exactly once, while nodes are killed and paused, connections cut and PostgreSQL restarted.

`CHAOS_EVENTS=5000 CHAOS_SEED=7 pytest tests/chaos` is the long form; the seed decides every blow.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import asyncpg
import psutil
import pytest

from aerofn.build import build
from aerofn.db.embedded import EmbeddedPostgres
from aerofn.db.migrate import migrate
from aerofn.settings import from_env
from tests.conftest import compiled

HERE = Path(__file__).parent
EVENTS = int(os.environ.get("CHAOS_EVENTS", "300"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
NODES = 3
BLOWS = ("kill", "kill", "pause", "pause", "cut", "cut", "restart")
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Cluster:
    """A PostgreSQL of its own and three node processes."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.server = EmbeddedPostgres(place / "pg")
        self.nodes: list[asyncio.subprocess.Process] = []
        self.done: list[str] = []

    async def start_node(self) -> asyncio.subprocess.Process:
        arguments = [str(HERE / "node.py"), self.server.url, str(compiled())]
        return await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, cwd=HERE.parents[1],
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
        )  # fmt: skip

    async def connect(self) -> asyncpg.Connection:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(*AWAY):
                    return await asyncpg.connect(self.server.url)
                await asyncio.sleep(0.1)

    async def strike(self, draw: random.Random) -> None:
        blow, number = draw.choice(BLOWS), draw.randrange(NODES)
        self.done.append(blow)
        if blow == "restart":
            await asyncio.to_thread(self._restart)
        elif blow == "cut":
            conn = await self.connect()
            await conn.execute("SELECT setseed($1)", draw.random())
            await conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'aerofn%' AND random() < 0.5"
            )
            await conn.close()
        elif blow == "pause":
            self.nodes[number].send_signal(signal.SIGSTOP)
            await asyncio.sleep(3)  # past the lease: 0.5 s and twice the time limit of 1 s
            self.nodes[number].send_signal(signal.SIGCONT)
        else:
            self.nodes[number].kill()
            await self.nodes[number].wait()
        await self.revive()

    async def revive(self) -> None:
        """Start anew the nodes that ended, as what runs them would: one that finds no database does not start."""
        for i, node in enumerate(self.nodes):
            if node.returncode is not None:
                self.nodes[i] = await self.start_node()

    def _restart(self) -> None:
        """Immediate: no checkpoint, every connection dies."""
        pid = int((self.server._place.data / "postmaster.pid").read_text().splitlines()[0])
        psutil.Process(pid).send_signal(signal.SIGQUIT)
        psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=30)
        self.server._let_go()
        self.server.start()

    async def close(self) -> None:
        for node in self.nodes:
            if node.returncode is None:
                node.send_signal(signal.SIGCONT)
                node.kill()
                await node.wait()
        self.server.erase()


@pytest.fixture
async def cluster(tmp_path):
    if shutil.which("node") is None:
        pytest.skip("building JavaScript needs Node")
    cluster = Cluster(tmp_path)
    cluster.server.start()
    try:
        yield cluster
    finally:
        await cluster.close()


async def prepare(cluster: Cluster, wasm: bytes) -> asyncpg.Connection:
    conn = await cluster.connect()
    await migrate(conn, from_env({}, database_url=cluster.server.url))
    await conn.execute(
        """CREATE TABLE orders (id int PRIMARY KEY); CREATE TABLE counter (id int PRIMARY KEY, n int NOT NULL);
        INSERT INTO counter SELECT i, 0 FROM generate_series(0, 9) i; CREATE TABLE ledger (order_id int);
        GRANT SELECT, UPDATE ON counter TO service_role; GRANT INSERT ON ledger TO service_role"""
    )
    await conn.execute("SELECT aerofn.register_function('count', $1)", wasm)
    await conn.execute(
        "SELECT aerofn.create_row_trigger('count', 'orders', '{INSERT}', run_as => 'service_role', max_attempts => 100)"
    )
    return conn


async def settled(cluster: Cluster, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await cluster.revive()
        with contextlib.suppress(*AWAY):
            conn = await cluster.connect()
            left = await conn.fetch("SELECT state::text, count(*) FROM aerofn_internal.events GROUP BY 1")
            await conn.close()
            if not left:
                return
        await asyncio.sleep(0.2)
    pytest.fail(f"events are left: {left} after {cluster.done}")


@pytest.mark.timeout(3600)
async def test_every_effect_exactly_once(cluster, tmp_path):
    build(HERE / "counter.js", tmp_path / "counter.wasm")
    conn = await prepare(cluster, (tmp_path / "counter.wasm").read_bytes())
    cluster.nodes = [await cluster.start_node() for _ in range(NODES)]
    for node in cluster.nodes:
        assert await asyncio.wait_for(node.stdout.readline(), 100) == b"READY\n"
    # A node killed while it compiles is another matter: here the function is ready before the first blow.
    async with asyncio.timeout(60):
        while await conn.fetchval("SELECT active_version FROM aerofn.functions") is None:
            await asyncio.sleep(0.1)
    await conn.close()
    draw = random.Random(SEED)
    blows = max(4, EVENTS // 200)
    for blow in range(blows):
        conn = await cluster.connect()
        first, last = EVENTS * blow // blows, EVENTS * (blow + 1) // blows
        await conn.execute("INSERT INTO orders SELECT generate_series($1::int, $2::int)", first + 1, last)
        await conn.close()
        await asyncio.sleep(draw.uniform(0, 0.05))  # so that the blow falls among running events
        await cluster.strike(draw)
    await settled(cluster, 60 + EVENTS / 20)
    conn = await cluster.connect()
    assert await conn.fetchval("SELECT sum(n) FROM counter") == EVENTS
    found = await conn.fetchrow("SELECT count(*) AS all, count(DISTINCT order_id) AS different FROM ledger")
    await conn.close()
    assert tuple(found) == (EVENTS, EVENTS)
