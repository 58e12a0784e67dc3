"""Deliveries that are genuine, signed by the senders' own libraries and in their published examples."""

import asyncio
import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from aerofn import sql
from aerofn.db.horizon import BEGINNING
from aerofn.db.payloads import payload_of
from aerofn.model import Caller

from .conftest import NOW

STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
GITHUB = ("It's a Secret to Everybody", "Hello, World!")
GITHUB_SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
SLACK_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
SLACK_BODY = (
    "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    "&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
    "%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d"
    "10d2c447fce8b6703c"
)
SLACK_HEADERS = {
    "X-Slack-Request-Timestamp": "1531420618",
    "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    "Content-Type": "application/x-www-form-urlencoded",
}
JSON = {"Content-Type": "application/json"}
LEASE = sql.queries("events").lease


@pytest.mark.parametrize("scheme", ["stripe", "standard", "github"])
async def test_signed_by_the_senders_own_library(site, sign, scheme):
    body = json.dumps({"id": "evt_1Pq", "amount": 12.50, "name": "Zoë ☂"}, ensure_ascii=False)
    secret = STANDARD_SECRET if scheme == "standard" else "whsec_or whatever it is"
    headers = sign(body=body, secret=secret, standardSecret=STANDARD_SECRET, id="msg_2Kx")[scheme] | JSON
    await site.make(scheme, secret=secret)
    first = await site.post(body, headers)
    assert (first.status_code, first.json()["duplicate"]) == (200, False)
    (request,) = await site.requests()
    assert request["body"] == json.loads(body)
    assert (request["method"], request["isBase64Encoded"]) == ("POST", False)
    assert not any("signature" in name for name in request["headers"])
    row = await site.conn.fetchrow('SELECT source, "trigger", function, role, id FROM aerofn.events')
    assert tuple(row) == ("webhook", "hook", "f", "service_role", int(first.json()["event"]))
    # The sender tries again, when the event has long run and is gone.
    await site.conn.execute("DELETE FROM aerofn_internal.events")
    again = await site.post(body, headers)
    assert (again.status_code, again.json()) == (200, {"event": first.json()["event"], "duplicate": True})
    assert await site.requests() == []
    expected = "evt_1Pq" if scheme == "stripe" else "msg_2Kx"
    assert await site.conn.fetchval("SELECT sender_id FROM aerofn.deliveries") == expected


async def test_the_published_example_of_github(site):
    secret, body = GITHUB
    await site.make("github", secret=secret)
    headers = {"X-Hub-Signature-256": GITHUB_SIGNATURE, "Content-Type": "text/plain"}
    assert (await site.post(body, headers)).status_code == 200
    # Without an id nothing tells one delivery from another: both run.
    assert (await site.post(body, headers)).json()["duplicate"] is False
    assert [request["body"] for request in await site.requests()] == ["Hello, World!"] * 2


async def test_the_published_example_of_slack(site):
    await site.make("slack", secret=SLACK_SECRET)
    site.now = 1531420618 + 299
    answer = await site.post(SLACK_BODY, SLACK_HEADERS)
    assert (answer.status_code, answer.content) == (200, b"")
    assert [request["body"] for request in await site.requests()] == [SLACK_BODY]


async def test_slack_asks_whether_the_url_is_ours(site):
    await site.make("slack", secret=SLACK_SECRET)
    body = b'{"token": "x", "challenge": "3eZbrw1aB", "type": "url_verification"}'
    signature = hmac.new(SLACK_SECRET.encode(), b"v0:%d:%s" % (NOW, body), "sha256").hexdigest()
    headers = {"X-Slack-Request-Timestamp": str(NOW), "X-Slack-Signature": f"v0={signature}", **JSON}
    answer = await site.post(body, headers)
    assert (answer.status_code, answer.json()) == (200, {"challenge": "3eZbrw1aB"})
    assert await site.requests() == []
    forged = await site.post(body.replace(b"3eZ", b"4eZ"), headers)
    assert forged.status_code == 401


async def test_standard_webhooks_for_python_and_several_secrets(site):
    await site.make("standard", secret="whsec_" + base64.b64encode(b"another key").decode())
    site.secrets["NEW"] = STANDARD_SECRET.removeprefix("whsec_").rstrip("=")
    body = '{"type": "contact.created"}'
    signed = Webhook(STANDARD_SECRET).sign("msg_1", datetime.fromtimestamp(NOW, UTC), body)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(NOW),
        "webhook-signature": f"v1a,AA== v1,AA== {signed}",
    }
    assert (await site.post(body, headers | JSON)).status_code == 401
    await site.conn.execute("SELECT aerofn.alter_webhook('hook', secrets => '{SECRET,NEW}')")
    site.revision += 1
    assert (await site.post(body, headers | JSON)).status_code == 200
    await site.conn.execute("SELECT aerofn.alter_webhook('hook', secrets => '{SECRET}')")
    site.revision += 1
    assert (await site.post(body, headers | JSON)).status_code == 401


