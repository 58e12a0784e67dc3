"""Requests to the nodes, each to one of chance; every answer is booked."""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import jwt
import msgspec

from bench.soak.ledger import Answer, Ledger
from bench.soak.nodes import Node

_LONGEST_S = 20.0


class Reply(msgspec.Struct):
    """What came back; status 0 if nothing did."""

    status: int
    body: bytes = b""
    trouble: str = ""

    @property
    def code(self) -> str:
        """The error's code, if it is one."""
        try:
            return str(msgspec.json.decode(self.body).get("code", ""))
        except (msgspec.DecodeError, AttributeError):
            return ""


class Client:
    """Sends as `service_role`.

    Args:
        now: seconds since the soak's start.
    """

    def __init__(
        self,
        nodes: tuple[Node, ...],
        ledger: Ledger,
        secret: str,
        now: Callable[[], float],
        draw: random.Random,
    ) -> None:
        self._nodes = nodes
        self._ledger = ledger
        self._now = now
        self._draw = draw
        claims = {"role": "service_role", "sub": "soak", "exp": time.time() + 86_400}
        self.authorization = f"Bearer {jwt.encode(claims, secret)}"
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    def any_node(self) -> Node:
        return self._draw.choice(self._nodes)

    async def send(
        self, kind: str, path: str, *, expect: tuple[int, ...] = (200,), body: Any = None,
        headers: Mapping[str, str] | None = None, data: Any = None, method: str = "POST",
        longest_s: float = _LONGEST_S,
    ) -> Reply:  # fmt: skip
        """One request, which may fail."""
        node, began = self.any_node(), self._now()
        given = {"Authorization": self.authorization, **(headers or {})}
        if body is not None:
            given["Content-Type"], data = "application/json", msgspec.json.encode(body)
        try:
            async with self._session.request(
                method, node.url + path, data=data, headers=given, timeout=aiohttp.ClientTimeout(longest_s)
            ) as answer:
                reply = Reply(answer.status, await answer.read())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reply = Reply(0, trouble=f"{type(error).__name__} {error}"[:120])
        trouble = None if reply.status in expect else reply.trouble or f"{reply.status} {reply.body[:300]!r}"
        self._ledger.answers.append(Answer(kind, began, self._now(), node.name, trouble))
        return reply

    async def close(self) -> None:
        await self._session.close()
