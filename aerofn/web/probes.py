"""What the platform around a node asks it: is it alive, is it ready, what are its metrics."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
from starlette.requests import Request

from aerofn.errors import Busy
from aerofn.web.answer import Answer, json_answer
from aerofn.web.operation import Content, operation


class Health(msgspec.Struct):
    """`ok`."""

    status: str


class Ready(msgspec.Struct):
    """`ready`, and what the node cannot promise nevertheless."""

    status: str
    warnings: list[str]


class Readiness(NamedTuple):
    """Whether a node can take work: it cannot for `reasons`; it can, but promises less than usual, for `warnings`."""

    reasons: list[str]
    warnings: list[str] = []  # noqa: RUF012  nobody writes to it


class Probes:
    """Health, readiness and metrics. They need no token: let only the platform reach them."""

    def __init__(
        self,
        ready: Callable[[], Awaitable[Readiness]],
        metrics: Callable[[], Awaitable[tuple[bytes, str]]],
    ) -> None:
        self._ready = ready
        self._metrics = metrics

    @operation("Whether the process answers", answers={200: Health}, who="anybody")
    async def health(self, request: Request) -> Answer:
        """200 for as long as the event loop turns."""
        return json_answer(Health("ok"))

    @operation("Whether the node can take work", answers={200: Ready}, errors=[Busy], who="anybody")
    async def readiness(self, request: Request) -> Answer:
        """200 when the node can take work, with what it cannot promise.

        Raises:
            Busy: it cannot, code `not_ready`; says why.
        """
        reasons, warnings = await self._ready()
        if reasons:
            raise _not_ready(reasons)
        return json_answer(Ready("ready", warnings))

    @operation(
        "Prometheus' metrics", answers={200: Content({"text/plain": {"type": "string"}})}, who="anybody"
    )
    async def metrics(self, request: Request) -> Answer:
        """Prometheus' text."""
        body, content_type = await self._metrics()
        return Answer(200, body, [(b"content-type", content_type.encode())])


def _not_ready(reasons: list[str]) -> Busy:
    error = Busy("this node cannot take work now", hint="try again shortly")
    error.code, error.detail = "not_ready", "; ".join(reasons)
    return error
