"""What the web tests share: tokens, stand-ins below the web layer, a client, a real server.

The stand-ins answer what a test tells them to; the whole service is tested in tests/integration.
"""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import jwt
import msgspec
import uvicorn
from starlette.applications import Starlette

from aerofn.db.functions import ListedFunction, Registration, VersionStatus
from aerofn.dispatch.invoker import Completed
from aerofn.dispatch.kept import KeptRequests
from aerofn.dispatch.requests import HttpRequest
from aerofn.errors import AeroFnError, NotFound
from aerofn.model import Caller, GuestError, Outcome, Record, Run, Usage
from aerofn.settings import Settings, from_env
from aerofn.web.application import Ports, create
from aerofn.web.connection import connections
from aerofn.web.crowd import Crowd
from aerofn.web.probes import Readiness

SECRET = "a secret of the tests, longer than 32 characters"
COMPONENT = b"\0asm\x0d\0\1\0"


def settings(**overrides: Any) -> Settings:
    given = {"database_url": "postgresql://nowhere/none", "jwt_secret": SECRET, **overrides}
    return msgspec.structs.replace(from_env({}, database_url="postgresql://nowhere/none"), **given)


def token(role: str = "authenticated", *, key: Any = SECRET, alg: str = "HS256", **claims: Any) -> str:
    payload = {
        "role": role,
        "sub": "u1",
        "exp": int(time.time()) + 3600,  # longer than any run of the suite
        **claims,
    }
    return jwt.encode({k: v for k, v in payload.items() if v is not None}, key, alg)


def bearer(role: str = "authenticated", **claims: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {token(role, **claims)}"}


def admin() -> dict[str, str]:
    return bearer("service_role")


def ended(
    output: bytes | None = b"null",
    outcome: Outcome = Outcome.SUCCESS,
    error: GuestError | None = None,
    failure: AeroFnError | None = None,
) -> Completed:
    usage = Usage(1, 1, 1, 1, 1, 0)
    record = Record(
        id="", function="f", version=1, trigger="http", event_id=None, attempt=1, status=outcome, duration_ms=1,
        cpu_ms=1, memory_peak_mb=1, queries=0, host_calls=0, bytes_in=1, bytes_out=1, user_id=None,
        role="anon", error=None, logs=[], timestamp=datetime.now(UTC),
    )  # fmt: skip
    return Completed(
        Run(outcome, output if outcome is Outcome.SUCCESS else None, error, usage), record, failure
    )


@dataclass
class Invocation:
    """What the web layer asked for; `event` is the request as the function would read it."""

    function: str
    caller: Caller
    request: HttpRequest
    id: str

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(msgspec.json.encode(self.request))


@dataclass
class Requests:
    """Stands in for dispatch: keeps what was asked and answers with `reply`."""

    reply: Callable[[Invocation], Awaitable[Completed]] | Completed = field(default_factory=ended)
    asked: list[Invocation] = field(default_factory=list)

    admitted: list[tuple[str, Caller, str]] = field(default_factory=list)
    refusal: AeroFnError | None = None
    queries: bool = False  # whether invocations hold a connection to the database

    def in_transaction(self, invocation: str) -> bool:
        return self.queries and self.last.id == invocation

    async def admit(self, function: str, caller: Caller, address: str) -> str:
        if self.refusal is not None:
            raise self.refusal
        self.admitted.append((function, caller, address))
        return function

    async def run(self, version: str, caller: Caller, request: HttpRequest, invocation: str) -> Completed:
        self.asked.append(Invocation(version, caller, request, invocation))
        return self.reply if isinstance(self.reply, Completed) else await self.reply(self.asked[-1])

    @property
    def last(self) -> Invocation:
        return self.asked[-1]


@dataclass
class Functions:
    """Stands in for the registry: every version settles as `settles` says."""

    settles: str = "ready"
    error: dict[str, Any] | None = None
    refusal: AeroFnError | None = None
    registered: list[tuple[Registration, str]] = field(default_factory=list)
    waited: float | None = None
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    async def register(self, what: Registration, author: str) -> int:
        if self.refusal is not None:
            raise self.refusal
        self.registered.append((what, author))
        return len(self.registered)

    async def settled(self, name: str, version: int, seconds: float) -> VersionStatus:
        self.waited = seconds
        return VersionStatus(name, version, self.settles, self.settles == "ready", "ab" * 32, self.error)

    async def all(self) -> list[ListedFunction]:
        at = datetime(2026, 1, 2, tzinfo=UTC)
        return [ListedFunction("hello", "ready", 1, 1, *[None] * 8, at, at)]

    async def one(self, name: str) -> ListedFunction:
        for function in await self.all():
            if function.name == name:
                return function
        raise NotFound(f"there is no function {name!r}", code="function_not_found")

    async def drop(self, name: str) -> None:
        self._known(name)
        self.calls.append(("drop", name))

    async def activate(self, name: str, version: int) -> None:
        self._known(name)
        self.calls.append(("activate", name, version))

    def _known(self, name: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        if name != "hello":
            raise NotFound(f"there is no function {name!r}")


class Secrets:
    """Stands in for the secrets, which tests/integration tests whole."""


class Triggers:
    """Stands in for the triggers, which tests/integration tests whole."""


class Webhooks:
    """Stands in for the webhooks, which tests/webhooks tests whole."""


@dataclass
class Web:
    """The application over its stand-ins, and a client for it."""

    requests: Requests = field(default_factory=Requests)
    functions: Functions = field(default_factory=Functions)
    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    settings: Settings = field(default_factory=settings)
    events: list[str] = field(default_factory=list)

    def application(self) -> Starlette:
        kept = KeptRequests(self.requests, None, lambda: None)  # type: ignore[arg-type]
        ports = Ports(
            self.settings,
            self.requests,
            kept,
            self.functions,
            Secrets(),
            Triggers(),
            Webhooks(),
            self._ready,
            self._metrics,
            None,
            None,
            None,
        )  # type: ignore[arg-type]
        return create(ports, self._lifespan)

    async def _metrics(self) -> tuple[bytes, str]:
        return b"up 1\n", "text/plain"

    async def _ready(self) -> Readiness:
        return Readiness(self.reasons, self.warnings)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self.events.append("started")
        yield
        self.events.append("stopped")

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(self.application())
        async with httpx.AsyncClient(transport=transport, base_url="http://aerofn") as client:
            yield client

    @asynccontextmanager
    async def server(self) -> AsyncIterator[int]:
        """The application in a real server, on a free port."""
        app = self.application()
        ours = connections(most=100, patience_s=20.0, crowd=Crowd(100))
        config = uvicorn.Config(
            app, log_config=None, access_log=False, timeout_graceful_shutdown=5, http=ours
        )
        server = uvicorn.Server(config)
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            config.load()
            server.lifespan = config.lifespan_class(config)
            await server.startup([listening])
            try:
                yield listening.getsockname()[1]
            finally:
                await server.shutdown([listening])


class Line:
    """A raw HTTP/1.1 connection, for what a good client would not do."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int) -> AsyncIterator["Line"]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()

    async def send(self, start: str, *headers: str, body: bytes = b"") -> None:
        head = "\r\n".join([f"{start} HTTP/1.1", "Host: x", *headers, "", ""])
        self.writer.write(head.encode("latin-1") + body)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split(" ")[1]), headers, body
