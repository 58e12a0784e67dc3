"""`aerofn rehearse`: past events run by another version; nothing of it stays."""

import asyncio
import shutil
from pathlib import Path

import pytest
import pytest_asyncio

from aerofn.build import build
from tests.conftest import _lent, compiled

from .cli_kit import LONGEST_S, aerofn, serving

ACTIVE = """export async function handler(order) {
  await db.query("INSERT INTO ledger (order_id, cents) VALUES ($1, $2)", [order.id, order.euros * 100]);
  return { at: Date.now(), cents: order.euros * 100 };
}
"""
SCHEMA = """
    CREATE TABLE orders (id int PRIMARY KEY, euros int NOT NULL);
    CREATE TABLE ledger (id bigserial PRIMARY KEY, order_id int, cents int, at timestamptz DEFAULT clock_timestamp());
    GRANT INSERT ON ledger TO service_role; GRANT USAGE ON SEQUENCE ledger_id_seq TO service_role;
    SELECT aerofn.keep_done_events(interval '1 day');"""
OTHERS = {
    "the same": ACTIVE.replace("order.euros * 100", "100 * order.euros"),
    "wrong for large orders": ACTIVE.replace("order.euros * 100]", "Math.min(order.euros, 10) * 100]"),
    "refused": ACTIVE.replace("  await db", "  await fetch('http://a.b/');\n  await db"),
}

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="JavaScript is built with Node")


def component(folder: Path, text: str) -> bytes:
    source = folder / "cents.js"
    source.write_text(text)
    return build(source, folder / "cents.wasm").output.read_bytes()


@pytest_asyncio.fixture(scope="module")
async def past(server, template, tmp_path_factory):
    """A database with versions of a function, and three events that are done."""
    folder = tmp_path_factory.mktemp("versions")
    async with _lent(server, await server.create(template)) as database:
        conn = await database.connect()
        await conn.execute(SCHEMA)
        async with serving(database.url, compiled()):
            await conn.execute("SELECT aerofn.register_function('cents', $1)", component(folder, ACTIVE))
            await conn.execute(
                "SELECT aerofn.create_row_trigger('cents', 'orders', '{INSERT}', run_as => 'service_role')"
            )
            await conn.execute("INSERT INTO orders VALUES (1, 3), (2, 5), (3, 20)")
            async with asyncio.timeout(LONGEST_S):
                while await conn.fetchval("SELECT count(*) FROM aerofn.events WHERE state = 'done'") < 3:
                    await asyncio.sleep(0.1)
        for text in OTHERS.values():
            await conn.execute(
                "SELECT aerofn.register_function('cents', $1, activate => false)", component(folder, text)
            )
        yield database


async def rehearse(database, version: int, *more: str):
    return await aerofn("rehearse", "cents", "--version", str(version), *more, DATABASE_URL=database.url)


async def test_a_version_that_does_the_same(past):
    conn = await past.connect()
    before = await conn.fetch("SELECT * FROM ledger ORDER BY id")
    said = await rehearse(past, 2)
    assert said.code == 0, said.out + said.err
    assert "version 2 beside version 1, 3 events: 3 the same, 0 differ, 0 fail" in said.out
    assert await conn.fetch("SELECT * FROM ledger ORDER BY id") == before


async def test_what_differs_is_named_by_its_place(past):
    said = await rehearse(past, 3)
    assert said.code == 1
    assert "2 the same, 1 differ, 0 fail" in said.out
    assert "tables.public.ledger.rows[0].cents: 2000 → 1000" in said.out


async def test_a_version_that_fails(past):
    said = await rehearse(past, 4, "--last", "2", "--json")
    assert said.code == 1
    first, second = said.json
    assert first["candidate"]["did"]["outcome"] == "function_error"
    assert first["candidate"]["did"]["fetches"] == ["GET http://a.b/"]
    assert {"where": "outcome", "active": "success", "candidate": "function_error"} in second["differences"]


async def test_a_version_that_acts_as_somebody_else(past, tmp_path):
    conn = await past.connect()
    number = await conn.fetchval(
        "SELECT aerofn.register_function('cents', $1, activate => false, run_as => 'anon')",
        component(tmp_path, ACTIVE),
    )
    said = await rehearse(past, number)
    assert said.code == 1
    assert "0 the same, 0 differ, 3 fail" in said.out
    assert f"version {number} acts as anon, version 1 as the event's caller" in said.out


async def test_what_is_not_there(past, database, tmp_path):
    assert "function 'cents' has no version 9" in (await rehearse(past, 9)).err
    near = await aerofn("rehearse", "cent", "--version", "2", DATABASE_URL=past.url)
    assert (near.code, near.err) == (1, "error: there is no function 'cent'\n  hint: did you mean 'cents'?\n")
    conn = await database.connect()
    assert "there is no function 'cents'\n  hint: aerofn functions lists" in (await rehearse(database, 1)).err
    await conn.execute("SELECT aerofn.register_function('cents', $1)", component(tmp_path, ACTIVE))
    assert "function 'cents' has no active version" in (await rehearse(database, 1)).err
