"""The commands for functions and events, as people and programs call them, against a running service."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conftest import _lent, compiled

from .cli_kit import LONGEST_S, WASM, Shop, aerofn, serving, start

SHOP = """
    CREATE TABLE products (id int PRIMARY KEY, name text, stock int NOT NULL);
    INSERT INTO products VALUES (1, 'Teapot', 10);
    CREATE TABLE orders (id int PRIMARY KEY, product_id int, quantity int);
    GRANT SELECT, UPDATE ON products TO authenticated, service_role"""
ATTACH = "SELECT aerofn.create_row_trigger('shop', 'orders', '{INSERT}', run_as => 'service_role')"


@pytest_asyncio.fixture(scope="module")
async def shop(server, template) -> AsyncIterator[Shop]:
    async with _lent(server, await server.create(template)) as database:
        conn = await database.connect()
        await conn.execute(SHOP)
        async with serving(database.url, compiled()) as (_, url):
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
    assert triggers.out.splitlines()[1].split()[:4] == ["shop_on_orders", "row", "shop", "INSERT"]
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


@pytest.mark.long
async def test_every_list_and_decision_works_over_http(shop, dead):
    for command in (
        "functions",
        "triggers",
        "events",
        "invocations",
        "secrets list",
        "functions versions shop",
    ):
        there, here = await asyncio.gather(shop.remote(*command.split()), shop(*command.split()))
        assert (there.code, there.err) == (here.code, here.err), command
        if command not in ("invocations", "events"):  # which go on meanwhile
            assert there.out == here.out, command
    conn = await shop.database.connect()
    event = await conn.fetchval("SELECT aerofn.invoke('shop', '{}', run_at => now() + interval '1 day')")
    assert (await shop.remote("discard", str(event))).out == f"event {event} is given up\n"
    shown = await shop.remote("event", str(event), "--json")
    assert (shown.json["state"], shown.json["payload"]) == ("cancelled", {})
    assert (await shop.remote("replay", str(event))).out == f"event {event} will run again\n"
    made = await shop.remote(
        "triggers", "schedule", "shop", "0 8 1 1 *", "--name", "yearly", "--payload", "[1]"
    )
    assert (made.code, made.out) == (0, "yearly is made\n"), made.err
    assert len((await shop.remote("triggers", "next", "yearly", "--count", "2")).out.split()) == 2
    assert (await shop.remote("triggers", "disable", "yearly")).out == "yearly is disabled\n"
    assert (await shop.remote("triggers", "drop", "yearly")).out == "yearly is gone\n"
    gone = await shop.remote("triggers", "drop", "yearly")
    assert (gone.code, "there is no trigger" in gone.err) == (1, True)
    unknown = await shop.remote("event", "999999999")
    assert (unknown.code, "there is no event 999999999" in unknown.err) == (1, True)
    stranger = await shop.remote("events", role="authenticated")
    assert (stranger.code, "service_role" in stranger.err) == (1, True)


async def test_one_event_with_the_errors_of_its_attempts(shop, dead):
    said = await shop("event", str(dead))
    assert said.code == 0, said.err
    assert '"quantity": 1000' in said.out
    assert "attempt 1 at " in said.out
    assert "wants 1000 × Teapot" in said.out


async def test_all_dead_events_of_a_trigger_run_again(shop, dead):
    both = await shop("replay", "1", "--all-of", "shop_on_orders")
    assert both.code == 2
    said = await shop("replay", "--all-of", "shop_on_orders")
    assert (said.code, said.out) == (0, "1 dead events of shop_on_orders will run again\n")
    async with asyncio.timeout(LONGEST_S):
        while not (await shop("events", "--state", "dead", "--json")).json:
            pass
    assert (await shop.remote("replay", "--all-of", "nothing")).code == 1


async def test_a_backfill_shows_how_far_it_is(shop):
    conn = await shop.database.connect()
    await conn.execute(
        """CREATE TABLE old (id int PRIMARY KEY); INSERT INTO old SELECT generate_series(1, 30);
        SELECT aerofn.create_row_trigger('shop', 'old', '{INSERT}', run_as => 'service_role', max_attempts => 1)"""
    )
    wrong = await shop("backfill", "shop_on_old", "--where", "no_such_column > 1")
    assert (wrong.code, "no_such_column" in wrong.err) == (1, True)
    said = await shop("backfill", "shop_on_old", "--chunk", "10", "--where", "id > 5")
    assert (said.code, said.out) == (0, "25 rows of shop_on_old have their events\n"), said.err
    ours, theirs = os.openpty()
    arguments = ("backfill", "shop_on_old", "--database-url", shop.database.url)
    child = await start(*arguments, stderr=theirs, TERM="xterm")
    out, _ = await asyncio.wait_for(child.communicate(), LONGEST_S)
    os.close(theirs)
    bar = os.read(ours, 65536).decode()
    os.close(ours)
    assert (child.returncode, out) == (0, b"30 rows of shop_on_old have their events\n")
    assert "backfilling shop_on_old" in bar
    assert "30/30" in bar
