"""Commands that go on until they are told to stop, as at a terminal."""

import asyncio
import sys
from pathlib import Path

import psutil

# A shell that starts this run in the background has it ignore SIGINT, and programs inherit that.
CTRL_C_WORKS = (
    sys.executable,
    "-c",
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execvp(sys.argv[1], sys.argv[1:])",
)
LONGEST_S = 100


async def read_until(child: asyncio.subprocess.Process, text: str) -> str:
    """What it prints, up to the line with `text`."""
    seen = ""
    async with asyncio.timeout(LONGEST_S):
        while text not in seen:
            line = await child.stdout.readline()
            assert line, f"{seen}\n{(await child.stderr.read()).decode()}"
            seen += line.decode()
    return seen


def postgres_below(folder: Path) -> list[psutil.Process]:
    """The processes of an embedded PostgreSQL, which work below the directory or where it leads to."""
    data = (folder / "server").resolve()
    return [one for one in psutil.process_iter(["cwd"]) if (one.info["cwd"] or "").startswith(str(data))]
