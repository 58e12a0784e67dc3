"""The guides for those who come from elsewhere, followed from their first block to their last."""

import shutil

import pytest

from .blocks import blocks
from .reader import ROOT, Reader, until

WHAT_COMES_OF_IT = {
    "from-supabase": "spent = 30 FROM customers WHERE id = 'ada'",
    "from-hasura": "array_agg(op || ' ' || status ORDER BY op) = '{INSERT new,UPDATE paid}' FROM audit",
    "from-graphile-worker": "bool_and(welcomed) AND count(*) = 2 FROM users",
}

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="the guides build JavaScript with Node")


@pytest.fixture
async def reader(empty_database, tmp_path):
    reader = Reader(tmp_path, empty_database.url)
    async with reader.background("aerofn serve"):
        conn = await empty_database.connect()
        await until(conn, "to_regclass('aerofn_internal.schema_api') IS NOT NULL")
        await until(conn, "EXISTS (SELECT FROM aerofn_internal.nodes)")
        yield reader, conn


@pytest.mark.parametrize("guide", WHAT_COMES_OF_IT)
async def test_a_guide(guide, reader):
    reader, conn = reader
    said = ""
    for block in blocks(ROOT / "docs" / f"{guide}.md"):
        if block.file is not None:
            (reader.folder / block.file).write_text(block.text)
        elif block.language == "sql":
            await reader.sql(block.text)
        elif block.language == "sh":
            said = await reader.run(block.text)
    await until(conn, WHAT_COMES_OF_IT[guide])
    await until(conn, "NOT EXISTS (SELECT FROM aerofn.events)")
    if guide == "from-supabase":
        assert said == '{"total":30}'
