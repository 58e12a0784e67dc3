"""SQL that sqlsmith makes up from the victim's own schema, sent by a function and, past the guard, to the executor.

`make soak` runs it, for SQLSMITH_SECONDS; it is too slow for the suite. Debian: apt-get install sqlsmith.
"""

import asyncio
import os
import shutil
import time
from itertools import count
from urllib.parse import urlsplit

import asyncpg
import pytest

from .arena import HERE, MALLORY, Arena

SECONDS = float(os.environ.get("SQLSMITH_SECONDS", "0"))
PATIENCE_S = 0.5
# What mallory, as authenticated, may not change; and what says who may do what.
UNTOUCHABLE = """
SELECT 'note', n::text FROM notes n WHERE owner <> 'mallory'
UNION ALL SELECT 'admin', a::text FROM admins a
UNION ALL SELECT 'function', f.oid || f.proname || coalesce(f.proacl::text, '') || f.xmin FROM pg_proc f
UNION ALL SELECT 'relation', c.oid || c.relname || coalesce(c.relacl::text, '') FROM pg_class c
UNION ALL SELECT 'role', r::text FROM pg_roles r
UNION ALL SELECT 'login', l::text FROM aerofn_internal.logins l
UNION ALL SELECT 'version', v.id || v.status::text FROM aerofn_internal.versions v
"""
pytestmark = [
    pytest.mark.skipif(not SECONDS, reason="for make soak"),
    pytest.mark.skipif(shutil.which("sqlsmith") is None, reason="sqlsmith is not installed"),
]


async def made_up(url: str, seed: int, *options: str) -> list[str]:
    """A few hundred statements over the schema that is there."""
    at = urlsplit(url)
    target = (
        f"host={at.hostname} port={at.port} dbname={at.path[1:]} user={at.username} password={at.password}"
    )
    smith = await asyncio.create_subprocess_exec(
        "sqlsmith", f"--target={target}", "--dry-run", f"--seed={seed}", "--max-queries=300", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    out, _ = await smith.communicate()
    return [text for part in out.decode().split(";\n") if 0 < len(text := part.strip()) <= 16_000]


@pytest.fixture(scope="module")
async def shape(server):
    """The victim's schema alone, so that most of what sqlsmith makes up is about its tables."""
    name = await server.create()
    database = server.database(name)
    await (await database.connect()).execute(
        "CREATE SCHEMA auth; GRANT USAGE ON SCHEMA auth TO PUBLIC;"
        "CREATE FUNCTION auth.uid() RETURNS text LANGUAGE sql AS 'SELECT NULL::text';"
        + (HERE / "victim.sql").read_text()
    )
    yield database
    await database.close()
    await server.drop(name)


async def by_function(arena: Arena, texts: list[str]) -> list[str]:
    """What a function sees that sends them, five an invocation."""
    gate = asyncio.Semaphore(6)

    async def one(batch: list[str]) -> str:
        async with gate:
            told = await arena.send("authenticated", MALLORY, [(text, []) for text in batch])
            return told.rows + told.errors

    seen = await asyncio.gather(*(one(texts[n : n + 5]) for n in range(0, len(texts), 5)))
    await arena.honest()
    return seen


async def past_the_guard(arena: Arena, texts: list[str]) -> list[str]:
    """What the sealed executor answers to them, as the caller, with no filter in front."""
    login, seen = arena.logins["authenticated"], []
    claims = f'{{"role": "authenticated", "claims": {{"sub": "{MALLORY}"}}, "depth": 0}}'
    options = {"statement_timeout": str(int(PATIENCE_S * 1000))}
    connection = await arena.database.connect(
        user=login.user, password=login.password, statement_cache_size=0, server_settings=options
    )
    for text in texts:
        plain = text.lower().startswith(("insert", "update", "delete", "merge")) and "returning" not in text
        try:
            await connection.execute(f"BEGIN; SELECT aerofn_auth.begin_invocation('{claims}', 0)")
            answer = await connection.fetchval(
                "SELECT aerofn_run.authenticated($1, $2, '{}', 1000, 1000000)",
                "count" if plain else "rows",
                text,
            )
            seen.append(answer.decode())
            await connection.execute("SELECT aerofn_run.authenticated_finish(); COMMIT")
        except asyncpg.PostgresError as error:
            seen.append(str(error))
            await connection.execute("ROLLBACK")
    await connection.close()
    return seen


async def test_nothing_that_sqlsmith_makes_up_gets_out(arena, shape):
    before = await arena.admin.fetch(UNTOUCHABLE)
    begun = await arena.admin.fetchval("SELECT pg_postmaster_start_time()")
    background = await arena.peer("authenticated")  # PostgreSQL ends all connections when one backend crashes
    end, ran, succeeded = time.monotonic() + SECONDS, 0, 0
    for seed in count(1):
        for options in (["--exclude-catalog"], []):
            texts = await made_up(shape.url, seed, *options)
            assert len(texts) > 100
            for sent in (by_function, past_the_guard):
                seen = await sent(arena, texts)
                assert not [told for told in seen if "victim signed" in told]
                ran += len(texts)
                succeeded += sum('{"rows"' in told for told in seen)
        if time.monotonic() > end:
            break
    await arena.honest()
    assert await background.fetchval("SELECT 1") == 1
    await background.close()
    assert await arena.admin.fetchval("SELECT pg_postmaster_start_time()") == begun
    after = await arena.admin.fetch(UNTOUCHABLE)
    assert sorted(map(str, after)) == sorted(map(str, before))
    print(f"sqlsmith: {ran} statements, {succeeded} of them ran past the guard")
    assert succeeded > 10
