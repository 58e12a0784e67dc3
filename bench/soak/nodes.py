"""The nodes: `aerofn serve` as processes, started again when they end, as whatever runs them would."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
import psutil

from aerofn.runtime.compiler import CHILD as COMPILER

ROOT = Path(__file__).parents[2]
GRACE_S = 10
_READY_S = 120.0
_NEVER_SAID = ("Task exception was never retrieved", "the node cannot go on")
_ONCE = {"Connection": "close"}  # so that it does not stay with one worker
_WARM = {"ledger": {"warm": True}, "hostile": {"deed": "warm"}}
_PSS = re.compile(r"^Pss: +(\d+) kB", re.MULTILINE)


class Node:
    """One `aerofn serve`, with one process or several workers, on a port that stays its own.

    Args:
        cache: name of its cache directory, which nodes may share.
        inside: words to put in front of the command: what it runs in.
    """

    def __init__(
        self,
        name: str,
        place: Path,
        environment: dict[str, str],
        *,
        cache: str,
        workers: int = 1,
        inside: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.port = _free_port()
        self.log = place / f"node-{name}.log"
        self.cache = place / cache
        self.workers = workers
        self.wanted = False
        self.away = False  # on purpose: stopped or paused
        self.exits: list[int] = []
        self.process: asyncio.subprocess.Process | None = None
        self._inside = inside
        self._environment = {
            **environment, "AEROFN_PORT": str(self.port), "AEROFN_CACHE_DIR": str(self.cache),
            "AEROFN_SHUTDOWN_GRACE_S": str(GRACE_S),
        }  # fmt: skip

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it; it need not be ready yet."""
        self.wanted = True
        self.cache.mkdir(exist_ok=True)
        serve = [sys.executable, "-m", "aerofn", "serve", "--workers", str(self.workers)]
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self._inside, *serve, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._environment, cwd=ROOT,
            )  # fmt: skip

    async def stop(self) -> int:
        """Tell it to end in order; its exit code."""
        self.wanted, process = False, self._running
        process.terminate()
        try:
            async with asyncio.timeout(GRACE_S + 30):
                return await process.wait()
        except TimeoutError:
            process.kill()
            return await process.wait()

    def members(self) -> list[psutil.Process]:
        """The processes that are nodes: its workers, or itself."""
        own = psutil.Process(self._running.pid)
        return (
            [child for child in own.children() if "--listening" in _command(child)]
            if self.workers > 1
            else [own]
        )

    def kill(self, which: int) -> None:
        """SIGKILL one of its members."""
        with contextlib.suppress(psutil.Error, IndexError):
            members = self.members()
            members[which % len(members)].kill()

    def signal(self, number: signal.Signals, which: int) -> psutil.Process | None:
        """Send a signal to one of its members; which it was."""
        with contextlib.suppress(psutil.Error, IndexError):
            members = self.members()
            member = members[which % len(members)]
            member.send_signal(number)
            return member
        return None

    def memory_mb(self) -> float:
        """What its processes hold, pages that they share divided among them (PSS); without what is being compiled."""
        total = 0
        with contextlib.suppress(psutil.Error):
            own = psutil.Process(self._running.pid)
            for process in (own, *own.children(recursive=True)):
                if COMPILER in _command(process):
                    continue  # it comes and goes
                with contextlib.suppress(OSError):
                    found = _PSS.search(Path(f"/proc/{process.pid}/smaps_rollup").read_text())
                    total += int(found[1]) if found else 0
        return round(total / 1024, 1)

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self.process is not None, "start() comes first"
        return self.process


class Nodes:
    """All nodes of a soak."""

    def __init__(self, *nodes: Node) -> None:
        self.all = nodes
        self.unexpected: list[str] = []
        self._asking: aiohttp.ClientSession | None = None

    def __getitem__(self, name: str) -> Node:
        return next(node for node in self.all if node.name == name)

    async def start(self) -> None:
        self._asking = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
        await asyncio.gather(*(node.start() for node in self.all))

    async def keep(self, now: Callable[[], float]) -> None:
        """Start again what has ended and was not told to; until cancelled."""
        while True:
            for node in self.all:
                if node.wanted and node.process is not None and node.process.returncode is not None:
                    if node.process.returncode != -signal.SIGKILL:
                        self.unexpected.append(
                            f"node {node.name} ended with {node.process.returncode} at {now():.0f} s"
                        )
                    await node.start()
            await asyncio.sleep(0.2)

    async def ready(self, seconds: float = _READY_S) -> None:
        """Wait until every member of every node says that it is ready, twice as often as there are members.

        Raises:
            TimeoutError: one does not.
        """
        async with asyncio.timeout(seconds):
            for node in self.all:
                in_a_row = 0
                while in_a_row < 2 * node.workers:
                    in_a_row = in_a_row + 1 if await self._is_ready(node) else 0
                    await asyncio.sleep(0.05 if in_a_row else 0.2)

    async def _is_ready(self, node: Node) -> bool:
        assert self._asking is not None, "start() comes first"
        with contextlib.suppress(psutil.Error):
            if len(node.members()) < node.workers:
                return False
        try:
            async with self._asking.get(f"{node.url}/readyz", headers=_ONCE) as answer:
                ready = answer.status == 200
            for name, body in _WARM.items():  # and has compiled what it is to run
                url = f"{node.url}/functions/v1/{name}"
                async with self._asking.post(url, json=body, headers=_ONCE) as answer:
                    ready = ready and answer.status == 200
            return ready
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def stop(self) -> dict[str, int]:
        """End all in order; their exit codes."""
        codes = await asyncio.gather(*(node.stop() for node in self.all))
        return {node.name: code for node, code in zip(self.all, codes, strict=True)}

    async def close(self) -> None:
        """Kill what is left."""
        if self._asking is not None:
            await self._asking.close()
        for node in self.all:
            node.wanted = False
            if node.process is not None and node.process.returncode is None:
                for process in (*psutil.Process(node.process.pid).children(recursive=True), node.process):
                    with contextlib.suppress(psutil.Error, ProcessLookupError):
                        process.kill()
                await node.process.wait()

    def tracebacks(self) -> list[str]:
        """What nodes said that nobody is to see."""
        found = []
        for node in self.all:
            text = node.log.read_text(errors="replace") if node.log.exists() else ""
            for line in text.splitlines():
                if any(word in line for word in _NEVER_SAID):
                    found.append(f"node {node.name}: {line[:300]}")
        return found


def environment(url: str, secret: str, key: str) -> dict[str, str]:
    """What every node is told."""
    return {
        "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(ROOT),
        "DATABASE_URL": url, "AEROFN_JWT_SECRET": secret, "AEROFN_SECRET_KEY": key, "AEROFN_LEASE_S": "1",
        "AEROFN_EGRESS_ALLOW": "127.0.0.0/8", "AEROFN_RECORDS_TO_STDOUT": "false", "AEROFN_LOG_LEVEL": "warning",
    }  # fmt: skip


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
