"""A service with thousands of functions starts like one with a few: nothing is looked up before it is called."""

import time
from typing import NamedTuple

import asyncpg
import pytest

from aerofn.model import Outcome

from .conftest import ROOT

GREETER = ROOT / "bench" / "guests" / "compiled.wasm"
FEW, MANY = 50, 5000
# Ready and active, each with bytes of its own: the component and a custom section of four digits.
REGISTERED = """
WITH made AS (
  SELECT n, $1::bytea || '\\x000504' || convert_to(to_char(n, 'FM0000'), 'UTF8') AS wasm FROM generate_series(1, $2) n
), components AS (
  INSERT INTO aerofn_internal.components (digest, wasm) SELECT sha256(wasm), wasm FROM made RETURNING digest
), functions AS (
  INSERT INTO aerofn_internal.functions (name) SELECT 'f' || n FROM made RETURNING id, name
)
INSERT INTO aerofn_internal.versions (function_id, number, digest, status)
SELECT f.id, 1, sha256(m.wasm), 'ready' FROM functions f JOIN made m ON f.name = 'f' || m.n
"""
ACTIVATED = """
UPDATE aerofn_internal.functions f SET active_version = v.id FROM aerofn_internal.versions v WHERE v.function_id = f.id
"""


class Start(NamedTuple):
    """What a node's start took, up to the end of its first invocation."""

    seconds: float
    statements: int
    loaded: int
    files: int


@pytest.fixture
def statements(monkeypatch) -> list[str]:
    """Every statement that is sent in this process."""
    sent: list[str] = []
    connect = asyncpg.connect

    async def watched(*where, **options):
        connection = await connect(*where, **options)
        connection.add_query_logger(lambda record: sent.append(record.query))
        return connection

    monkeypatch.setattr(asyncpg, "connect", watched)
    return sent


async def _start(node_of, cache, statements: list[str], function: str) -> Start:
    statements.clear()
    began = time.perf_counter()
    async with node_of(cache_dir=cache) as node:
        assert node.parts.runtime.loaded == 0
        ended = await node.invoke(function, {"name": "Ada"})
        assert ended.run.outcome is Outcome.SUCCESS, ended.run.error
        return Start(
            time.perf_counter() - began,
            len(statements),
            node.parts.runtime.loaded,
            len([path for path in cache.rglob("*") if path.is_file()]),
        )


async def test_five_thousand_functions_start_the_service_like_fifty(database, node_of, statements, tmp_path):
    wasm = GREETER.read_bytes()
    owner = await database.connect()
    await owner.execute(REGISTERED, wasm, FEW)
    await owner.execute(ACTIVATED)
    few = await _start(node_of, tmp_path / "few", statements, "f1")
    await owner.execute("TRUNCATE aerofn_internal.functions, aerofn_internal.versions CASCADE")
    await owner.execute("DELETE FROM aerofn_internal.components")
    await owner.execute(REGISTERED, wasm, MANY)
    await owner.execute(ACTIVATED)
    many = await _start(node_of, tmp_path / "many", statements, f"f{MANY}")
    # the background's statements come by the clock: some more or less, and not one for each function
    assert many.statements <= few.statements + 50
    assert (many.loaded, many.files) == (few.loaded, few.files) == (1, many.files)
    assert many.seconds < 5 * few.seconds + 20
