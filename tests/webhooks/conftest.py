"""The webhook route over a real database, with a clock and secrets that tests set, and a count of statements."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from starlette.routing import Route, Router

from aerofn.db.database import Database
from aerofn.db.webhooks import Webhooks
from aerofn.web.endpoint import Endpoint
from aerofn.web.envelope import Envelope
from aerofn.web.webhooks.hooks import Hooks

NOW = 1_700_000_000
COMPONENT = bytes.fromhex("0061736d0d000100")
SENDERS = Path(__file__).parent / "senders"


class Counting(Database):
    """Counts what is asked of the database."""

    statements = 0

    async def fetch(self, statement: str, *arguments: Any) -> list[Any]:
        self.statements += 1
        return await super().fetch(statement, *arguments)

    async def fetchrow(self, statement: str, *arguments: Any) -> Any:
        self.statements += 1
        return await super().fetchrow(statement, *arguments)


class Secrets(dict):
    """Secrets in the clear, for the test."""

    async def values(self, names: frozenset[str]) -> Mapping[str, str]:  # type: ignore[override]
        return {name: self[name] for name in names if name in self}


class Site:
    """Where senders deliver to."""

    def __init__(self, conn: asyncpg.Connection, pool: asyncpg.Pool, settings: Any) -> None:
        self.conn = conn
        self.database = Counting(pool)
        self.secrets = Secrets()
        self.now = NOW
        self.revision = 1
        webhooks = Webhooks(self.database, lambda: self.revision)
        self.webhooks = webhooks
        self.hooks = Hooks(webhooks, self.secrets, settings, lambda: self.now)
        self.app = Envelope(Router([Route("/hooks/v1/{trigger}", Endpoint(POST=self.hooks.post))]))

    async def make(
        self, scheme: str, *, name: str = "hook", secret: str = "a secret", **options: Any
    ) -> None:
        """A webhook of a scheme, whose one secret is set."""
        self.secrets["SECRET"] = secret
        given = {"name": name, "run_as": "service_role", **options}
        named = "".join(f", {key} => ${place}" for place, key in enumerate(given, 2))
        await self.conn.execute(
            f"SELECT aerofn.create_webhook('f', $1, '{{SECRET}}'{named})", scheme, *given.values()
        )
        self.revision += 1

    async def post(
        self, body: bytes | str, headers: dict[str, str], name: str = "hook", **more: Any
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://aerofn") as client:
            return await client.post(f"/hooks/v1/{name}", content=body, headers=headers, **more)

    async def requests(self) -> list[dict[str, Any]]:
        """What the events hold of their requests."""
        rows = await self.conn.fetch("SELECT payload FROM aerofn.events ORDER BY id")
        return [json.loads(row["payload"]) for row in rows]


@pytest.fixture
async def site(database):
    conn = await database.connect()
    await conn.execute("SELECT aerofn.register_function('f', $1)", COMPONENT)
    async with asyncpg.create_pool(database.url, min_size=1, max_size=12) as pool:
        yield Site(conn, pool, database.settings(max_waiting=4))


@pytest.fixture(scope="session")
def sign(tmp_path_factory):
    """Signs as Stripe's, GitHub's and Standard Webhooks' own libraries for Node do."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("the senders' libraries need Node")
    folder = tmp_path_factory.mktemp("senders")
    shutil.copytree(SENDERS, folder, dirs_exist_ok=True)
    arguments = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(arguments, cwd=folder, check=True, capture_output=True)

    def run(**given: Any) -> dict[str, dict[str, str]]:
        asked = json.dumps({"now": NOW, **given}).encode()
        done = subprocess.run([node, folder / "sign.mjs"], input=asked, check=True, capture_output=True)
        return json.loads(done.stdout)

    return run
