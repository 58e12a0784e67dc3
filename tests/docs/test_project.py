"""The page of aerofn.toml: its project is applied as it says, and no key is missing."""

import re
import shutil

import msgspec
import pytest

from aerofn.project import Declared

from .blocks import blocks
from .reader import ROOT, Reader, until

PAGE = ROOT / "docs" / "project.md"
README = ROOT / "README.md"


def test_every_key_is_in_the_table():
    text = PAGE.read_text(encoding="utf-8")
    for table in msgspec.structs.fields(Declared):
        row = re.search(rf"^\| `\[{table.name}\.NAME\]` \|([^|]*)\|", text, re.MULTILINE)
        assert row, table.name
        entry = table.type.__args__[1]
        assert set(re.findall(r"`(\w+)`", row[1])) == set(entry.__struct_fields__), table.name


@pytest.mark.skipif(shutil.which("node") is None, reason="the project's function is built with Node")
async def test_the_project_is_applied(empty_database, tmp_path):
    declared, dry_run, plan, apply, *_ = blocks(PAGE)
    source = next(block for block in blocks(README) if block.file == "count-words.js")
    (tmp_path / "aerofn.toml").write_text(declared.text)
    (tmp_path / source.file).write_text(source.text)
    reader = Reader(tmp_path, empty_database.url)
    conn = await empty_database.connect()
    await conn.execute("CREATE TABLE notes (id int PRIMARY KEY, body text, words int)")
    async with reader.background("aerofn serve"):
        await until(conn, "to_regclass('aerofn_internal.nodes') IS NOT NULL")
        await until(conn, "EXISTS (SELECT FROM aerofn_internal.nodes)")
        assert plan.text in await reader.run(dry_run.text)
        assert "count-words version 1 is ready" in await reader.run(apply.text)
        await conn.execute("GRANT SELECT, UPDATE ON notes TO service_role")
        await conn.execute("INSERT INTO notes VALUES (1, 'the quick brown fox')")
        await until(conn, "words = 4 FROM notes")
