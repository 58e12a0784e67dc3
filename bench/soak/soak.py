"""One soak from its beginning to its report."""

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import asyncpg

from aerofn.build import build
from aerofn.db.migrate import migrate
from aerofn.settings import from_env
from bench.soak import deploys, events, evidence, inside, report, requests, verdict
from bench.soak.client import Client
from bench.soak.deploys import Deploys
from bench.soak.far_side import NAME, FarSide, NameServer
from bench.soak.faults import Faults
from bench.soak.ledger import Ledger
from bench.soak.nodes import Node, Nodes, environment
from bench.soak.plan import plan
from bench.soak.postgres import HERE, Postgres, Q
from bench.soak.report import Report
from bench.soak.site import Load, Site, Stream
from bench.soak.watch import Sample, Watch

_CONNECTIONS = 100
_STARTED_S = 180.0  # each node compiles for itself
_SETTLED_S = 180.0
_OVERTIME_S = 60.0  # on a slow machine, for the faults that were to come
# Starts a second at rate 1.
_STREAMS: dict[Stream, float] = {
    requests.plain: 10, requests.keyed: 3, requests.later: 1, requests.failing: 0.5, requests.fetching: 1,
    requests.hostile: 0.5, requests.gone: 1, events.orders: 3, events.accounts: 3, events.invokes: 4,
    events.hostile_events: 0.05, events.deliveries: 3, events.forgeries: 0.3,
}  # fmt: skip
Tell = Callable[[str], None]


