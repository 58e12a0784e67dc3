"""The guard: asks a child process for the verdict over each SQL text, once, and remembers it.

No answer, a crash or a late answer is a refusal; the next text gets a new child.
"""

import asyncio
import contextlib
import struct
import sys
from collections import OrderedDict

import msgspec
import structlog

from aerofn.bridge.verdict import MAX_BYTES, Verdict

_REMEMBERED = 4096
_ANSWER_S = 5.0
_decode = msgspec.json.Decoder(Verdict).decode
log = structlog.get_logger(__name__)


class Guard:
    """Verdicts by text, least recently used ones forgotten first."""

    def __init__(self) -> None:
        self._verdicts: OrderedDict[str, Verdict] = OrderedDict()
        self._child: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    def remembered(self, text: str) -> Verdict | None:
        """The verdict over a text seen before."""
        verdict = self._verdicts.get(text)
        if verdict is not None:
            self._verdicts.move_to_end(text)
        return verdict

    async def verdict(self, text: str) -> Verdict:
        """The verdict over `text`."""
        if len(text) > MAX_BYTES:
            return Verdict(refusal=f"a statement may have {MAX_BYTES} bytes at the most", code="54000")
        verdict = self.remembered(text) or await self._asked(text)
        self._verdicts[text] = verdict
        if len(self._verdicts) > _REMEMBERED:
            self._verdicts.popitem(last=False)
        return verdict

    async def close(self) -> None:
        """End the child; idempotent."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()
            await self._child.wait()
            self._child = None

    async def _asked(self, text: str) -> Verdict:
        async with self._turn:
            try:
                async with asyncio.timeout(_ANSWER_S):
                    return await self._exchange(text.encode())
            except UnicodeEncodeError:
                return Verdict(refusal="the statement is not valid Unicode", code="22021")
            except (OSError, EOFError, TimeoutError, msgspec.DecodeError) as error:
                await self.close()
                log.warning(
                    "guard: a statement could not be judged", error=type(error).__name__, length=len(text)
                )
                return Verdict(refusal="the statement is too complex to be checked", code="54001")
            except asyncio.CancelledError:
                await self.close()  # its answer would be taken for the next one's
                raise

    async def _exchange(self, text: bytes) -> Verdict:
        child = self._child or await self._started()
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(struct.pack("<I", len(text)) + text)
        await child.stdin.drain()
        (length,) = struct.unpack("<I", await child.stdout.readexactly(4))
        return _decode(await child.stdout.readexactly(length))

    async def _started(self) -> asyncio.subprocess.Process:
        self._child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "aerofn.bridge.guard_child",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=_environment(),
            start_new_session=True,  # Ctrl-C at a terminal is for the node, which still judges while it drains
        )  # fmt: skip
        return self._child


def _environment() -> dict[str, str]:
    """Only what Python needs to find this package: no secrets of the service."""
    return {"PYTHONPATH": ":".join(path for path in sys.path if path), "LANG": "C.UTF-8"}
