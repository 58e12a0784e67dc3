"""One query under row-level security: AeroFn's sealed session beside asyncpg written by hand, in the same run.

`make bench-rls`. By hand: a pool, BEGIN, SET LOCAL ROLE, set_config, the query, COMMIT, rows to dictionaries to
JSON (dates and numerics as strings). The same policy for both: AeroFn's reads the claims that no guest can
change, the peer's `request.jwt.claims`. Ten connections each.

With 32 at a time, 22 wait for a connection. AeroFn's pool serves them in turn; asyncpg's lets whoever asks first after
a release have it, before those who wait: most of its calls are short and a few are very long. So the peer is
measured both ways: its pool behind an asyncio.Semaphore, which is in turn too (`query_ratio_32`, single calls'
median), and as it is (`query_mean_ratio_32`: wall time by calls, which no order of serving can change;
`query_p99_ratio_32`).
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from aerofn.bridge.door import Caps, Door
from aerofn.bridge.guard import Guard
from aerofn.bridge.session import Session
from aerofn.db import pool
from aerofn.db.embedded import EmbeddedPostgres
from aerofn.db.migrate import migrate
from aerofn.model import Caller
from aerofn.settings import Settings, from_env
from bench.figures import tell

SCHEMA = """
CREATE TABLE todos (id int PRIMARY KEY, owner text NOT NULL, title text NOT NULL, done boolean NOT NULL,
  price numeric(10, 2) NOT NULL, tags jsonb NOT NULL, due date, created_at timestamptz NOT NULL);
INSERT INTO todos SELECT g, (g % 100)::text, 'todo number ' || g, g % 3 = 0, g * 1.25,
  jsonb_build_object('list', 'home', 'rank', g % 10), date '2026-01-01' + g % 365, now() - g * interval '1 minute'
