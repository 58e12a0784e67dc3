"""The faults: each is committed, and undone where it does not pass by itself; then everything has to be ready again."""

import asyncio
import contextlib
import errno
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import psutil

from bench.soak.far_side import NameServer
from bench.soak.ledger import Answer
from bench.soak.nodes import Node, Nodes
from bench.soak.plan import Blow
from bench.soak.postgres import AWAY, Postgres, Q

PAUSE_S = 8.0  # past the lease: 1 s and the function's time limit of 5 s
_LATE_S = 2.0
_STRANGERS = 200
_AFTER_S = 1.0


@dataclass
class Window:
    """When a fault was, and until everything was as before. Times in seconds since the start."""

    kind: str
    began: float
    undone: float = 0.0
    ended: float = 0.0
    said: str = ""

    def excuses(self, answer: Answer) -> bool:
        """Whether an answer that was not as it should be may be this fault's doing."""
        if answer.ended < self.began or answer.began > self.ended:
            return False
        about = _EXCUSED.get(self.kind, "")
        return about in ("everything", answer.node, answer.kind)


# What may go wrong meanwhile: everything, only what one node was asked, only one kind of request; else nothing.
_EXCUSED = {
    "PostgreSQL crashes": "everything",
    "connections cut": "everything",
    "connections exhausted": "everything",
    "a worker killed": "a",
    "a worker paused": "a",
    "a node killed": "b",
    "a node paused": "b",
    "a node stopped": "b",
    "workers stopped": "a",
    "disk full": "deploy",
}


class Faults:
    """Commits faults, and knows when they were.

    Args:
        name_server: of the nodes, where they have one of the soak's own.
        small_disk: whether node b's cache lies on a small file system of its own.
    """

    def __init__(
        self, nodes: Nodes, postgres: Postgres, now: Callable[[], float], *, name_server: NameServer | None,
        small_disk: bool,
    ) -> None:  # fmt: skip
        self._nodes = nodes
        self._postgres = postgres
        self._now = now
        self._name_server = name_server
        self._ways: dict[str, Callable[[random.Random], Awaitable[str]]] = {
            "PostgreSQL crashes": self._crash,
            "connections cut": self._cut,
            "connections exhausted": self._exhaust,
            "a worker killed": lambda draw: self._kill(nodes["a"], draw),
            "a worker paused": lambda draw: self._pause(nodes["a"], draw),
            "a node killed": lambda draw: self._kill(nodes["b"], draw),
            "a node paused": lambda draw: self._pause(nodes["b"], draw),
            "a node stopped": lambda _: self._stop(nodes["b"]),
            "workers stopped": lambda _: self._stop(nodes["a"]),
            "an old transaction": self._old_transaction,
            "slow DNS": self._slow_names,
            "disk full": self._fill,
        }
        possible = {"slow DNS": name_server is not None, "disk full": small_disk}
        self.impossible = [kind for kind, here in possible.items() if not here]
        self.windows: list[Window] = []
        self.troubles: list[str] = []

    @property
    def kinds(self) -> list[str]:
        """What can be committed here."""
        return [kind for kind in self._ways if kind not in self.impossible]

    async def strike(self, blow: Blow) -> Window:
        """Commit one, undo it, and wait until all nodes are ready."""
        window = Window(blow.kind, self._now(), ended=float("inf"))
        self.windows.append(window)
        window.said = await self._ways[blow.kind](random.Random(blow.seed))
        window.undone = self._now()
        with contextlib.suppress(TimeoutError):  # how long it took is judged at the end
            await self._nodes.ready()
        await asyncio.sleep(_AFTER_S)
        window.ended = self._now()
        return window

    async def _crash(self, draw: random.Random) -> str:
        await asyncio.sleep(draw.uniform(0, 0.3))
        await self._postgres.crash()
        return "SIGQUIT, started again"

    async def _cut(self, draw: random.Random) -> str:
        for _ in range(3):
            with contextlib.suppress(*AWAY):
                await self._postgres.fetch(Q.cut, draw.random())
            await asyncio.sleep(0.3)
        return "half of them, three times"

    async def _exhaust(self, draw: random.Random) -> str:
        async with _strangers(self._postgres.url) as number:
            with contextlib.suppress(*AWAY):
                await self._postgres.fetch(Q.cut, draw.random())
            await asyncio.sleep(4)
        return f"by {number} strangers"

    async def _kill(self, node: Node, draw: random.Random) -> str:
        node.kill(draw.randrange(8))
        await asyncio.sleep(0.5)  # until its parent, or whoever keeps the nodes, has noticed
        return "SIGKILL"

    async def _pause(self, node: Node, draw: random.Random) -> str:
        member = node.signal(signal.SIGSTOP, draw.randrange(8))
        await asyncio.sleep(PAUSE_S)
        if member is not None:
            with contextlib.suppress(psutil.Error):
                member.send_signal(signal.SIGCONT)
        return f"SIGSTOP for {PAUSE_S:.0f} s"

    async def _stop(self, node: Node) -> str:
        code = await node.stop()
        if code != 0:
            self.troubles.append(f"node {node.name} was told to stop and ended with {code}")
        await node.start()
        return f"SIGTERM: ended with {code}"

    async def _old_transaction(self, _draw: random.Random) -> str:
        with contextlib.suppress(*AWAY):
            conn = await asyncpg.connect(self._postgres.url, timeout=10)
            try:
                async with conn.transaction(isolation="repeatable_read"):
                    await conn.execute("SELECT count(*) FROM effects")
                    await asyncio.sleep(PAUSE_S)
            finally:
                conn.terminate()
        return f"open for {PAUSE_S:.0f} s"

    async def _slow_names(self, _draw: random.Random) -> str:
        assert self._name_server is not None
        self._name_server.late_s, before = _LATE_S, self._name_server.asked
        await asyncio.sleep(PAUSE_S)
        self._name_server.late_s = 0
        return f"{self._name_server.asked - before} answers {_LATE_S:.0f} s late"

    async def _fill(self, _draw: random.Random) -> str:
        """Node b's disk: what it is to compile does not fit there any more."""
        node = self._nodes["b"]
        filler = f"/proc/{node.members()[0].pid}/root{node.cache}/filler"  # as the node sees it
        written = await asyncio.to_thread(_fill, filler)
        await asyncio.sleep(PAUSE_S)
        with contextlib.suppress(OSError):
            os.unlink(filler)  # noqa: PTH108
        return f"{written >> 20} MB written"


@contextlib.asynccontextmanager
async def _strangers(url: str) -> AsyncIterator[int]:
    """Connections of others, as many as PostgreSQL takes."""
    opened = []
    try:
        for _ in range(_STRANGERS):
            try:
                opened.append(await asyncpg.connect(url, user="stranger", password="stranger", timeout=10))
            except AWAY:
                break
        yield len(opened)
    finally:
        for conn in opened:
            conn.terminate()


def _fill(file: str) -> int:
    """Write until there is no room; how many bytes there was room for."""
    written, size = 0, 1 << 20
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        while size:
            try:
                written += os.write(descriptor, bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size >>= 1
    finally:
        os.close(descriptor)
    return written
