"""The load over HTTP: requests of every kind, honest, hostile, and broken off."""

import asyncio

from bench.soak.client import Reply
from bench.soak.ledger import Answer
from bench.soak.site import Site

LEDGER = "/functions/v1/ledger"
# What each deed of the hostile function has to be answered with.
_HOSTILE = {
    "loop": (504, "timeout"),
    "bomb": (500, "memory_limit"),
    "trap": (500, "trap"),
    "never": (500, "function_error"),
    "throw": (500, "function_error"),
    "flood": (200, ""),
}


async def plain(site: Site) -> None:
    """A request that is sent once: answered 200 it has happened, refused by the function it has not."""
    key = f"plain-{site.number()}"
    site.ledger.sent["plain"].add(key)
    reply = await site.client.send("plain", LEDGER, body={"kind": "plain", "key": key})
    if reply.status == 200:
        site.ledger.accept("plain", [key])


async def failing(site: Site) -> None:
    """The function throws after its effect."""
    key = f"failing-{site.number()}"
    site.ledger.sent["failing"].add(key)
    body = {"kind": "failing", "key": key, "fail": True}
    reply = await site.client.send("failing", LEDGER, body=body, expect=(500,))
    if reply.status == 500 and reply.code == "function_error":
        site.ledger.refused["failing"].add(key)


async def keyed(site: Site) -> None:
    """With an Idempotency-Key, and sent until it is answered 200; now and then twice though it was."""
    key = f"keyed-{site.number()}"

    async def send() -> Reply:
        return await site.client.send(
            "keyed",
            LEDGER,
            body={"kind": "keyed", "key": key},
            headers={"Idempotency-Key": key},
            expect=(200, 409),
        )

    first = await site.until_accepted("keyed", key, send)
    if first is not None and site.draw.random() < 0.3:
        again = await send()
        if again.status == 200 and again.body != first.body:
            site.ledger.broken_promises.append(
                f"{key} was answered {first.body!r}, and {again.body!r} when repeated"
            )


async def later(site: Site) -> None:
    """With `Prefer: respond-async`: accepted once it is stored."""
    key = f"later-{site.number()}"
    headers = {"Prefer": "respond-async", "Idempotency-Key": key}

    async def send() -> Reply:
        return await site.client.send(
            "later", LEDGER, body={"kind": "later", "key": key}, headers=headers, expect=(200, 202, 409)
        )

    await site.until_accepted("later", key, send)


async def fetching(site: Site) -> None:
    """The function asks a server whose name has to be looked up first, or leaves that for after its commit."""
    key = f"fetching-{site.number()}"
    site.ledger.sent["fetching"].add(key)
    how = "after" if site.draw.random() < 0.5 else "fetch"
    reply = await site.client.send("fetching", LEDGER, body={"kind": "fetching", "key": key, how: site.url()})
    if reply.status == 200:
        site.ledger.accept("fetching", [key])
        if how == "after":
            site.ledger.to_be_sent.add(key)


async def hostile(site: Site) -> None:
    """A function that wants the node's processor, memory or log; it is stopped, and told so."""
    deed = site.draw.choice(list(_HOSTILE))
    status, code = _HOSTILE[deed]
    # Whatever it does, its time may be up before: then it is stopped for that.
    expect = (status, 504)
    reply = await site.client.send("hostile", "/functions/v1/hostile", body={"deed": deed}, expect=expect)
    if reply.status == status and code and reply.code != code:
        site.ledger.broken_promises.append(f"{deed} was answered {reply.body[:200]!r}, not {code}")


async def gone(site: Site) -> None:
    """A client that goes away before it is answered: what was begun for it may have happened, once."""
    key, node, began = f"gone-{site.number()}", site.client.any_node(), site.now()
    site.ledger.sent["gone"].add(key)
    body = b'{"kind":"gone","key":"%s","wait":200}' % key.encode()
    head = f"POST {LEDGER} HTTP/1.1\r\nHost: soak\r\nAuthorization: {site.client.authorization}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    trouble = None
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(head.encode() + (body if site.draw.random() < 0.8 else body[:10]))
        await asyncio.sleep(site.draw.uniform(0, 0.3))
        writer.transport.abort()
    except OSError as error:
        trouble = str(error)
    site.ledger.answers.append(Answer("gone", began, site.now(), node.name, trouble))