FROM generate_series(1, 20000) g;
CREATE INDEX ON todos (owner);
CREATE TABLE todos_raw (LIKE todos INCLUDING ALL);
INSERT INTO todos_raw SELECT * FROM todos;
ALTER TABLE todos ENABLE ROW LEVEL SECURITY;
ALTER TABLE todos_raw ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON todos USING (owner = (SELECT auth.uid()));
CREATE POLICY own ON todos_raw USING (owner = (SELECT current_setting('request.jwt.claims', true)::jsonb ->> 'sub'));
GRANT SELECT ON todos, todos_raw TO authenticated;
CREATE ROLE bench_authenticator LOGIN NOINHERIT PASSWORD 'bench';
GRANT authenticated TO bench_authenticator;
GRANT EXECUTE ON FUNCTION set_config(text, text, boolean) TO authenticated;
ANALYZE;
"""
ONE = "SELECT id, title FROM {} WHERE id = $1"
HUNDRED = "SELECT id, title, done, price, tags, due, created_at FROM {} LIMIT 100"
NARROW = "SELECT id, title FROM {} LIMIT 100"
CLAIMS = {"sub": "7", "role": "authenticated"}
PEER = "asyncpg by hand"
CONNECTIONS = 10
Work = Callable[[], Awaitable[str | bytes]]


class Times(NamedTuple):
    """Of a round of calls, in ms: the median, the 99th percentile, and the wall time by calls."""

    median: float
    p99: float
    mean: float


class Turns:
    """A proxy before PostgreSQL that counts how often the client speaks after the server has."""

    def __init__(self) -> None:
        self.turns = 0

    async def serve(self, host: str, port: int) -> tuple[asyncio.Server, int]:
        """Listen; the port."""

        async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            theirs, ours = await asyncio.open_connection(host, port)
            await asyncio.gather(self._pass(reader, ours, True), self._pass(theirs, writer, False))

        server = await asyncio.start_server(joined, "127.0.0.1", 0)
        return server, server.sockets[0].getsockname()[1]

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, client: bool) -> None:
        while data := await source.read(1 << 16):
            if client:
                self.turns += 1
            sink.write(data)
        sink.close()


async def main(runs: int, rounds: int) -> None:
    """Measure everything `runs` times."""
    with tempfile.TemporaryDirectory() as directory, EmbeddedPostgres(Path(directory) / "pg") as server:
        # One function has the pool to itself, as the peer has its own.
        settings = from_env({}, database_url=server.url, function_pool_size=CONNECTIONS)
        connection = await asyncpg.connect(server.url)
        await migrate(connection, settings)
        await connection.execute(SCHEMA)
        await connection.close()
        guard = Guard()
        try:
            await _round_trips(settings, guard)
            await _compare(settings, guard, runs, rounds)
            await _guard_cost(guard, runs)
        finally:
            await guard.close()


async def _round_trips(settings: Settings, guard: Guard) -> None:
    url, counter = urlsplit(settings.database_url), Turns()
    assert url.hostname is not None
    assert url.port is not None
    server, port = await counter.serve(url.hostname, url.port)
    netloc = f"{url.username}:{url.password}@127.0.0.1:{port}"
    proxied = from_env({}, database_url=urlunsplit(url._replace(netloc=netloc)))
    pools = pool.open_role_pools(proxied, await pool.known_logins(settings))
    work = _product(Door("authenticated", pools["authenticated"], guard, Caps()), ONE, "[107]")
    counts = []
    for _ in range(20):
        before = counter.turns
        await work()
        counts.append(float(counter.turns - before))
    await pool.close(*pools.values())
    server.close()
    tell("round_trips", counts[-3:], "messages", goal=3)


async def _compare(settings: Settings, guard: Guard, runs: int, rounds: int) -> None:
    pools = pool.open_role_pools(settings, await pool.known_logins(settings))
    door = Door("authenticated", pools["authenticated"], guard, Caps())
    peers = await asyncpg.create_pool(
        settings.database_url,
        user="bench_authenticator",
        password="bench",
        min_size=CONNECTIONS,
        max_size=CONNECTIONS,
    )
    one = _product(door, ONE, "[107]"), _by_hand(peers, ONE, 107)
    in_turn = _by_hand(peers, ONE, 107, turn=asyncio.Semaphore(CONNECTIONS))
    hundred = _product(door, HUNDRED, "[]"), _by_hand(peers, HUNDRED)
    narrow = _product(door, NARROW, "[]"), _by_hand(peers, NARROW)
    assert json.loads(await one[0]())["rows"] == json.loads(await one[1]())
    await _figure("query_ratio", *one, 1.2, runs, rounds)
    await _figure("query_ratio_32", one[0], in_turn, 1.2, runs, rounds, 32)
    await _figure("query_mean_ratio_32", *one, 1.2, runs, rounds, 32, Times._fields.index("mean"))
    await _figure("query_p99_ratio_32", *one, None, runs, rounds, 32, Times._fields.index("p99"))
    await _figure("rows100_ratio", *hundred, 0.8, runs, rounds // 4)
    await _figure("rows100_narrow_ratio", *narrow, None, runs, rounds // 4)
    await peers.close()
    await pool.close(*pools.values())


async def _figure(
    figure: str,
    ours: Work,
    theirs: Work,
    goal: float | None,
    runs: int,
    rounds: int,
    together: int = 1,
    which: int = 0,
) -> None:
    """Tell one of `Times` for both; each run is one of ours and one of theirs, so that a slow minute meets both."""
    ours_ms, theirs_ms = [], []
    for work in (ours, theirs):
        await _times(work, 50, together)  # connections, plans
    for _ in range(runs):
        ours_ms.append((await _times(ours, rounds, together))[which])
        theirs_ms.append((await _times(theirs, rounds, together))[which])
    tell(figure, ours_ms, "ms", peer=PEER, peer_runs=theirs_ms, goal=goal)


async def _times(work: Work, rounds: int, together: int) -> Times:
    times: list[float] = []

    async def again() -> None:
        for _ in range(max(1, rounds // together)):
            started = time.perf_counter()
            await work()
            times.append((time.perf_counter() - started) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*(again() for _ in range(together)))
    wall = (time.perf_counter() - began) * 1000
    return Times(median(times), quantiles(times, n=100)[98], wall / len(times))


def _product(door: Door, statement: str, params: str) -> Work:
    text = statement.format("todos")

    async def work() -> bytes:
        session = Session(door, Caller("authenticated", CLAIMS), "bench")
        ok, doc = await session.query(text, params)
        assert ok, doc
        await session.commit()
        return doc

    return work


def _by_hand(
    peers: "asyncpg.Pool[asyncpg.Record]",
    statement: str,
    *params: int,
    turn: asyncio.Semaphore | None = None,
) -> Work:
    text, claims, places = statement.format("todos_raw"), json.dumps(CLAIMS), turn or nullcontext()

    async def work() -> str:
        async with places, peers.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL ROLE authenticated")
            await connection.execute("SELECT set_config('request.jwt.claims', $1, true)", claims)
            return json.dumps([dict(row) for row in await connection.fetch(text, *params)], default=str)

    return work


async def _guard_cost(guard: Guard, runs: int) -> None:
    text, costs, rounds = ONE.format("todos"), [], 100_000
    for _ in range(runs):
        started = time.perf_counter()
        for _ in range(rounds):
            guard.remembered(text)
        costs.append((time.perf_counter() - started) * 1e6 / rounds)
    tell("guard_us", costs, "us", goal=2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2000)
    options = parser.parse_args()
    asyncio.run(main(options.runs, options.rounds))
