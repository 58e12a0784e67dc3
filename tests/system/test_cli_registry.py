"""Schedules, webhooks and versions from the command line; no service is needed."""

import pytest

from .cli_kit import WASM, aerofn


@pytest.fixture
async def run(database):
    conn = await database.connect()
    for wasm in (WASM.read_bytes(), WASM.read_bytes() + b"\0\2\1a"):
        await conn.execute("SELECT aerofn.register_function('f', $1)", wasm)
        await conn.execute("SELECT aerofn_internal.compiled(max(id), NULL) FROM aerofn_internal.versions")

    async def run(*arguments):
        return await aerofn(*arguments, DATABASE_URL=database.url)

    return run


async def test_triggers(run):
    options = (
        "--timezone",
        "Europe/Berlin",
        "--missed",
        "once",
        "--payload",
        '{"a": 1}',
        "--run-as",
        "service_role",
    )
    made = await run("triggers", "schedule", "f", "30 8 * * mon-fri", *options)
    assert (made.code, made.out) == (0, "f_schedule is made\n")
    made = await run("triggers", "webhook", "f", "stripe", "--secret", "A", "--secret", "B", "--name", "pay")
    assert (made.code, made.out) == (0, "pay is made: it receives at /hooks/v1/pay\n")
    times = (await run("triggers", "next", "f_schedule", "--count", "3")).out.split()
    assert [at[11:19] for at in times] == ["08:30:00"] * 3
    assert {at[19:] for at in times} <= {"+01:00", "+02:00"}
    refused = await run("triggers", "schedule", "f", "61 * * * *")
    assert (refused.code, "'61' is no minute" in refused.err, "hint:" in refused.err) == (1, True, True)
    assert (await run("triggers", "disable", "f_schedule")).out == "f_schedule is disabled\n"
    listed = (await run("triggers")).out
    assert "30 8 * * mon-fri (Europe/Berlin)" in listed
    assert "/hooks/v1/pay (stripe)" in listed
    schedule, webhook = (await run("triggers", "--json")).json
    assert (schedule["missed"], schedule["payload"], schedule["enabled"]) == ("once", {"a": 1}, False)
    assert webhook["secrets"] == ["A", "B"]
    assert (await run("triggers", "drop", "pay")).code == 0
    assert "there is no trigger 'pay'" in (await run("triggers", "enable", "pay")).err


async def test_versions(run):
    newest, oldest = (await run("functions", "versions", "f", "--json")).json
    assert (newest["version"], newest["active"], oldest["version"], oldest["active"]) == (2, True, 1, False)
    refused = await run("functions", "drop-version", "f", "2")
    assert (refused.code, "is the one that runs" in refused.err) == (1, True)
    assert (await run("functions", "activate", "f", "1")).out == "f version 1 runs\n"
    assert (await run("functions", "drop-version", "f", "2")).code == 0
    assert oldest["digest"][:12] in (await run("functions", "versions", "f")).out
    assert (await run("functions", "versions", "g")).code == 1
    assert (await run("functions", "drop", "f")).out == "f is gone\n"
