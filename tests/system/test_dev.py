"""`aerofn dev` at work: first all of a project, then every save; what is wrong is shown with its place."""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from aerofn.db.embedded import EmbeddedPostgres
from tests.conftest import compiled

from .terminal_kit import CTRL_C_WORKS, LONGEST_S, postgres_below, read_until

ROOT = Path(__file__).resolve().parents[2]
GOOD = """export async function handler(note) {
  const words = note.body.split(" ").length;
  await db.query("UPDATE notes SET words = $2 WHERE id = $1", [note.id, words]);
  console.log(`note ${note.id} has ${words} words`);
}
"""
PROJECT = """
[functions.count]
source = "count.js"

[row_triggers.counted]
function = "count"
table = "notes"
events = ["INSERT"]
run_as = "service_role"
"""
SCHEMA = """CREATE TABLE notes (id int PRIMARY KEY, body text, words int);
GRANT SELECT, UPDATE ON notes TO service_role"""

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="JavaScript is built with Node")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "001_notes.sql").write_text(SCHEMA)
    (tmp_path / "count.js").write_text(GOOD)
    (tmp_path / "aerofn.toml").write_text(PROJECT)
    yield tmp_path
    EmbeddedPostgres(tmp_path / ".aerofn" / "dev").erase()


async def start(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AEROFN_", "DATABASE_"))}
    return await asyncio.create_subprocess_exec(
        *CTRL_C_WORKS, sys.executable, "-m", "aerofn", "dev", "--port", "0", *arguments,
        cwd=folder, env={**clean, "PYTHONPATH": str(ROOT), "AEROFN_CACHE_DIR": str(compiled())},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


async def insert(folder: Path, row: int) -> None:
    command = f'. .aerofn/env; psql -X -q "$DATABASE_URL" -c "INSERT INTO notes VALUES ({row}, \'a b c\')"'
    shell = await asyncio.create_subprocess_exec("sh", "-ec", command, cwd=folder)
    assert await asyncio.wait_for(shell.wait(), LONGEST_S) == 0


async def test_an_hour_of_work(folder):
    dev = await start(folder)
    begun = await read_until(dev, "up to date after")
    for line in ("+ db/001_notes.sql", "+ function count version 1", "+ row trigger counted"):
        assert line in begun
    await insert(folder, 1)
    ran = await read_until(dev, "words\n")
    assert "count  row as service_role  success" in ran
    assert "note 1 has 3 words" in ran

    (folder / "count.js").write_text("export function handler() { nope( }\n")
    assert "count.js:1:35" in await read_until(dev, "✗")
    await read_until(dev, "^\n")
    (folder / "count.js").write_text(GOOD.replace("note.body", "note.bodi"))
    again = await read_until(dev, "up to date after")
    assert "saved count.js" in again
    assert "~ function count version 2  component" in again
    await insert(folder, 2)
    assert "function_error" in await read_until(dev, "at handler (count.js:2:")

    (folder / "db" / "002_more.sql").write_text("CREATE TABLE more (id int);\n\nCREATE TABLE more (id int);")
    await read_until(dev, "✗ db/002_more.sql")
    (folder / "db" / "001_notes.sql").write_text(SCHEMA + ";")
    assert "start over" in await read_until(dev, "--fresh")
    os.killpg(dev.pid, signal.SIGINT)  # as a terminal does: all that it started is told too
    out, err = await asyncio.wait_for(dev.communicate(), LONGEST_S)
    assert (dev.returncode, err.decode()) == (0, ""), out.decode()
    assert out.decode().endswith("\nstopped; the data stay in .aerofn/ for the next time\n")
    assert postgres_below(folder / ".aerofn" / "dev") == []


async def test_without_a_project_it_says_how_to_make_one(tmp_path):
    dev = await start(tmp_path)
    _, err = await asyncio.wait_for(dev.communicate(), LONGEST_S)
    assert (dev.returncode, "aerofn init" in err.decode()) == (2, True)
    assert not (tmp_path / ".aerofn").exists()
