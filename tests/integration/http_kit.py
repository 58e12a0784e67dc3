"""Tokens, a served node and its client: for tests that talk HTTP to the whole service."""

import asyncio
import time
from contextlib import asynccontextmanager

import httpx
import jwt

from aerofn.app import http_server, url_of
from tests.conftest import compiled

from .conftest import Node, Records

SECRET = "a secret of the tests, long enough for HS256"


def token(role="authenticated", **claims):
    return jwt.encode({"role": role, "exp": int(time.time()) + 600, **claims}, SECRET, "HS256")


def bearer(*args, **claims):
    return {"authorization": f"Bearer {token(*args, **claims)}"}


@asynccontextmanager
async def served(node):
    """An HTTP client of the node's own server, on a free port."""
    ready = asyncio.Event()
    server = http_server(node, lambda _url: ready.set())
    serving = asyncio.create_task(server.serve())
    await ready.wait()
    async with httpx.AsyncClient(base_url=url_of(server), timeout=90) as client:
        yield client
    server.should_exit = True
    await serving


@asynccontextmanager
async def lasting(database, traces=None, **settings):
    """A node for the tests of a whole module, on a database of theirs."""
    given = {
        "cache_dir": compiled(), "records_to_stdout": False, "jwt_secret": SECRET, "port": 0, "pool_timeout_s": 60,
        **settings,
    }  # fmt: skip
    node = Node(database.settings(**given), Records(), env={}, tracing=traces)
    await node.start()
    try:
        yield node
    finally:
        await node.stop()


async def deploy(client, name, wasm, headers=None, **options):
    return await client.post(
        "/functions/v1/deploy",
        data={"name": name, **options},
        files={"wasm": ("f.wasm", wasm)},
        headers=bearer("service_role", sub="dev") if headers is None else headers,
    )
