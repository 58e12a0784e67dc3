"""`aerofn serve --workers N`: N nodes on one machine, each a process of its own, on one listening port.

The parent binds the port and starts the workers; one that dies is started again, with growing pauses if it dies
soon. SIGTERM and SIGINT go on to all of them. A worker notices by its standard input that its parent is gone, and
stops as if told to.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time

import structlog

from aerofn.app.server import listen
from aerofn.app.signals import signals
from aerofn.settings import Settings

log = structlog.get_logger(__name__)
_SOON_S = 10.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_BEYOND_GRACE_S = 15.0


class Workers:
    """The parent of worker processes, until `stop` is called.

    Args:
        listening: the socket they accept connections on.
    """

    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        self._settings = settings
        self._listening = listening
        self._number = 0
        self._directory = ""
        self._running: set[asyncio.subprocess.Process] = set()
        self._stopping = asyncio.Event()

    async def run(self, number: int) -> int:
        """Keep `number` workers running until stopped; the exit code, 0 if all of them ended in order."""
        self._number = number
        with tempfile.TemporaryDirectory(prefix="aerofn-") as self._directory:  # only this user may enter it
            codes = await asyncio.gather(*(self._keep(place) for place in range(1, number + 1)))
        return 0 if not any(codes) else 1

    def stop(self) -> None:
        """Tell all workers to stop in order."""
        self._stopping.set()
        for worker in self._running:
            _terminate(worker)

    async def _keep(self, place: int) -> int:
        """Run a worker, and another one when it has died; the last one's exit code."""
        pause, first = _FIRST_PAUSE_S, True
        while True:
            started = time.monotonic()
            worker = await self._start(place)
            code = await self._end_of(worker)
            if first and code > 0 and time.monotonic() - started < _SOON_S:
                self.stop()  # it could not start, and has said why
            if self._stopping.is_set():
                # Ended by the signal itself: it had not begun to run anything yet.
                return 0 if code == -signal.SIGTERM else code
            first = False
            pause = (
                _FIRST_PAUSE_S if time.monotonic() - started > _SOON_S else min(pause * 2, _LONGEST_PAUSE_S)
            )
            log.error("a worker ended", worker=place, exit_code=code, again_in_s=pause)
            try:
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
                return code
            except TimeoutError:
                continue

    async def _start(self, place: int) -> asyncio.subprocess.Process:
        descriptor = self._listening.fileno()
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "aerofn", "serve", "--listening", str(descriptor),
            "--place", f"{place}/{self._number}", "--siblings", self._directory,
            stdin=asyncio.subprocess.PIPE, pass_fds=(descriptor,), env=_environment(self._settings),
        )  # fmt: skip
        self._running.add(worker)
        if self._stopping.is_set():
            _terminate(worker)
        return worker

    async def _end_of(self, worker: asyncio.subprocess.Process) -> int:
        """The worker's exit code; one that does not stop when told to is killed."""
        ended = asyncio.create_task(worker.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ended.done():
            await asyncio.wait((ended,), timeout=self._settings.shutdown_grace_s + _BEYOND_GRACE_S)
        if not ended.done():
            log.error("a worker does not stop: it is killed", pid=worker.pid)
            worker.kill()
        code = await ended
        self._running.discard(worker)
        return code


def _terminate(worker: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        worker.terminate()


async def serve_with_workers(settings: Settings, number: int) -> int:
    """Serve with `number` worker processes until SIGTERM or SIGINT; the exit code.

    Raises:
        SettingsError: the address is taken.
    """
    with listen(settings) as listening:
        workers = Workers(settings, listening)
        with signals(lambda _number: workers.stop()):
            return await workers.run(number)


async def parent_gone() -> None:
    """Return when the process at the other end of standard input is gone."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


def _environment(settings: Settings) -> dict[str, str]:
    """The parent's own, with what its command line said; a URL has a password, so it is no argument."""
    return {**os.environ, "AEROFN_DATABASE_URL": settings.database_url}
