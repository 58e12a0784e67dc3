"""Who does the work in bench/events.py: AeroFn's own nodes, and the queues people use today, each set up at its best.

The peers' packages are installed into .peers/events: from npm (with the Node they need) and from PyPI.
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import IO, NamedTuple, Protocol

import asyncpg

from aerofn.build import build
from aerofn.db.migrate import migrate
from aerofn.settings import from_env

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / "event_peers"
PEERS = HERE.parent / ".peers" / "events"
NODE = PEERS / "node_modules" / "node" / "bin" / "node"
PYTHON = PEERS / "venv" / "bin" / "python"
_TIME_LIMIT_S = 400


class Seen(NamedTuple):
    """When the last event was done, and when each order's function began; on the monotonic clock."""

    last: float
    starts: dict[int, float]


class Work(NamedTuple):
    """What is about to be asked of a subject: events to warm up with, and those that count."""

    url: str
    warm: int
    events: int
    times: bool


class Running(Protocol):
    """A subject at work."""

    async def warmed(self) -> None: ...
    async def seen(self) -> Seen: ...


class Subject(Protocol):
    """Something that runs a function for each new order."""

    name: str

    async def install(self, url: str) -> None: ...
    def running(self, work: Work) -> contextlib.AbstractAsyncContextManager[Running]: ...


class Peer(NamedTuple):
    """A queue: its worker's command, the commands that install it, and the trigger that enqueues."""

    name: str
    command: list[str]
    trigger: str
    installs: list[list[str]]

    async def install(self, url: str) -> None:
        """Its schema; the trigger is made later, by `running`, for some need their worker for it."""
        for command in self.installs:
            called = await asyncio.create_subprocess_exec(
                *command, cwd=PEERS, env=_environment(url), stdout=subprocess.DEVNULL
            )
            if await called.wait():
                raise SystemExit(f"{command} failed")

    @contextlib.asynccontextmanager
    async def running(self, work: Work):
        environment = {**_environment(work.url), "EVENTS": str(work.events), "WARM": str(work.warm)}
        if work.times:
            environment["TIMES"] = "1"
        worker = await asyncio.create_subprocess_exec(
            *self.command, cwd=PEERS, env=environment, stdout=subprocess.PIPE, limit=1 << 24
        )
        said = _Said(worker)
        try:
            await said.line("READY")
            await enqueue_by(work.url, self.trigger)
            yield said
        finally:
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
            await worker.wait()


class _Said:
    """What a peer's worker tells."""

    def __init__(self, worker: asyncio.subprocess.Process) -> None:
        self._worker = worker

    async def line(self, start: str) -> str:
        assert self._worker.stdout is not None
        async with asyncio.timeout(_TIME_LIMIT_S):
            while line := (await self._worker.stdout.readline()).decode():
                if line.startswith(start):
                    return line.removeprefix(start)
        raise SystemExit("a worker died")

    async def warmed(self) -> None:
        await self.line("WARMED")

    async def seen(self) -> Seen:
        said = json.loads(await self.line("RESULT"))
        return Seen(said["last"], dict(said["starts"]))


class AeroFn(NamedTuple):
    """So many nodes, each a real `aerofn serve` with its default settings; `function` is of bench/guests."""

    name: str
    function: str
    nodes: int
    options: str = ""

    async def install(self, url: str) -> None:
        """The schema, the function and its trigger."""
        connection = await asyncpg.connect(url)
        await migrate(connection, from_env({}, database_url=url))
        await connection.execute("GRANT SELECT, UPDATE ON products TO service_role")
        wasm = built(self.function).read_bytes()
        await connection.execute("SELECT aerofn.register_function('order', $1)", wasm)
        await connection.execute(
            f"SELECT aerofn.create_row_trigger('order', 'orders', '{{INSERT}}', run_as => 'service_role'{self.options})"
        )
        await connection.close()

    @contextlib.asynccontextmanager
    async def running(self, work: Work):
        PEERS.mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": work.url,
            "AEROFN_CACHE_DIR": str(PEERS / "cache"),
            "AEROFN_LOG_LEVEL": "error",
        }
        with contextlib.ExitStack() as files:
            records = [
                files.enter_context((PEERS / f"records-{n}.jsonl").open("w+b")) for n in range(self.nodes)
            ]
            nodes = [
                await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "aerofn", "serve", "--port", "0", env=environment, stdout=file
                )
                for file in records
            ]
            try:
                connection = await asyncpg.connect(work.url)
                await until(connection, "SELECT active_version IS NOT NULL FROM aerofn.functions")
                live = f"SELECT count(*) >= {self.nodes} FROM aerofn_internal.live_nodes()"
                await until(connection, live)
                yield _Nodes(connection, records, work)
                await connection.close()
            finally:
                for node in nodes:
                    node.terminate()
                await asyncio.gather(*(node.wait() for node in nodes))


