"""The README's five minutes, as a stranger would do them: the same commands, in the same order."""

import re
import shutil

import pytest

from .blocks import blocks
from .reader import ROOT, Reader, until

README = ROOT / "README.md"


@pytest.fixture
def steps():
    """The blocks of the README that a reader runs, in order."""
    return [block for block in blocks(README) if block.mark not in ("run", "skip")]


@pytest.mark.skipif(shutil.which("node") is None, reason="the README builds JavaScript with Node")
async def test_the_five_minutes(steps, empty_database, tmp_path):
    reader = Reader(tmp_path, empty_database.url)
    source, build, service, register, insert, call, deploy = steps
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


def test_every_page_it_links_to_is_there():
    for page in [README, *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
