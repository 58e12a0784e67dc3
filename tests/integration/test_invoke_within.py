"""A function calls another with aerofn.invoke() through db.query: in its transaction, as its caller, if that may."""

import asyncio

import pytest

from aerofn.model import Caller

ALICE = Caller("authenticated", {"role": "authenticated", "sub": "alice", "team": "red"})
SEEN = "INSERT INTO seen SELECT current_user, auth.uid(), auth.jwt() ->> 'team'"


def calling(function: str, then: str = "query") -> dict:
    payload = {"do": "query", "queries": [[SEEN]]}
    return {"do": then, "queries": [["SELECT aerofn.invoke($1, $2) AS event", [function, payload]]]}


@pytest.fixture
async def node(node_of, conn, probe):
    await conn.execute(
        "CREATE TABLE seen (role text, sub text, team text); GRANT INSERT ON seen TO anon, authenticated, service_role"
    )
    for name, options in {
        "probe": "", "target": "", "guarded": ", roles => '{service_role}'", "admin": ", run_as => 'service_role'",
    }.items():  # fmt: skip
        await conn.execute(f"SELECT aerofn.register_function($1, $2{options})", name, probe)
    async with node_of() as node:
        yield node


async def events_done(node, conn) -> None:
    async with asyncio.timeout(30):
        while await conn.fetchval("SELECT count(*) FROM aerofn_internal.events"):
            await asyncio.sleep(0.02)


async def test_the_caller_is_carried_along(node, conn):
    completed = await node.invoke("probe", calling("target"), ALICE)
    assert completed.run.outcome == "success"
    await events_done(node, conn)
    assert [tuple(r) for r in await conn.fetch("SELECT * FROM seen")] == [("authenticated", "alice", "red")]
    (record,) = await node.records.until(1, lambda r: r.function == "target")
    assert (record.trigger, record.user_id, record.role) == ("invoke", "alice", "authenticated")


async def test_it_is_one_transaction(node, conn):
    completed = await node.invoke("probe", calling("target", then="fail"), ALICE)
    assert completed.run.outcome == "function_error"
    assert await conn.fetchval("SELECT count(*) FROM aerofn_internal.events") == 0
    assert await conn.fetchval("SELECT count(*) FROM seen") == 0


async def test_roles_are_checked_as_for_http(node, conn):
    completed = await node.invoke("probe", calling("guarded"), ALICE)
    assert b'"code":"42501"' in completed.run.output
    assert b"may not invoke function" in completed.run.output
    # A function that acts as service_role may, and says whose call it was.
    completed = await node.invoke("admin", calling("guarded"), ALICE)
    assert completed.run.outcome == "success"
    assert b"42501" not in completed.run.output
    await events_done(node, conn)
    assert [tuple(r) for r in await conn.fetch("SELECT * FROM seen")] == [("service_role", "alice", "red")]


async def test_nobody_says_run_as_or_reaches_the_events(node, conn):
    attempts = [
        ["SELECT aerofn.invoke('target', '{}', run_as => 'service_role')"],
        [
            "INSERT INTO aerofn_internal.events (function_id, source, role) VALUES (1, 'invoke', 'service_role')"
        ],
        ["SELECT aerofn_internal.ask_event(1, '', NULL, '', 60, 'service_role', '{}', '{}')"],
        ["SELECT aerofn_internal.keep_event_result(1, '', gen_random_uuid())"],
        ["SELECT * FROM aerofn_internal.results"],
    ]
    completed = await node.invoke("probe", {"do": "query", "queries": attempts}, ALICE)
    assert completed.run.output.count(b'"error":') == len(attempts), completed.run.output
    assert completed.run.output.count(b'"code":"42501"') == len(attempts), completed.run.output
