"""The commands that need no running service, and the service as a command."""

import asyncio
import json
import os
import signal
import socket
from urllib.parse import urlsplit

import jwt
import pytest

from .cli_kit import LONGEST_S, SECRET, aerofn, serving

CONNECTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name LIKE 'aerofn %' AND datname = current_database()"""
ABANDONED = "SELECT sessions_abandoned FROM pg_stat_database WHERE datname = current_database()"


async def test_version_and_help():
    for asked in ("version", "--version"):
        assert (await aerofn(asked)).out == "0.1.0\n"
    said = await aerofn("--help")
    assert said.code == 0
    for command in ("demo", "serve", "migrate", "build", "deploy", "invoke", "replay", "token", "doctor"):
        assert f"\n  {command} " in said.out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["frobnicate"], "No such command"),
        (["events", "--state", "lost"], "'pending', 'running', 'done', 'dead', 'cancelled'"),
        (["replay", "first"], "valid integer"),
        (["functions"], "set DATABASE_URL="),
        (["token"], "AEROFN_JWT_SECRET is not set"),
        (["deploy", "shop", "shop.js"], "aerofn build shop.js"),
        (["deploy", "shop", "nowhere.wasm"], "nowhere.wasm cannot be read"),
    ],
)
async def test_wrong_usage_is_2(arguments, hint):
    said = await aerofn(*arguments)
    assert (said.code, said.out) == (2, "")
    assert hint in said.err


async def test_a_misspelt_setting_is_2():
    said = await aerofn("serve", DATABASE_URL="postgresql://localhost/x", AEROFN_PORTT="1")
    assert said.code == 2
    assert said.err == "error: AEROFN_PORTT is not a setting of AeroFn\n  hint: did you mean AEROFN_PORT?\n"


async def test_no_database_is_1_with_message_detail_and_hint():
    said = await aerofn("functions", "--database-url", "postgresql://nobody@127.0.0.1:1/x")
    assert said.code == 1
    first, detail, hint = said.err.splitlines()
    assert first == "error: the database cannot be reached"
    assert "127.0.0.1" in detail
    assert hint.startswith("  hint: check DATABASE_URL")


async def test_migrate_and_a_second_thought_about_uninstalling(empty_database):
    url = empty_database.url
    conn = await empty_database.connect()
    missing = await aerofn("uninstall", DATABASE_URL=url)
    assert (missing.code, missing.err) == (1, "error: AeroFn is not installed in this database\n")
    absent = await aerofn("functions", DATABASE_URL=url)
    assert absent.code == 1
    assert "hint: install it with: aerofn migrate" in absent.err
    plan = await aerofn("migrate", "--dry-run", DATABASE_URL=url)
    assert "-- sql/migrations/0001_roles.sql" in plan.out
    assert await conn.fetchval("SELECT to_regnamespace('aerofn')") is None
    done = await aerofn("migrate", DATABASE_URL=url)
    assert (done.code, done.err) == (0, "")
    assert "applied 0001_roles" in done.out
    assert (await aerofn("migrate", DATABASE_URL=url)).out == "nothing to do\n"
    await conn.execute("CREATE TABLE t (a int); CREATE POLICY p ON t USING (auth.uid() = 'x')")
    needed = await aerofn("uninstall", DATABASE_URL=url)
    assert (needed.code, "policy p on table public.t" in needed.err) == (1, True)
    await conn.execute("DROP TABLE t")
    asked = await aerofn("uninstall", DATABASE_URL=url)  # nobody is there to say yes
    assert (asked.code, f"records of database {urlsplit(url).path[1:]} will be gone" in asked.err) == (
        2,
        True,
    )
    assert "say it in advance: --yes" in asked.err
    listed = await aerofn("functions", DATABASE_URL=url)
    assert (listed.code, listed.out, listed.err) == (0, "", "there are no functions yet\n")


async def test_who_may_not_look_is_told_how_to(database):
    conn = await database.connect()
    name = f"stranger_{os.getpid()}"
    await conn.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'open'")
    try:
        address = database.url.split("@")[1]
        said = await aerofn("functions", "--database-url", f"postgresql://{name}:open@{address}")
    finally:
        await conn.execute(f"DROP ROLE {name}")
    assert said.code == 1
    assert "member of aerofn_admin" in said.err


async def test_token():
    said = await aerofn(
        "token", "--role", "service_role", "--sub", "ada", "--expires", "15m",
        AEROFN_JWT_SECRET=SECRET, AEROFN_JWT_AUDIENCE="shop",
    )  # fmt: skip
    claims = jwt.decode(said.out.strip(), SECRET, algorithms=["HS256"], audience="shop")
    assert (claims["role"], claims["sub"], claims["exp"] - claims["iat"]) == ("service_role", "ada", 900)
    wrong = await aerofn("token", "--expires", "soon", AEROFN_JWT_SECRET=SECRET)
    assert wrong.code == 2
    assert "write it like 90s, 15m, 1h or 30d" in wrong.err


async def test_serve_says_that_its_port_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = await aerofn("serve", "--port", port, DATABASE_URL="postgresql://localhost/x")
    assert said.code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in said.err
    assert "AEROFN_PORT" in said.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_stops_in_order(database, tmp_path, number):
    async with serving(database.url, tmp_path) as (child, _):
        conn = await database.connect()
        assert await conn.fetchval(CONNECTIONS) > 0
        child.send_signal(number)
        _, err = await asyncio.wait_for(child.communicate(), LONGEST_S)
    assert child.returncode == 0, err.decode()
    assert [line for line in err.splitlines() if json.loads(line)["level"] != "info"] == []
    async with asyncio.timeout(LONGEST_S):  # the service has said goodbye, which PostgreSQL reads when it can
        while await conn.fetchval(CONNECTIONS):
            await asyncio.sleep(0.01)
    assert await conn.fetchval(ABANDONED) == 0


async def test_build(tmp_path):
    source = tmp_path / "note.rb"
    source.write_text("def handler = nil")
    said = await aerofn("build", str(source))
    assert said.code == 1
    assert "in no language that AeroFn can build" in said.err
    assert "hint: supported extensions: " in said.err
