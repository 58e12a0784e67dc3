"""The commands as people and programs call them, against a service that is a process of its own."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio

from tests.conftest import Database, _lent

ROOT = Path(__file__).resolve().parents[2]
WASM = ROOT / "examples" / "reduce-stock" / "reduce-stock.wasm"
SECRET = "a secret that only these tests know"
LONGEST_S = 60
SHOP = """
    CREATE TABLE products (id int PRIMARY KEY, name text, stock int NOT NULL);
    INSERT INTO products VALUES (1, 'Teapot', 10);
    CREATE TABLE orders (id int PRIMARY KEY, product_id int, quantity int);
    GRANT SELECT, UPDATE ON products TO authenticated, service_role"""
CONNECTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name LIKE 'aerofn %' AND datname = current_database()"""
ATTACH = "SELECT aerofn.create_row_trigger('shop', 'orders', '{INSERT}', run_as => 'service_role')"


@dataclass
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(ROOT), **more}


async def start(*arguments: str, **variables: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "aerofn", *arguments, env=environment(**variables),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def aerofn(*arguments: str, **variables: str) -> Said:
    """Run a command to its end. Whatever happens, nobody is shown a traceback."""
    child = await start(*arguments, **variables)
    out, err = await asyncio.wait_for(child.communicate(), LONGEST_S)
    assert b"Traceback" not in err, err.decode()
    assert child.returncode is not None
    return Said(child.returncode, out.decode(), err.decode())


async def said_url(child: asyncio.subprocess.Process) -> str:
    """The URL in the log line that says where it serves."""
    while line := json.loads(await child.stderr.readline()):
        if line["event"] == "AeroFn serves":
            break
    return line["url"]


@contextlib.asynccontextmanager
async def serving(url: str, cache: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`aerofn serve`, and where it says that it is."""
    child = await start(
        "serve", "--port", "0", DATABASE_URL=url, AEROFN_JWT_SECRET=SECRET, AEROFN_CACHE_DIR=str(cache)
    )
    try:
        yield child, await asyncio.wait_for(said_url(child), LONGEST_S)
    finally:
        if child.returncode is None:
            child.terminate()
        await asyncio.wait_for(child.communicate(), LONGEST_S)


class Shop:
    """A service with a function on a table, and its command line."""

    def __init__(self, database: Database, url: str) -> None:
        self.database = database
        self.url = url

    async def __call__(self, *arguments: str, **variables: str) -> Said:
        return await aerofn(*arguments, DATABASE_URL=self.database.url, **variables)

    async def remote(self, *arguments: str, role: str = "service_role") -> Said:
        """A command that gets at the service only, with a token."""
        token = jwt.encode({"role": role, "sub": "ada", "exp": time.time() + 600}, SECRET)
        return await aerofn(*arguments, AEROFN_URL=self.url, AEROFN_TOKEN=token)


@pytest_asyncio.fixture(scope="module")
async def shop(server, template, tmp_path_factory) -> AsyncIterator[Shop]:
    async with _lent(server, await server.create(template)) as database:
        conn = await database.connect()
        await conn.execute(SHOP)
        async with serving(database.url, tmp_path_factory.mktemp("cache")) as (_, url):
            shop = Shop(database, url)
            deployed = await shop.remote("deploy", "shop", str(WASM), "--json")
            assert deployed.code == 0, deployed.err
            assert (deployed.json["version"], deployed.json["status"]) == (1, "ready")
            await conn.execute(ATTACH)
            yield shop


@pytest_asyncio.fixture(scope="module")
async def dead(shop) -> int:
    """The id of an event that is dead, and stays so."""
    conn = await shop.database.connect()
    await conn.execute("INSERT INTO orders VALUES (100, 1, 1000)")
    async with asyncio.timeout(LONGEST_S):
        while not (found := (await shop("events", "--state", "dead", "--json")).json):
            pass
    return found[0]["id"]


async def test_version_and_help():
    assert (await aerofn("version")).out == "0.1.0\n"
    said = await aerofn("--help")
    assert said.code == 0
    for command in ("demo", "serve", "migrate", "build", "deploy", "invoke", "replay", "token", "doctor"):
        assert f"\n  {command} " in said.out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["frobnicate"], "No such command"),
        (["events", "--state", "lost"], "'pending', 'running', 'dead', 'cancelled'"),
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


async def test_migrate(empty_database):
    url = empty_database.url
    conn = await empty_database.connect()
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


async def test_invoke_prints_json_and_says_what_failed(shop):
    asked = ("invoke", "shop", "--data", '{"product_id": 1, "quantity": 1}')
    said = await shop.remote(*asked, role="authenticated")
    assert (said.code, said.err) == (0, "")
    assert said.json == {"product": 1, "stock": said.json["stock"]}
    refused = await aerofn(*asked, "--url", shop.url)
    assert (refused.code, refused.out) == (1, "")
    assert "error: permission denied for table products" in refused.err
    missing = await shop.remote("invoke", "nothing")
    assert missing.code == 1
    assert "nothing" in missing.err
    nobody = await aerofn("invoke", "shop", "--url", "http://127.0.0.1:1")
    assert nobody.code == 1
    assert "no service answers at http://127.0.0.1:1" in nobody.err


async def test_deploy_over_http(shop, tmp_path):
    said = await shop.remote(
        "deploy", "over-http", str(WASM), "--timeout-ms", "1000", "--memory-mb", "32", "--role", "authenticated",
        "--role", "service_role", "--env", "GREETING", "--run-as", "anon",
    )  # fmt: skip
    assert (said.code, said.out) == (0, "over-http version 1 is ready\n"), said.err
    [row] = [row for row in (await shop("functions", "--json")).json if row["name"] == "over-http"]
    assert (row["timeout_ms"], row["memory_mb"], row["run_as"]) == (1000, 32, "anon")
    assert sorted(row["roles"]) == ["authenticated", "service_role"]
    again = await shop.remote("deploy", "over-http", str(WASM), "--no-activate", "--json")
    assert (again.json["version"], again.json["active"]) == (2, False)
    not_allowed = await shop.remote("deploy", "over-http", str(WASM), role="authenticated")
    assert not_allowed.code == 1
    assert "service_role" in not_allowed.err
    module = tmp_path / "module.wasm"
    module.write_bytes(bytes.fromhex("0061736d01000000"))
    refused = await shop.remote("deploy", "core", str(module))
    assert refused.code == 1
    assert "core WebAssembly module" in refused.err
    assert "hint: Wrap it" in refused.err


async def test_deploy_by_sql(shop, database, tmp_path):
    said = await shop("deploy", "by-sql", str(WASM), "--memory-mb", "64", "--json")
    assert said.code == 0, said.err
    assert (said.json["name"], said.json["version"], said.json["active"]) == ("by-sql", 1, True)
    broken = tmp_path / "broken.wasm"
    broken.write_bytes(bytes.fromhex("0061736d0d000100"))
    refused = await shop("deploy", "broken", str(broken))
    assert refused.code == 1
    assert "handle" in refused.err
    # Without any node nobody compiles it.
    alone = await aerofn("deploy", "alone", str(WASM), "--wait", "0.1", "--database-url", database.url)
    assert alone.code == 1
    assert "version 1 of function alone is registered, but no node has compiled it" in alone.err
    assert "hint: start a node with aerofn serve" in alone.err


async def test_lists_for_people(shop, dead):
    functions, triggers, events = await asyncio.gather(shop("functions"), shop("triggers"), shop("events"))
    head, *rows = functions.out.splitlines()
    assert head.split()[:2] == ["function", "newest"]
    assert any(row.split()[:4] == ["shop", "ready", "1", "1"] for row in rows)
    assert triggers.out.splitlines()[1].split()[:4] == ["shop_on_orders", "shop", "public.orders", "INSERT"]
    assert "yes" in triggers.out
    assert f"{dead}  shop" in events.out
    assert "1 of 5" in events.out
    assert "wants 1000 × Teapot" in events.out


async def test_lists_for_programs(shop, dead):
    [trigger] = (await shop("triggers", "--json")).json
    assert (trigger["name"], trigger["events"], trigger["run_as"]) == (
        "shop_on_orders",
        ["INSERT"],
        "service_role",
    )
    [event] = (await shop("events", "--state", "dead", "--function", "shop", "--json")).json
    assert event["id"] == dead
    assert "wants 1000" in event["reason"]
    assert event["errors"][0]["name"] == "OutOfStock"
    assert (await shop("events", "--function", "nothing", "--json")).json == []
    ran = (await shop("invocations", "--function", "shop", "--status", "function_error", "--json")).json
    [failed] = [row for row in ran if row["event_id"] == dead]
    assert (failed["trigger"], failed["role"], failed["version"]) == ("row", "service_role", 1)
    assert failed["duration_ms"] > 0
    assert len((await shop("invocations", "--limit", "1", "--json")).json) == 1


async def test_replay_and_discard(shop):
    conn = await shop.database.connect()
    event = await conn.fetchval(
        "SELECT aerofn.invoke('shop', '{}', run_at => now() + interval '1 day', dedup_key => 'later')"
    )
    gone = await shop("discard", str(event))
    assert (gone.code, gone.out) == (0, f"event {event} is given up\n"), gone.err
    assert [row["id"] for row in (await shop("events", "--state", "cancelled", "--json")).json] == [event]
    again = await shop("replay", str(event))
    assert (again.code, again.out) == (0, f"event {event} will run again\n")
    for verb in ("replay", "discard"):
        unknown = await shop(verb, "999999999")
        assert unknown.code == 1
        assert "event 999999999" in unknown.err
        assert "hint: SELECT id, state FROM aerofn.events lists them" in unknown.err


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
    assert await conn.fetchval(CONNECTIONS) == 0


async def test_build(tmp_path):
    source = tmp_path / "note.py"
    source.write_text("def handler(): ...")
    said = await aerofn("build", str(source))
    assert said.code == 1
    assert "in no language that AeroFn can build" in said.err
    assert "hint: supported extensions: " in said.err
