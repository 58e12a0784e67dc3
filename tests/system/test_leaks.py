"""A function tries to leak its secret in every way; then everything that the service wrote is looked through."""

import asyncio
import base64
import json
import shutil
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import jwt
import pytest

from aerofn.build import build
from tests.conftest import compiled

from .cli_kit import LONGEST_S, SECRET, aerofn, serving

COMPONENT = Path(__file__).parents[1] / "components" / "leaky.js"
KEY = "the key that opens secrets in these tests"
VALUE = 'sk/live+"9f8e7d6c\\5b4a+3210~zyxw=='


def forms(value: str) -> Iterator[str]:
    """How the value may be written, its punctuation left out: separators do not hide it."""
    data = value.encode()
    yield from (value, value[::-1], data.hex(), "".join(map(str, data)), urllib.parse.quote(value, safe=""))
    yield from (json.dumps(value), json.dumps(json.dumps(value)))
    for before in range(3):
        yield base64.b64encode(b"\0" * before + data).decode()[2 + before * 2 : -4]


def bare(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))


@pytest.mark.skipif(shutil.which("node") is None, reason="building JavaScript needs Node")
async def test_nothing_the_service_writes_holds_the_secret(database, tmp_path):
    conn = await database.connect()
    wasm = tmp_path / "leaky.wasm"
    build(COMPONENT, wasm)
    await conn.execute("CREATE TABLE once (t text UNIQUE); GRANT ALL ON once TO anon")
    await conn.execute("SELECT aerofn.register_function('leaky', $1, env => '{LEAKED}')", wasm.read_bytes())
    async with serving(database.url, compiled(), AEROFN_SECRET_KEY=KEY) as (service, url):
        token = jwt.encode({"role": "service_role"}, SECRET)
        said = await aerofn("secrets", "set", "LEAKED", given=VALUE, AEROFN_URL=url, AEROFN_TOKEN=token)
        assert said.code == 0, said.err
        answers = await every_way(url)
        await conn.execute("SELECT aerofn.invoke('leaky', $1, max_attempts => 1)", '{"way": 20}')
        await conn.execute("SELECT aerofn.invoke('leaky', $1, max_attempts => 1)", '{"way": 27}')
        await until(conn, "(SELECT count(*) FROM aerofn.events WHERE state = 'dead') = 2")
        ran = len(answers) + 3
        await until(conn, f"(SELECT count(*) FROM aerofn.invocations) = {ran}")
        async with aiohttp.ClientSession() as client, client.get(f"{url}/metrics") as response:
            metrics = await response.text()
        service.terminate()
        out, err = await asyncio.wait_for(service.communicate(), LONGEST_S)
    kept = await conn.fetch(
        "SELECT i::text FROM aerofn.invocations i UNION ALL SELECT e::text FROM aerofn.events e"
    )
    assert len(out.splitlines()) == ran
    assert str(kept).count("[secret LEAKED]") > 40
    written = {
        "stdout": out.decode(), "stderr": err.decode(), "answers": "\n".join(answers), "metrics": metrics,
        "tables": "\n".join(row[0] for row in kept),
    }  # fmt: skip
    leaks = [
        (where, form) for where, text in written.items() for form in forms(VALUE) if bare(form) in bare(text)
    ]
    assert leaks == []


async def every_way(url: str) -> list[str]:
    """Answers of the HTTP API, one for each way."""
    async with aiohttp.ClientSession(f"{url}/") as client:

        async def ask(body: dict[str, object]) -> str:
            async with client.post("functions/v1/leaky", json=body) as response:
                return await response.text()

        async with asyncio.timeout(LONGEST_S):
            while not (count := await ask({"count": True})).isdecimal():
                await asyncio.sleep(0.1)
        assert int(count) > 25
        return [await ask({"way": way}) for way in range(int(count))]


async def until(conn, condition: str) -> None:
    async with asyncio.timeout(LONGEST_S):
        while not await conn.fetchval(f"SELECT {condition}"):
            await asyncio.sleep(0.1)
