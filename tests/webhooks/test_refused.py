"""Deliveries that are not genuine, or not as they should be: refused, at no cost to the database."""

import asyncio
import hmac
import json

import asyncpg
import pytest

from .conftest import NOW

BODY = b'{"id": "evt_1"}'
SECRET = b"a secret"


def hexed(signed, secret=SECRET):
    return hmac.new(secret, signed, "sha256").hexdigest()


def stripe(body=BODY, at=NOW, **options):
    return {"Stripe-Signature": f"t={at},v1={hexed(b'%d.%s' % (at, body), **options)}"}


def slack(body=BODY, at=NOW, **options):
    signature = hexed(b"v0:%d:%s" % (at, body), **options)
    return {"X-Slack-Request-Timestamp": str(at), "X-Slack-Signature": f"v0={signature}"}


def github(body=BODY, **options):
    return {"X-Hub-Signature-256": f"sha256={hexed(body, **options)}"}


GOOD = stripe()["Stripe-Signature"].partition("v1=")[2]
FORGED = {
    "stripe": [
        stripe(b"{}"), stripe(secret=b"another"), stripe(at=NOW - 301), stripe(at=NOW + 301), {},
        {"Stripe-Signature": f"t={NOW}"}, {"Stripe-Signature": f"v1={GOOD}"},
        {"Stripe-Signature": f"t={NOW},v0={GOOD}"},
        {"Stripe-Signature": f"t={NOW},v1="}, {"Stripe-Signature": f"t={NOW},v1={GOOD[:-2]}"},
        {"Stripe-Signature": f"t={NOW},v1=zz{GOOD[2:]}"}, {"Stripe-Signature": f"t={NOW},t={NOW},v1={GOOD}"},
        {"Stripe-Signature": f"t= {NOW},v1={GOOD}"}, {"Stripe-Signature": f"t=-{NOW},v1={GOOD}"},
        {"Stripe-Signature": "t=" + "9" * 400 + f",v1={GOOD}"}, {"Stripe-Signature": ",=,,t"},
        {"Stripe-Signature": f"t={NOW}" + ",v1=00" * 20 + f",v1={GOOD}"},
    ],
    "github": [
        github(b"{}"), github(secret=b""), {"X-Hub-Signature": github()["X-Hub-Signature-256"]}, {},
        {"X-Hub-Signature-256": github()["X-Hub-Signature-256"].replace("sha256", "sha1")},
        {"X-Hub-Signature-256": "sha256=\xe4"},
    ],
    "slack": [
        slack(b"{}"), slack(at=NOW - 301), slack(secret=b"x"), {"X-Slack-Signature": slack()["X-Slack-Signature"]},
    ],
    "standard": [
        {"webhook-id": "1", "webhook-timestamp": str(NOW), "webhook-signature": what}
        for what in ("", "v1", "v1,", "v1,====", "v1,AAAA", "v2,AAAA", "," * 500, "v1,\xe4")
    ],
}  # fmt: skip


@pytest.mark.parametrize("scheme", FORGED)
async def test_what_is_not_genuine_is_401_and_costs_no_statement(site, scheme):
    await site.make(scheme, secret="whsec_AAAA" if scheme == "standard" else SECRET.decode())
    if scheme != "standard":
        good = {"stripe": stripe, "github": github, "slack": slack}[scheme]()
        assert (await site.post(BODY, good)).status_code == 200
    else:
        await site.post(BODY, {})
    before = site.database.statements
    for headers in FORGED[scheme]:
        answer = await site.post(BODY, {name: value.encode("latin-1") for name, value in headers.items()})
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature"), headers
        assert "www-authenticate" not in answer.headers
    for name in ("nobody", "hook2", "%00"):
        assert (await site.post(BODY, stripe(), name=name)).status_code == 404
    assert site.database.statements == before
    assert len(await site.requests()) == (scheme != "standard")


async def test_without_a_signature_the_body_is_not_even_read(site):
    await site.make("stripe")

    async def receive():
        raise AssertionError("somebody reads the body")

    for headers in ({}, stripe(at=NOW - 3600)):
        answer = await call(site, headers, receive)
        assert answer == 401


async def test_a_body_that_is_too_large(site):
    await site.make("github", max_kb=1)
    for size, status in ((1024, 200), (1025, 413)):
        body = b"x" * size
        assert (await site.post(body, github(body))).status_code == status

    async def chunks():
        for _ in range(64):
            yield b"x" * 1024

    assert (await site.post(chunks(), github())).status_code == 413  # no length was declared
    assert len(await site.requests()) == 1