def digest(body):
    return hmac.new(b"a secret", body, hashlib.sha256)


@pytest.mark.parametrize(
    ("options", "headers", "body", "sender_id"),
    [
        ({"header": "X-Signature"}, lambda b: {"X-Signature": digest(b).hexdigest().upper()}, b"{}", None),
        (
            {"header": "X-Shopify-Hmac-Sha256", "encoding": "base64", "id_from": "X-Shopify-Webhook-Id"},
            lambda b: {
                "X-Shopify-Hmac-SHA256": base64.b64encode(digest(b).digest()).decode(),
                "X-Shopify-Webhook-Id": "b54557e4",
            },
            b'{"id": 820982911946154500}',
            "b54557e4",
        ),
        (
            {"header": "x-sign", "prefix": "sha256=", "id_from": "$.data.id"},
            lambda b: {"X-Sign": f"sha256={digest(b).hexdigest()}"},
            b'{"data": {"id": 77}}',
            "77",
        ),
        (
            {"header": "x-sign", "id_from": "$.id"},
            lambda b: {"X-Sign": digest(b).hexdigest()},
            b'{"id": "\\u0000' + b"x" * 500 + b'"}',
            "sha256:" + hashlib.sha256(b"\0" + b"x" * 500).hexdigest(),
        ),
    ],
)
async def test_any_other_hmac(site, options, headers, body, sender_id):
    await site.make("hmac", **options)
    for duplicate in (False, sender_id is not None):
        answer = await site.post(body, headers(body) | JSON)
        assert (answer.status_code, answer.json()["duplicate"]) == (200, duplicate)
    assert await site.conn.fetchval("SELECT min(sender_id) FROM aerofn.deliveries") == sender_id


BODIES = [
    (b"", "application/json", None, False),
    (b"a=1&b=%20", "application/x-www-form-urlencoded", "a=1&b=%20", False),
    (b"\0\xff\x80", "application/octet-stream", base64.b64encode(b"\0\xff\x80").decode(), True),
    (b"no type", "", base64.b64encode(b"no type").decode(), True),
    (b"\xe4", "text/plain; charset=iso-8859-1", "ä", False),
    (b"a\0b", "text/plain", "a\0b", False),
    (b'{"a": "\\u0000", "b": 1e400, "n": 123456789012345678901234567890}', "application/json",
     {"a": "\0", "b": float("inf"), "n": 123456789012345678901234567890}, False),
    (b"[" * 900 + b"]" * 900, "application/json", ..., False),
]  # fmt: skip


async def test_bodies_of_every_kind_arrive_as_they_were(site):
    await site.make("hmac", header="x-sign")
    for body, kind, expected, is_base64 in BODIES:
        headers = {"X-Sign": digest(body).hexdigest()} | ({"Content-Type": kind} if kind else {})
        assert (await site.post(body, headers)).status_code == 200, body[:20]
        (request,) = await site.requests()
        # What the function is given, as a node leases it.
        (leased,) = await site.conn.fetch(LEASE, 1, 10, 60.0, *BEGINNING)
        event = json.loads(payload_of(leased, Caller("anon")))
        assert event["request"] == request
        assert (event["trigger"], event["name"]) == ("webhook", "hook")
        if expected is not ...:
            assert (request["body"], request["isBase64Encoded"]) == (expected, is_base64)
        await site.conn.execute("DELETE FROM aerofn_internal.events")


async def test_one_delivery_many_times_at_once_is_one_event(site):
    await site.make("hmac", header="x-sign", id_from="x-id")
    headers = {"X-Sign": digest(b"{}").hexdigest(), "X-Id": "1", **JSON}
    answers = await asyncio.gather(*(site.post(b"{}", headers) for _ in range(12)))
    assert {answer.json()["event"] for answer in answers} == {answers[0].json()["event"]}
    assert sorted(answer.json()["duplicate"] for answer in answers) == [False] + [True] * 11
    assert len(await site.requests()) == 1


async def test_ids_are_forgotten_in_time(site):
    await site.make("hmac", header="x-sign", id_from="x-id")
    headers = {"X-Sign": digest(b"{}").hexdigest(), "X-Id": "1", **JSON}
    await site.post(b"{}", headers)
    await site.webhooks.forget(1)
    assert (await site.post(b"{}", headers)).json()["duplicate"] is True
    await site.conn.execute(
        "UPDATE aerofn_internal.deliveries SET received_at = now() - interval '61 minutes'"
    )
    await site.webhooks.forget(1)
    assert (await site.post(b"{}", headers)).json()["duplicate"] is False
