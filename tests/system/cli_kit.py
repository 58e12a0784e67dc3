"""Commands as processes: running one, and a service for those that need it."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from tests.conftest import Database

ROOT = Path(__file__).resolve().parents[2]
WASM = ROOT / "examples" / "reduce-stock" / "reduce-stock.wasm"
SECRET = "a secret that only these tests know"
LONGEST_S = 60


@dataclass
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(ROOT), **more}


async def start(
    *arguments: str, stderr: int = asyncio.subprocess.PIPE, **variables: str
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "aerofn", *arguments, env=environment(**variables),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=stderr,
    )  # fmt: skip


async def aerofn(*arguments: str, given: str = "", **variables: str) -> Said:
    """Run a command to its end. Whatever happens, nobody is shown a traceback.

    Args:
        given: its standard input.
    """
    child = await start(*arguments, **variables)
    out, err = await asyncio.wait_for(child.communicate(given.encode()), LONGEST_S)
    assert b"Traceback" not in err, err.decode()
    assert child.returncode is not None
    return Said(child.returncode, out.decode(), err.decode())


async def said_url(child: asyncio.subprocess.Process) -> str:
    """The URL in the log line that says where it serves."""
    while line := json.loads(await child.stderr.readline()):
        if line["event"] == "AeroFn serves":
            break
    return line["url"]


@contextlib.asynccontextmanager
async def serving(
    url: str, cache: Path, **variables: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`aerofn serve`, and where it says that it is."""
    child = await start(
        "serve",
        "--port",
        "0",
        DATABASE_URL=url,
        AEROFN_JWT_SECRET=SECRET,
        AEROFN_CACHE_DIR=str(cache),
        **variables,
    )
    try:
        yield child, await asyncio.wait_for(said_url(child), LONGEST_S)
    finally:
        if child.returncode is None:
            child.terminate()
        await asyncio.wait_for(child.communicate(), LONGEST_S)


class Shop:
    """A service with a function on a table, and its command line."""

    def __init__(self, database: Database, url: str) -> None:
        self.database = database
        self.url = url

    async def __call__(self, *arguments: str, **variables: str) -> Said:
        return await aerofn(*arguments, DATABASE_URL=self.database.url, **variables)

    async def remote(self, *arguments: str, role: str = "service_role") -> Said:
        """A command that gets at the service only, with a token."""
        token = jwt.encode({"role": role, "sub": "ada", "exp": time.time() + 600}, SECRET)
        return await aerofn(*arguments, AEROFN_URL=self.url, AEROFN_TOKEN=token)