async def test_more_than_can_be_stored_are_told_to_come_again(site):
    await site.make("github")
    await site.post(BODY, github())  # so that the webhook is known
    async with site.conn.transaction():
        await site.conn.execute("LOCK aerofn_internal.events")
        deliveries = [asyncio.create_task(site.post(BODY, github())) for _ in range(38)]
        # Those that are refused are answered, while the others wait.
        done, _ = await asyncio.wait(deliveries, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result().status_code for task in done} == {503}
    answers = await asyncio.gather(*deliveries)
    assert sorted(answer.status_code for answer in answers) == [200] * 36 + [503] * 2


async def test_a_body_that_is_not_what_it_says(site):
    await site.make("github")
    answer = await site.post(b"{", github(b"{") | {"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


async def test_a_webhook_that_cannot_work_says_why_and_asks_to_be_called_again(site):
    await site.make("github")
    assert (await site.post(BODY, github())).status_code == 200
    for change, code in {
        "disable_trigger('hook')": "trigger_disabled",
        "enable_trigger('hook')": None,
        "alter_webhook('hook', secrets => '{OTHER}')": "secret_missing",
    }.items():
        await site.conn.execute(f"SELECT aerofn.{change}")
        if code == "trigger_disabled":  # a node that has not heard yet stores nothing either
            assert (await site.post(BODY, github())).json()["code"] == code
        site.revision += 1
        answer = await site.post(BODY, github())
        assert (answer.status_code, answer.json().get("code")) == (503 if code else 200, code)
        assert ("retry-after" in answer.headers) == (code is not None)
    await site.make("standard", name="other", secret="not base64!")
    headers = {"webhook-id": "1", "webhook-timestamp": str(NOW), "webhook-signature": "v1,AAAA"}
    assert (await site.post(BODY, headers, name="other")).status_code == 503
    await site.conn.execute("SELECT aerofn.drop_trigger('hook')")
    site.revision += 1
    assert (await site.post(BODY, github())).status_code == 404


NO_WEBHOOKS = [
    ("'f', 'paypal', '{A}'", "there is no scheme 'paypal'"), ("'f', 'stripe', '{}'", "secrets are"),
    ("'f', 'stripe', NULL", "secrets are"), ("'f', 'stripe', '{NULL}'", "secrets are"),
    ("'f', 'stripe', '{whsec_abc=}'", "secrets are"), ("'f', 'stripe', '{A,B,C,D,E,F,G,H,I}'", "secrets are"),
    ("'f', 'stripe', '{A}', name => 'a b'", "cannot name"), ("'f', 'hmac', '{A}'", "needs a header"),
    ("'f', 'stripe', '{A}', header => 'x'", "for the scheme hmac"),
    ("'f', 'hmac', '{A}', header => 'x y'", "header"),
    ("'f', 'hmac', '{A}', header => 'x', encoding => 'rot13'", "encoding"),
    ("'f', 'hmac', '{A}', header => 'x', id_from => '$'", "id_from"),
    ("'f', 'stripe', '{A}', max_kb => 0", "max_kb"),
    ("'f', 'stripe', '{A}', tolerance_s => NULL", "tolerance_s"),
    ("'f', 'stripe', '{A}', run_as => 'causer'", "causer"),
    ("'g', 'stripe', '{A}'", "there is no function 'g'"),
]  # fmt: skip


async def test_what_cannot_be_a_webhook(site):
    for arguments, said in NO_WEBHOOKS:
        with pytest.raises(asyncpg.PostgresError) as caught:
            await site.conn.execute(f"SELECT aerofn.create_webhook({arguments})")
        assert said in str(caught.value), arguments
        assert caught.value.hint


async def test_changes_are_checked_too(site):
    await site.make("github")
    for change in ("secrets => '{}'", "max_kb => 100000", "tolerance_s => 0"):
        with pytest.raises(asyncpg.InvalidParameterValueError):
            await site.conn.execute(f"SELECT aerofn.alter_webhook('hook', {change})")
    row = await site.conn.fetchrow("SELECT secrets, max_kb, tolerance_s FROM aerofn.triggers")
    assert tuple(row) == (["SECRET"], 1024, 300)


async def call(site, headers, receive):
    """The status of a delivery whose body comes from `receive`."""
    said = []

    async def send(message):
        said.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/hooks/v1/hook", "query_string": b"", "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    await site.app(scope, receive, send)
    assert json.loads(said[1]["body"])["code"]
    return said[0]["status"]
