"""Triggers and versions as the admin role manages them over HTTP."""

from datetime import datetime

import httpx
import jwt
import pytest

SECRET = "a secret of the tests, longer than 32 characters"
COMPONENT = bytes.fromhex("0061736d0d000100")


@pytest.fixture
async def admin(conn, node_of):
    """A client with the admin role's token, of a node that knows a function f with two versions."""
    token = jwt.encode({"role": "service_role"}, SECRET)
    for name in (b"a", b"b"):
        await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT + b"\0\3\1" + name + name)
    await conn.execute("SELECT aerofn_internal.compiled(id, NULL) FROM aerofn_internal.versions")
    async with node_of(jwt_secret=SECRET) as node:
        transport = httpx.ASGITransport(node.application())
        async with httpx.AsyncClient(transport=transport, base_url="http://aerofn/manage/v1") as client:
            for path in ("/triggers", "/triggers/x", "/functions/f/versions"):
                assert (await client.get(path)).status_code == 401
            client.headers["authorization"] = f"Bearer {token}"
            yield client


async def test_a_schedule(admin):
    given = {
        "kind": "schedule", "function": "f", "cron": "0 8 * * mon-fri", "timezone": "europe/berlin", "missed": "once",
        "payload": {"a": [1, None]}, "run_as": "service_role",
    }  # fmt: skip
    made = await admin.post("/triggers", json=given)
    assert (made.status_code, made.json()["name"]) == (201, "f_schedule")
    assert (await admin.post("/triggers", json=given)).status_code == 409
    shown = (await admin.get("/triggers/f_schedule")).json()
    assert shown | given | {"timezone": "Europe/Berlin"} == shown
    times = [datetime.fromisoformat(at) for at in shown["next"]]
    assert (len(set(times)), sorted(times)) == (5, times)
    assert {at.hour for at in times} <= {6, 7}
    assert {at.weekday() for at in times} <= set(range(5))
    [listed] = (await admin.get("/triggers")).json()
    assert listed["name"] == "f_schedule"
    disabled = (await admin.post("/triggers/f_schedule/disable")).json()
    assert (disabled["enabled"], "next" in disabled) == (False, False)
    assert (await admin.post("/triggers/f_schedule/enable")).json()["enabled"] is True
    assert (await admin.delete("/triggers/f_schedule")).status_code == 204
    assert (await admin.get("/triggers")).json() == []


async def test_a_webhook(admin):
    given = {
        "kind": "webhook",
        "function": "f",
        "scheme": "github",
        "secrets": ["HUB"],
        "name": "hub",
        "max_kb": 64,
    }
    made = await admin.post("/triggers", json=given)
    assert (made.status_code, made.json() | given) == (201, made.json())
    assert (await admin.post("/triggers", json={**given, "scheme": "paypal", "name": "x"})).status_code == 400


NO_TRIGGERS = [
    None, [], {}, {"kind": "row", "function": "f"}, {"kind": "schedule", "function": "f"},
    {"kind": "schedule", "function": "f", "cron": "* * *"}, {"kind": "schedule", "function": "f", "cron": 5},
    {"kind": "schedule", "function": "f", "cron": "@daily", "timezone": "Mars"},
    {"kind": "schedule", "function": "f", "cron": "@daily", "max_attempts": 1 << 40},
    {"kind": "schedule", "function": "f", "cron": "@daily", "colour": "red"},
    {"kind": "schedule", "function": "f", "cron": "@daily", "name": "a\0b"},
    {"kind": "schedule", "function": "f", "cron": "@daily", "payload": {"a": "\0"}},
    {"kind": "webhook", "function": "f", "scheme": "github", "secrets": "HUB"},
]  # fmt: skip


async def test_what_makes_no_trigger(admin):
    for given in NO_TRIGGERS:
        answer = await admin.post("/triggers", json=given)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), given


async def test_what_is_not_there(admin):
    answers = [
        await admin.get("/triggers/nothing"), await admin.delete("/triggers/nothing"),
        await admin.post("/triggers/nothing/enable"), await admin.delete("/triggers/a%00b"),
        await admin.post("/triggers", json={"kind": "schedule", "function": "g", "cron": "@daily"}),
        await admin.get("/functions/g/versions"), await admin.delete("/functions/f/versions/3"),
        await admin.delete("/functions/f/versions/99999999999"), await admin.delete("/functions/g/versions/1"),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [404] * len(answers)


async def test_versions(admin):
    newest, oldest = (await admin.get("/functions/f/versions")).json()
    assert (newest["version"], newest["active"], oldest["active"]) == (2, True, False)
    assert (newest["size"], len(newest["digest"]), bool(newest["author"])) == (13, 64, True)
    assert datetime.fromisoformat(newest["created_at"]) >= datetime.fromisoformat(oldest["created_at"])
    refused = await admin.delete("/functions/f/versions/2")
    assert (refused.status_code, "is the one that runs" in refused.json()["message"]) == (409, True)
    assert (await admin.post("/functions/f/activate", json={"version": 1})).status_code == 200
    assert (await admin.delete("/functions/f/versions/2")).status_code == 204
    assert [v["version"] for v in (await admin.get("/functions/f/versions")).json()] == [1]
    await admin.post("/triggers", json={"kind": "schedule", "function": "f", "cron": "@daily"})
    assert (await admin.delete("/functions/f")).status_code == 409
    await admin.delete("/triggers/f_schedule")
    assert (await admin.delete("/functions/f")).status_code == 204
