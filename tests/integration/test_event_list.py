"""Events over HTTP: listed, shown with every attempt's error, replayed one by one or all of a trigger, discarded."""

import time

import httpx
import jwt
import pytest

SECRET = "a secret of the tests, longer than 32 characters"


@pytest.fixture
async def client(shop, node_of):
    """A node that has failed on three orders, and a client of it with the admin role's token."""
    async with node_of(jwt_secret=SECRET) as node:
        await shop.execute(
            "INSERT INTO orders (product_id, quantity) SELECT i, 1000 FROM generate_series(1, 3) i"
        )
        await node.records.until(3)
        await node.parts.dispatcher.idle()
        token = jwt.encode({"role": "service_role", "exp": time.time() + 600}, SECRET)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(node.application()),
            base_url="http://aerofn/manage/v1",
            headers={"authorization": f"Bearer {token}"},
        ) as client:
            client.node = node
            yield client


async def test_dead_events_are_shown_with_their_errors_and_replayed(client, shop):
    dead = (await client.get("/events", params={"state": "dead", "trigger": "reduce-stock_on_orders"})).json()
    assert [event["source"] for event in dead] == ["row"] * 3
    assert sorted((event["id"] for event in dead), reverse=True) == [event["id"] for event in dead]
    page = (await client.get("/events", params={"before": dead[0]["id"], "limit": 1})).json()
    assert [event["id"] for event in page] == [dead[1]["id"]]
    shown = (await client.get(f"/events/{dead[0]['id']}")).json()
    assert (shown["record"]["quantity"], shown["attempt"], len(shown["errors"])) == (1000, 1, 1)
    assert "only 100 are left" in shown["errors"][0]["message"]

    await shop.execute("UPDATE products SET stock = 5000")
    one = dead[0]["id"]
    assert (await client.post(f"/events/{one}/replay")).json() == {"id": one, "state": "pending"}
    await client.node.records.until(4)
    gone = dead[1]["id"]
    assert (await client.post(f"/events/{gone}/discard")).json() == {"id": gone, "state": "cancelled"}
    answer = await client.post("/triggers/reduce-stock_on_orders/replay")
    assert answer.json() == {"trigger": "reduce-stock_on_orders", "replayed": 1}
    await client.node.records.until(5)
    await client.node.parts.dispatcher.idle()
    assert [event["state"] for event in (await client.get("/events")).json()] == ["cancelled"]
    assert await shop.fetchval("SELECT sum(5000 - stock) FROM products") == 2000


IMPOSSIBLE = {
    "GET /events?state=lost": 400,
    "GET /events?limit=0": 400,
    "GET /events?before=x": 400,
    "GET /events?colour=red": 400,
    "GET /events?function=%00": 400,
    "GET /events/1000000000": 404,
    "GET /events/x": 404,
    "GET /events/99999999999999999999": 404,
    "POST /events/1000000000/replay": 404,
    "POST /events/1000000000/discard": 404,
    "POST /triggers/nix/replay": 404,
    "POST /triggers/%00/replay": 404,
}


async def test_what_cannot_be_is_said_and_only_the_admin_role_may(client):
    for request, status in IMPOSSIBLE.items():
        method, path = request.split()
        answer = await client.request(method, path)
        assert (answer.status_code, bool(answer.json()["message"])) == (status, True), request
        nobody = await client.request(method, path, headers={"authorization": ""})
        assert nobody.status_code == 401, request