class _Nodes:
    """What AeroFn's nodes have done, from their records on standard output."""

    def __init__(self, connection: asyncpg.Connection, records: list[IO[bytes]], work: Work) -> None:
        self._connection = connection
        self._records = records
        self._work = work

    async def warmed(self) -> None:
        await self._settled()
        await asyncio.sleep(0.5)

    async def _settled(self) -> None:
        await until(self._connection, "SELECT NOT EXISTS (SELECT FROM aerofn_internal.events)")

    async def seen(self) -> Seen:
        await self._settled()
        await asyncio.sleep(0.5)  # the records are written by a thread
        from_epoch = time.time() - time.monotonic()
        ends, starts = [], {}
        for file in self._records:
            file.seek(0)
            for line in file:
                record = json.loads(line)
                end = datetime.fromisoformat(record["timestamp"]).timestamp() - from_epoch
                ends.append(end)
                if self._work.times:
                    began = end - record["duration_ms"] / 1000
                    starts[record["event_id"]] = began + record["logs"][0]["at_ms"] / 1000
        return Seen(max(ends), starts)


async def until(connection: asyncpg.Connection, question: str) -> None:
    """Ask until the answer is true."""
    async with asyncio.timeout(_TIME_LIMIT_S):
        while not await connection.fetchval(question):  # noqa: ASYNC110 - PostgreSQL has no event for it
            await asyncio.sleep(0.05)


async def enqueue_by(url: str, trigger: str) -> None:
    """Make a peer's trigger."""
    connection = await asyncpg.connect(url)
    await connection.execute((PROGRAMS / trigger).read_text())
    await connection.close()


def built(function: str) -> Path:
    """A guest in JavaScript as a component."""
    target = PEERS / f"{function}.wasm"
    source = HERE / "guests" / f"{function}.js"
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        PEERS.mkdir(parents=True, exist_ok=True)
        build(source, target)
    return target


def install_peers() -> None:
    """Put the peers' programs and packages into .peers/events."""
    shutil.copytree(PROGRAMS, PEERS, dirs_exist_ok=True)
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=PEERS, check=True)
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS / "venv")], check=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", "requirements.txt"], cwd=PEERS, check=True)


def peers() -> dict[str, Peer]:
    """The queues, each in its best setting; graphile-worker in two."""
    graphile = [str(NODE), "graphile.mjs"]
    schema = [[str(NODE), "node_modules/.bin/graphile-worker", "--schema-only"]]
    pgq = [str(PEERS / "venv" / "bin" / "pgq"), "install"]
    procrastinate = [
        str(PYTHON),
        "-m",
        "procrastinate",
        "--app",
        "procrastinate_worker.app",
        "schema",
        "--apply",
    ]
    every = [
        Peer("graphile-worker", graphile, "graphile.sql", schema),
        Peer("graphile-worker add_jobs", graphile, "graphile_statement.sql", schema),
        Peer("pg-boss", [str(NODE), "pgboss.mjs"], "pgboss.sql", []),
        Peer("pgqueuer", [str(PYTHON), "pgqueuer_worker.py"], "pgqueuer.sql", [pgq]),
        Peer("procrastinate", [str(PYTHON), "procrastinate_worker.py"], "procrastinate.sql", [procrastinate]),
    ]
    return {peer.name: peer for peer in every}


def _environment(url: str) -> dict[str, str]:
    place, name = url.rsplit("/", 1)
    login, _, address = place.removeprefix("postgresql://").rpartition("@")
    user, _, password = login.partition(":")
    host, _, port = address.partition(":")
    return {
        "PATH": os.environ["PATH"], "NODE_ENV": "production", "DATABASE_URL": url, "EVENTS": "1", "WARM": "1",
        "PGHOST": host, "PGPORT": port, "PGUSER": user, "PGPASSWORD": password, "PGDATABASE": name,
    }  # fmt: skip
