"""The load that comes by the database and by webhooks: whatever becomes an event."""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Awaitable, Callable

from bench.soak.client import Reply
from bench.soak.ledger import Answer
from bench.soak.postgres import AWAY, Q
from bench.soak.site import Site

WEBHOOK_KEY = secrets.token_bytes(24)
WEBHOOK_SECRET = "whsec_" + base64.b64encode(WEBHOOK_KEY).decode()
_PATH = "/hooks/v1/deliveries"


async def orders(site: Site) -> None:
    """A statement of some rows; every eleventh fails at its first attempt, after its effect."""
    ids = [site.number() for _ in range(site.draw.randint(1, 10))]
    site.ledger.sent["orders"].update(map(str, ids))
    await _write(site, "orders", lambda: site.postgres.fetch(Q.insert_orders, ids), [str(one) for one in ids])


async def accounts(site: Site) -> None:
    """A change of one of a few rows, whose events are to run in order."""
    await _write(site, "accounts", lambda: site.postgres.fetch(Q.change_account, site.draw.randint(1, 8)), [])


async def invokes(site: Site) -> None:
    """`aerofn.invoke()` in a transaction that commits or does not."""
    key = f"invoke-{site.number()}"
    site.ledger.sent["invoke"].add(key)
    payload = json.dumps({"kind": "invoke", "key": key})
    await _write(site, "invoke", lambda: site.postgres.fetch(Q.ask, key, payload, 100), [key])


async def hostile_events(site: Site) -> None:
    """An event that cannot succeed: it has to be dead in the end, and in nobody's way."""
    payload = json.dumps({"deed": site.draw.choice(("loop", "bomb", "never"))})
    await _write(site, "hostile events", lambda: site.postgres.fetch(Q.ask_hostile, payload), [])


async def _write(
    site: Site, kind: str, write: Callable[[], Awaitable[list[object]]], keys: list[str]
) -> None:
    """A write that is tried once. Whether it happened although it failed, the tables tell in the end."""
    began, trouble = site.now(), None
    try:
        await write()
        for key in keys:
            site.ledger.committed[kind, key] = time.time()
    except AWAY as error:
        trouble = f"{type(error).__name__} {error}"[:120]
    site.ledger.answers.append(Answer(kind, began, site.now(), "postgres", trouble))


async def deliveries(site: Site) -> None:
    """A webhook's delivery, sent until it is accepted; now and then to several nodes at the same time, and again."""
    key = f"msg_{site.number()}"
    body = json.dumps({"id": key, "type": "soak"}).encode()

    async def send() -> Reply:
        return await site.client.send("webhook", _PATH, data=body, headers=_signed(key, body))

    twice = site.draw.random() < 0.3
    await asyncio.gather(*(site.until_accepted("webhook", key, send) for _ in range(2 if twice else 1)))
    if site.draw.random() < 0.2:
        await asyncio.sleep(site.draw.uniform(0, 3))
        await send()


async def forgeries(site: Site) -> None:
    """A delivery that is not genuine."""
    headers = _signed("msg_forged", b"{}")
    await site.client.send("forgery", _PATH, data=b'{"id":"forged"}', headers=headers, expect=(401,))


def _signed(key: str, body: bytes) -> dict[str, str]:
    """As Standard Webhooks has it."""
    sent_at = str(int(time.time()))
    digest = hmac.digest(WEBHOOK_KEY, f"{key}.{sent_at}.".encode() + body, hashlib.sha256)
    return {
        "Content-Type": "application/json", "webhook-id": key, "webhook-timestamp": sent_at,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }  # fmt: skip
