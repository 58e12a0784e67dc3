"""Events side by side: rows inserted, a function run for each, by AeroFn and by the queues people use today.

`make bench-events`. 20,000 orders in statements of 500; the function takes each order's quantity off its
product's stock. One PostgreSQL with its default settings, on this machine together with the workers. Every run
measures every subject, on a fresh database, warmed up by 2,000 events. `ARGS='--runs 1 --only aerofn'`.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import asyncpg

from aerofn.db.embedded import EmbeddedPostgres
from bench.event_subjects import PROGRAMS, AeroFn, Peer, Subject, Work, enqueue_by, install_peers, peers
from bench.figures import tell

EVENTS, WARM, AT_ONCE = 20_000, 2_000, 500
# procrastinate does some 300 a second: its rate is measured on fewer.
FEWER = {"procrastinate": 4_000}
SINGLE, EVERY_S = 300, 0.02
INSERT = """INSERT INTO orders (product_id, quantity)
SELECT 1 + floor(random() * 1000)::int, 1 + floor(random() * 5)::int FROM generate_series(1, $1)"""
ONE = "INSERT INTO orders (product_id, quantity) VALUES (1 + floor(random() * 1000)::int, 1) RETURNING id"
EACH = AeroFn("aerofn", "order", 2)
BATCHES = AeroFn("aerofn in batches", "order_batch", 2, ", batch_size => 500")
STARTS = AeroFn("aerofn", "order_start", 1)
Runs = dict[str, list[float]]


class Bench:
    """One server, and what was measured on it."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.url = f"{server.rsplit('/', 1)[0]}/bench"

    async def fresh(self, subject: Subject | None = None) -> None:
        """A new database with the tables, and with the subject installed."""
        admin = await asyncpg.connect(self._server)
        await admin.execute("DROP DATABASE IF EXISTS bench WITH (FORCE)")
        await admin.execute("CREATE DATABASE bench")
        await admin.close()
        connection = await asyncpg.connect(self.url)
        await connection.execute((PROGRAMS / "base.sql").read_text())
        await connection.close()
        if subject is not None:
            await subject.install(self.url)

    async def throughput(self, subject: Subject) -> float:
        """Events a second, from the first insert to the last event done."""
        events = FEWER.get(subject.name, EVENTS)
        await self.fresh(subject)
        async with subject.running(Work(self.url, WARM, events, False)) as running:
            connection = await self._warm()
            await running.warmed()
            await connection.execute("CHECKPOINT")
            began = await inserted(connection, events)
            took = (await running.seen()).last - began
            await self._check(connection, subject)
        return events / took

    async def latencies(self, subject: Subject) -> list[float]:
        """Milliseconds from each commit's acknowledgement to its function's start, on an idle system; sorted."""
        await self.fresh(subject)
        async with subject.running(Work(self.url, WARM, SINGLE, True)) as running:
            connection = await self._warm()
            await running.warmed()
            orders = await self._one_by_one(connection)
            starts = (await running.seen()).starts
        if isinstance(subject, AeroFn):  # by event; ids rise with the orders'
            last = sorted(starts)[-SINGLE:]
            starts = dict(zip(sorted(orders), (starts[event] for event in last), strict=True))
        return sorted((starts[order] - at) * 1000 for order, at in orders.items())

    async def insert_seconds(self, subject: Peer | AeroFn | None) -> float:
        """How long the inserts take with nobody at work; None: without any trigger."""
        await self.fresh(subject)
        if isinstance(subject, Peer):
            async with subject.running(Work(self.url, WARM, EVENTS, False)):
                pass  # pg-boss makes its tables at start; the trigger stays
        connection = await self._warm()
        await connection.execute("CHECKPOINT")
        began = await inserted(connection, EVENTS)
        took = time.monotonic() - began
        await connection.close()
        return took

    async def floor(self) -> float:
        """Events a second of a trigger that does the update itself."""
        await self.fresh()
        await enqueue_by(self.url, "floor.sql")
        connection = await self._warm()
        began = await inserted(connection, EVENTS)
        took = time.monotonic() - began
        await connection.close()
        return EVENTS / took

    async def _warm(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(self.url)
        await inserted(connection, WARM)
        await connection.execute("ANALYZE")
        return connection

    async def _one_by_one(self, connection: asyncpg.Connection) -> dict[int, float]:
        statement, orders = await connection.prepare(ONE), {}
        began = time.monotonic()
        for number in range(SINGLE):
            await asyncio.sleep(max(0.0, began + number * EVERY_S - time.monotonic()))
            order = await statement.fetchval()
            orders[order] = time.monotonic()
        return orders

    async def _check(self, connection: asyncpg.Connection, subject: Subject) -> None:
        taken = await connection.fetchval("SELECT 1000000 * 1000 - sum(stock) FROM products")
        ordered = await connection.fetchval("SELECT sum(quantity) FROM orders")
        await connection.close()
        if taken != ordered:
            raise SystemExit(f"{subject.name}: {taken} taken, {ordered} ordered")


async def inserted(connection: asyncpg.Connection, rows: int) -> float:
    """Insert so many orders, 500 at a time; answers when it began."""
    statement = await connection.prepare(INSERT)
    began = time.monotonic()
    for _ in range(rows // AT_ONCE):
        await statement.fetch(AT_ONCE)
    return began


def percentile(times: list[float], part: float) -> float:
    """Of sorted times."""
    return times[min(len(times) - 1, round(part * len(times)) - 1)]


async def main(options: argparse.Namespace) -> None:
    """Measure all subjects in turn, `runs` times over, and tell the figures."""
    everyone = {} if options.only else peers()
    if options.only and options.only != "aerofn":
        everyone = {options.only: peers()[options.only]}
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "pg") as server:
        bench, parts = Bench(server.url), options.part or ["throughput", "latency", "capture"]
        if "throughput" in parts:
            await throughput(bench, everyone, options.runs)
        if "latency" in parts:
            await latency(bench, everyone, options.runs)
        if "capture" in parts:
            await capture(bench, everyone, options.runs)


async def throughput(bench: Bench, everyone: dict[str, Peer], runs: int) -> None:
    """One invocation for each event."""
    seen: Runs = {}
    for run in range(runs):
        seen.setdefault("trigger alone", []).append(await bench.floor())
        for subject in (EACH, BATCHES, *everyone.values()):
            said(f"throughput {run + 1}/{runs}: {subject.name}")
            seen.setdefault(subject.name, []).append(await bench.throughput(subject))
    for name in ("trigger alone", *everyone):
        tell(f"throughput: {name}", seen[name], "events/s")
    tell(
        "per_event_throughput", seen["aerofn"], "events/s", peer="graphile-worker",
        peer_runs=seen.get("graphile-worker"), goal=1.0,
    )  # fmt: skip
    best = max(everyone, key=lambda name: median(seen[name]), default=None)
    tell(
        "batch_throughput", seen[BATCHES.name], "events/s", peer=best,
        peer_runs=None if best is None else seen[best], goal=2.0,
    )  # fmt: skip


async def latency(bench: Bench, everyone: dict[str, Peer], runs: int) -> None:
    """From the commit to the function's start."""
    seen: dict[str, list[list[float]]] = {}
    for run in range(runs):
        for subject in (STARTS, *everyone.values()):
            said(f"latency {run + 1}/{runs}: {subject.name}")
            seen.setdefault(subject.name, []).append(await bench.latencies(subject))
    for part, goal in ((0.5, 2), (0.99, 5)):
        of = {name: [percentile(times, part) for times in each] for name, each in seen.items()}
        for name in everyone:
            tell(f"start latency p{part * 100:.0f}: {name}", of[name], "ms")
        tell(
            f"start_latency_p{part * 100:.0f}_ms", of["aerofn"], "ms", peer="graphile-worker",
            peer_runs=of.get("graphile-worker"), goal=goal,
        )  # fmt: skip


async def capture(bench: Bench, everyone: dict[str, Peer], runs: int) -> None:
    """What the trigger costs the writer of 20,000 rows."""
    seen: Runs = {}
    for run in range(runs):
        for subject in (None, EACH, *everyone.values()):
            name = "plain insert" if subject is None else subject.name
            said(f"capture {run + 1}/{runs}: {name}")
            seen.setdefault(name, []).append(await bench.insert_seconds(subject))
    for name in everyone:
        tell(f"enqueue: {name}", seen[name], "s")
    tell("capture_ratio", seen["aerofn"], "s", peer="plain insert", peer_runs=seen["plain insert"], goal=4)


def said(what: str) -> None:
    """Progress."""
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", help="one subject: aerofn, or a peer beside it")
    parser.add_argument("--part", action="append", choices=["throughput", "latency", "capture"])
    chosen = parser.parse_args()
    if chosen.only != "aerofn":
        install_peers()
    asyncio.run(main(chosen))
