"""The host of an invocation under test: the test's transaction, and answers to HTTP that the test gives."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from aerofn.bridge.session import Reply, Session
from aerofn.model import LogLine

Answer = Mapping[str, Any] | int | str
Fetches = Mapping[str, Answer] | Callable[[dict[str, Any]], Answer]


class TestHost:
    """Answers the four host calls, and remembers them.

    Args:
        fetches: an answer for each URL, or a function from request to answer. An answer is an object with
            `status`, `headers` and `body`, a status alone, or a body alone.
    """

    __test__ = False  # for pytest, which collects names like this one

    def __init__(self, session: Session, env: Mapping[str, str], fetches: Fetches) -> None:
        self._session = session
        self._env = env
        self._answers = fetches
        self._started = time.clock_gettime(time.CLOCK_MONOTONIC)
        self.logs: list[LogLine] = []
        self.queries: list[tuple[str, Any]] = []
        self.fetches: list[dict[str, Any]] = []

    async def db_query(self, sql: str, params: str) -> Reply:
        """Run a statement in the test's transaction, as the caller."""
        self.queries.append((sql, msgspec.json.decode(params)))
        return await self._session.query(sql, params)

    async def http_fetch(self, request: str) -> Reply:
        """The test's answer; a URL it has none for is refused."""
        asked = msgspec.json.decode(request)
        if isinstance(asked, list):  # several at once
            return True, msgspec.json.encode([self._answered(one) for one in asked])
        answer = self._answered(asked)
        return "ok" in answer, msgspec.json.encode(answer.get("ok", answer.get("err")))

    def _answered(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.fetches.append(asked)
        if asked.get("afterCommit"):  # sent by nobody: nothing is committed
            return {"ok": {"idempotencyKey": f"test-{len(self.fetches)}"}}
        answer = self._answers(asked) if callable(self._answers) else self._answers.get(asked["url"])
        if answer is None:
            method = asked.get("method", "GET")
            message = f"this test gives no answer for {method} {asked['url']}"
            return {"err": {"code": "egress_denied", "message": message}}
        return {"ok": _whole(answer)}

    async def wait(self, seconds: float) -> None:
        """Wait indeed."""
        await asyncio.sleep(seconds)

    def log(self, level: str, message: str, at: float) -> None:
        """Keep a line."""
        self.logs.append(LogLine(level, message, round((at - self._started) * 1000, 3)))

    def env(self, key: str) -> str | None:
        """A key's value, as the test has it."""
        return self._env.get(key)


def _whole(answer: Answer) -> dict[str, Any]:
    if isinstance(answer, int):
        answer = {"status": answer}
    elif isinstance(answer, str):
        answer = {"body": answer}
    body = answer.get("body", "")
    headers = dict(answer.get("headers", {}))
    if not isinstance(body, str):
        body = msgspec.json.encode(body).decode()
        headers.setdefault("content-type", "application/json")
    return {"status": answer.get("status", 200), "headers": headers, "body": body}
