"""The page about schedules and webhooks, followed from its first block to its last."""

import json
import shutil

import pytest

from .blocks import blocks
from .reader import ROOT, Reader, until

PAGE = ROOT / "docs" / "schedules-and-webhooks.md"


@pytest.mark.skipif(shutil.which("node") is None, reason="the page builds JavaScript with Node")
async def test_every_block_runs(empty_database, tmp_path):
    source, build, service, register, schedules, nights, pause, webhook, deliver, versions, drop = blocks(
        PAGE
    )
    reader = Reader(tmp_path, empty_database.url)
    reader.environment["AEROFN_SECRET_KEY"] = "the reader's other one as openssl would make it"
    (tmp_path / source.file).write_text(source.text)
    await reader.run(build.text)
    async with reader.background(service.text):
        conn = await empty_database.connect()
        await until(conn, "to_regclass('aerofn_internal.schema_api') IS NOT NULL")
        await until(conn, "EXISTS (SELECT FROM aerofn_internal.nodes)")
        await reader.sql(register.text)
        await reader.sql(schedules.text)
        assert "@daily (America/New_York)" in await reader.run(nights.text)
        await until(conn, "count(DISTINCT about) > 1 FROM notes WHERE trigger = 'schedule'")
        await reader.run(pause.text)
        assert "/hooks/v1/billing" in await reader.run(webhook.text)
        answers = [json.loads(await reader.run(deliver.text)) for _ in range(2)]
        assert [answer["duplicate"] for answer in answers] == [False, True]
        await until(conn, "EXISTS (SELECT FROM notes WHERE trigger = 'webhook' AND about = 'invoice.paid')")
        assert "note version 1 runs" in await reader.run(versions.text)
        assert "is started by triggers: billing, mornings, nights, ticking" in await reader.sql(drop.text)
        # No two events for one tick.
        await until(conn, "count(*) = count(DISTINCT about) FROM notes WHERE trigger = 'schedule'")
