"""What one and two nodes take from a machine and its PostgreSQL, for docs/capacity.md: `make bench-capacity`.

The load is that of bench/events.py: orders inserted in statements of 500, a JavaScript function with one statement
for each. Beside events a second, it tells the most connections that AeroFn held, and processor time of an event.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

import asyncpg
import psutil

from aerofn.db.embedded import EmbeddedPostgres
from bench.event_subjects import AeroFn
from bench.events import FEWER, WARM, Bench
from bench.figures import tell

HELD = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'aerofn %' AND datname = 'bench'"


class Load:
    """What is seen of the machine while a node works, ten times a second."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.connections = 0
        self.cpu_s: dict[int, float] = {}

    async def watch(self) -> None:
        connection = await asyncpg.connect(self._server)
        while True:
            self.connections = max(self.connections, await connection.fetchval(HELD))
            for process in psutil.Process().children(recursive=True):
                try:
                    times = process.cpu_times()
                except psutil.Error:
                    continue
                self.cpu_s[process.pid] = times.user + times.system
            await asyncio.sleep(0.1)


async def measure(bench: Bench, server: str, nodes: int, events: int) -> None:
    subject, load = AeroFn(f"{nodes} nodes", "order", nodes), Load(server)
    FEWER[subject.name] = events
    watching = asyncio.create_task(load.watch())
    rate = await bench.throughput(subject)
    watching.cancel()
    cpu_ms = sum(load.cpu_s.values()) / (events + WARM) * 1000
    more = {"connections": load.connections, "cpu_ms": round(cpu_ms, 2)}
    tell(f"capacity_{nodes}", [rate], "events/s", more=more)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=8_000)
    events = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        postgres.start()
        try:
            for nodes in (1, 2):
                await measure(Bench(postgres.url), postgres.url, nodes, events)
        finally:
            postgres.stop()


if __name__ == "__main__":
    asyncio.run(main())