class Soak:
    """A PostgreSQL, its nodes, load and faults.

    Args:
        kinds: of faults; by default all that are possible here.
        tell: progress, a line at a time.
    """

    def __init__(
        self, place: Path, *, seed: int, seconds: float, rate: float = 1.0, kinds: tuple[str, ...] = (),
        tell: Tell = print,
    ) -> None:  # fmt: skip
        self._place = place
        self._seed = seed
        self._seconds = seconds
        self._rate = rate
        self._kinds = kinds
        self._tell = tell
        self._epoch = time.time()
        self._unsettled: list[str] = []
        self._ledger = Ledger()
        self._postgres = Postgres(place / "pg", _CONNECTIONS)
        self._secret, self._key = secrets.token_hex(32), secrets.token_hex(32)

    def now(self) -> float:
        """Seconds since the load began."""
        return time.time() - self._epoch

    async def run(self) -> Report:
        """All of it; the report says whether everything held."""
        async with contextlib.AsyncExitStack() as stack:
            far = await stack.enter_async_context(FarSide())
            mounts = await inside.possible()
            names = await _name_server(stack) if mounts else None
            await self._prepare(stack, far, names is not None)
            nodes = await self._nodes(stack, mounts=mounts, named=names is not None)
            faults = Faults(nodes, self._postgres, self.now, name_server=names, small_disk=mounts)
            return await self._soak(stack, nodes, faults, far)

    async def _prepare(self, stack: contextlib.AsyncExitStack, far: FarSide, named: bool) -> None:
        """A database with the schema, and the functions built and registered."""
        self._tell("building the functions, starting PostgreSQL")
        stack.push_async_callback(self._postgres.close)
        await self._postgres.start()
        connection = await asyncpg.connect(self._postgres.url)
        settings = from_env({}, database_url=self._postgres.url, secret_key=self._key)
        await migrate(connection, settings)
        await connection.close()
        await self._postgres.script((HERE / "schema.sql").read_text(encoding="utf-8"))
        self._far_name = NAME if named else None
        self._host = f"*.{NAME}:{far.port}" if named else f"127.0.0.1:{far.port}"
        self._wasm = {name: await asyncio.to_thread(self._built, name) for name in ("ledger", "hostile")}
        await self._postgres.fetch(
            Q.register, "ledger", self._wasm["ledger"], deploys.TIMEOUT_MS, [self._host], None
        )
        await self._postgres.fetch(Q.register, "hostile", self._wasm["hostile"], 1000, [], 32)
        await self._postgres.fetch(Q.attach)

    def _built(self, name: str) -> bytes:
        target = self._place / f"{name}.wasm"
        build(HERE / "guests" / f"{name}.js", target)
        return target.read_bytes()

    async def _nodes(self, stack: contextlib.AsyncExitStack, *, mounts: bool, named: bool) -> Nodes:
        """Three: a with two workers, b with a small disk for a cache of its own, and c, which is never started anew."""
        given = environment(self._postgres.url, self._secret, self._key)
        names = (inside.own_names(self._place),) if named else ()
        own = self._place / "cache-b"
        own.mkdir()
        disk = (inside.small_disk(own),) if mounts else ()
        plain, small = await inside.namespace(stack, *names), await inside.namespace(stack, *names, *disk)
        nodes = Nodes(
            Node("a", self._place, given, cache="cache", workers=2, inside=plain),
            Node("b", self._place, given, cache="cache-b", inside=small),
            Node("c", self._place, given, cache="cache", inside=plain),
        )
        stack.push_async_callback(nodes.close)
        await nodes.start()
        await nodes.ready(_STARTED_S)
        await self._postgres.fetch(Q.secret, events.WEBHOOK_SECRET)  # a node has made the key that seals it
        return nodes

    async def _soak(
        self, stack: contextlib.AsyncExitStack, nodes: Nodes, faults: Faults, far: FarSide
    ) -> Report:
        draw = random.Random(self._seed)
        client = Client(nodes.all, self._ledger, self._secret, self.now, draw)
        stack.push_async_callback(client.close)
        site = Site(client, self._postgres, self._ledger, far, self._far_name, draw, self.now)
        releases = Deploys(self._wasm["ledger"], self._host)
        load = Load(site, {**_STREAMS, releases.once: max(1 / 60, 4 / self._seconds)}, self._rate)
        watch = Watch(nodes, self._postgres, self.now, self._progress())
        codes = await self._under_load(load, nodes, faults, watch)
        return await self._judged(load, nodes, faults, watch, far, codes)

    async def _under_load(self, load: Load, nodes: Nodes, faults: Faults, watch: Watch) -> dict[str, int]:
        """The load with its faults, until all is settled and the nodes have ended; their exit codes."""
        blows = plan(self._seed, self._seconds, self._kinds or faults.kinds)
        self._tell("\n".join(["the faults to come:", *map(str, blows)]))
        await self._postgres.fetch(Q.schedule)
        self._epoch = time.time()
        async with _beside(nodes.keep(self.now), watch.run()):
            loading = asyncio.create_task(load.run())
            for blow in blows:
                await self._until(blow.at)
                if self.now() > self._seconds + _OVERTIME_S:
                    self._tell(f"left out, since those before took longer: {blow}")
                    continue
                self._tell(f"{self.now():7.1f} s  {blow.kind}")
                window = await faults.strike(blow)
                after = window.ended - window.undone
                self._tell(f"{window.ended:7.1f} s  {blow.kind}: {window.said}; ready {after:.1f} s later")
            await self._until(self._seconds)
            await self._postgres.surely(Q.unschedule)
            load.stop()
            await loading
            self._tell(f"{self.now():7.1f} s  no more load; waiting until all is settled")
            self._unsettled = await evidence.settled(self._postgres, _SETTLED_S)
            await watch.look()
        return await nodes.stop()

    async def _judged(
        self, load: Load, nodes: Nodes, faults: Faults, watch: Watch, far: FarSide, codes: dict[str, int]
    ) -> Report:
        found = await evidence.gather(self._postgres, self._ledger, far.keys)
        found.unsettled = self._unsettled
        troubles = [*faults.troubles, *nodes.unexpected, *nodes.tracebacks()]
        troubles += [f"node {name} ended with {code}" for name, code in codes.items() if code != 0]
        checks = verdict.judge(self._ledger, found, watch, faults.windows, troubles)
        if load.held_back:
            self._tell(f"{load.held_back} starts left out: too many of their stream were under way")
        return report.make(
            seed=self._seed, seconds=self._seconds, rate=self._rate, checks=checks, evidence=found,
            windows=faults.windows, ledger=self._ledger, samples=watch.samples, impossible=faults.impossible,
            figures=verdict.figures(self._ledger, found, faults.windows, self._epoch),
        )  # fmt: skip

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - self.now()))

    def _progress(self) -> Callable[[Sample], None]:
        """Tells of every third sample."""
        seen = 0

        def told(sample: Sample) -> None:
            nonlocal seen
            seen += 1
            if seen % 3 == 1:
                memory = ", ".join(f"{name} {mb:.0f} MB" for name, mb in sample.memory_mb.items())
                self._tell(f"{sample.at:7.1f} s  {sample.effects} effects; {memory}")

        return told


@contextlib.asynccontextmanager
async def _beside(*background: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run these until the block is over; what one of them raises is raised."""
    running = [asyncio.create_task(one) for one in background]
    try:
        yield
    finally:
        for one in running:
            one.cancel()
        for result in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


async def _name_server(stack: contextlib.AsyncExitStack) -> NameServer | None:
    names = NameServer()
    try:
        await names.start()
    except OSError:
        return None
    stack.callback(names.close)
    return names
