"""What capture and its wakeups cost writers: `make bench-wakeups`. Needs pgbench.

Eight writers, one row to a transaction, on PostgreSQL's default settings. Nodes that hear many wakeups do without
them; beside that stand a node to which every commit is notified, and one to which none is. The trigger's function
does nothing, so that most of what is left is capture, NOTIFY and settling.
"""

import argparse
import asyncio
import re
import shutil
import tempfile
from pathlib import Path
from statistics import median

import asyncpg

from aerofn.app import Service
from aerofn.db.embedded import EmbeddedPostgres
from aerofn.db.migrate import migrate
from aerofn.observe import configure_logging
from aerofn.settings import Settings, from_env
from bench.figures import tell

_WRITERS = 8
_SCHEMA = "CREATE TABLE orders (id bigserial PRIMARY KEY, product_id int, quantity int)"
_INSERT = "INSERT INTO orders (product_id, quantity) VALUES (1, 1);\n"
_ATTACH = "SELECT aerofn.create_row_trigger('compiled', 'orders', '{INSERT}')"
_DETACH = "SELECT aerofn.drop_trigger('compiled_on_orders') FROM aerofn.triggers"
_WAKE = """
    CREATE OR REPLACE FUNCTION aerofn_internal.wake() RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$ BEGIN {} END $$"""
_ALWAYS, _NEVER = "PERFORM pg_notify('aerofn', '');", "NULL;"
_COMPILED = Path(__file__).parent / "guests" / "compiled.wasm"


class Writers:
    """pgbench on a server; `seconds` to each measurement."""

    def __init__(self, url: str, place: Path, seconds: int) -> None:
        self._url = url
        self._script = place / "insert.sql"
        self._script.write_text(_INSERT)
        self._seconds = seconds

    async def rate(self) -> float:
        """Transactions a second of all writers together."""
        pgbench = await asyncio.create_subprocess_exec(
            "pgbench", "-n", "-M", "prepared", "-c", str(_WRITERS), "-j", "2", "-T", str(self._seconds),
            "-f", str(self._script), self._url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await pgbench.communicate()
        found = re.search(rb"tps = ([0-9.]+)", out)
        if found is None:
            raise SystemExit(err.decode())
        return float(found[1])


class Bench:
    """The measurements, each with what it needs around it."""

    def __init__(self, connection: asyncpg.Connection, settings: Settings, writers: Writers) -> None:
        self._connection = connection
        self._settings = settings
        self._writers = writers
        self._shipped = ""

    async def plain(self) -> float:
        """No trigger."""
        await self._connection.execute(_DETACH)
        return await self._writers.rate()

    async def attached(self, wake: str | None = None, *, node: bool = False) -> float:
        """With the trigger; `wake` instead of what wakes nodes; `node`: with one that runs the events."""
        self._shipped = self._shipped or await self._connection.fetchval(
            "SELECT pg_get_functiondef('aerofn_internal.wake'::regproc)"
        )
        await self._connection.execute("TRUNCATE orders, aerofn_internal.events")
        await self._connection.execute(f"{_DETACH}; {_ATTACH}")
        await self._connection.execute(self._shipped if wake is None else _WAKE.format(wake))
        try:
            return await (self._beside_a_node() if node else self._writers.rate())
        finally:
            await self._connection.execute(self._shipped)

    async def _beside_a_node(self) -> float:
        service = Service(self._settings)
        await service.start()
        try:
            await self._writers.rate()  # until it knows what it has to do with
            return await self._writers.rate()
        finally:
            await service.stop()


async def measure(bench: Bench, runs: int) -> None:
    """Tell how much of their throughput writers keep."""
    found: dict[str, list[float]] = {}
    for _ in range(runs):
        for name, rate in {
            "plain": bench.plain(),
            "no_node": bench.attached(),
            "no_node_always_notified": bench.attached(_ALWAYS),
            "node": bench.attached(node=True),
            "node_always_notified": bench.attached(_ALWAYS, node=True),
            "node_never_notified": bench.attached(_NEVER, node=True),
        }.items():
            found.setdefault(name, []).append(await rate)
    more = {name: round(median(runs), 1) for name, runs in found.items()}
    tell(
        "writer_throughput_ratio",
        found["node"],
        "transactions/s",
        peer="no trigger",
        peer_runs=found["plain"],
        more=more,
    )
    tell(
        "capture_writer_ratio",
        found["no_node"],
        "transactions/s",
        peer="no trigger",
        peer_runs=found["plain"],
    )
    tell(
        "notify_ratio",
        found["no_node_always_notified"],
        "transactions/s",
        peer="no NOTIFY",
        peer_runs=found["no_node"],
    )


async def main(runs: int, seconds: int) -> None:
    """Measure on a server of its own, with its default settings."""
    if shutil.which("pgbench") is None:
        raise SystemExit("there is no pgbench: on Debian, apt-get install postgresql-contrib")
    with tempfile.TemporaryDirectory() as directory, EmbeddedPostgres(Path(directory) / "pg") as server:
        configure_logging("error")
        settings = from_env(
            {},
            database_url=server.url,
            cache_dir=Path(directory) / "cache",
            records_to_stdout=False,
        )
        connection = await asyncpg.connect(server.url)
        await migrate(connection, settings)
        await connection.execute(_SCHEMA)
        await connection.execute("SELECT aerofn.register_function('compiled', $1)", _COMPILED.read_bytes())
        await measure(Bench(connection, settings, Writers(server.url, Path(directory), seconds)), runs)
        await connection.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    given = parser.parse_args()
    asyncio.run(main(given.runs, given.seconds))
