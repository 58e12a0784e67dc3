"""What all of the load works with, and how it is kept up."""

import asyncio
import itertools
import random
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bench.soak.client import Client, Reply
from bench.soak.far_side import FarSide
from bench.soak.ledger import Ledger
from bench.soak.postgres import Postgres

_AT_ONCE = 40
_PATIENCE_S = 120.0


@dataclass
class Site:
    """The soak as its load sees it. `now`: seconds since the start."""

    client: Client
    postgres: Postgres
    ledger: Ledger
    far: FarSide
    far_name: str | None
    draw: random.Random
    now: Callable[[], float]
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def number(self) -> int:
        """Never the same twice."""
        return next(self._numbers)

    def url(self) -> str:
        """Where functions' own requests go; by a new name each time, where names are looked up."""
        name = f"{self.number()}.{self.far_name}" if self.far_name else "127.0.0.1"
        return f"http://{name}:{self.far.port}/"

    async def until_accepted(self, kind: str, key: str, send: Callable[[], Awaitable[Reply]]) -> Reply | None:
        """Repeat a request that may be repeated, as its sender would; None if it was never accepted."""
        self.ledger.sent[kind].add(key)
        until = self.now() + _PATIENCE_S
        while self.now() < until:
            reply = await send()
            if reply.status in (200, 202):
                self.ledger.accept(kind, [key])
                return reply
            await asyncio.sleep(self.draw.uniform(0.2, 1))
        self.ledger.broken_promises.append(f"{kind} {key} was not accepted within {_PATIENCE_S:.0f} s")
        return None


Stream = Callable[[Site], Awaitable[None]]


class Load:
    """Streams, each with so many starts a second on average.

    Nobody waits for an answer before the next start, but of one stream no more than so many are under way.
    """

    def __init__(self, site: Site, streams: dict[Stream, float], rate: float) -> None:
        self._site = site
        self._streams = streams
        self._rate = rate
        self._stopping = asyncio.Event()
        self.held_back = 0

    async def run(self) -> None:
        """Keep it up until `stop`, then wait for what is under way."""
        async with asyncio.TaskGroup() as all_streams:
            for stream, per_second in self._streams.items():
                all_streams.create_task(self._keep(stream, per_second * self._rate))

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping.set()

    async def _keep(self, stream: Stream, per_second: float) -> None:
        under_way: set[asyncio.Task[None]] = set()
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(self._site.draw.expovariate(per_second)):
                    await self._stopping.wait()
            except TimeoutError:
                if len(under_way) >= _AT_ONCE:
                    self.held_back += 1
                    continue
                task = asyncio.create_task(self._once(stream))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)

    async def _once(self, stream: Stream) -> None:
        try:
            await stream(self._site)
        except Exception:  # the soak itself is wrong: that must be seen, at the end at the latest
            self._site.ledger.broken_promises.append(f"{stream.__name__}: {traceback.format_exc(limit=-3)}")
