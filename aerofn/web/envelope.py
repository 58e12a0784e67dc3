"""What surrounds every HTTP request: its invocation id, CORS, and errors as JSON.

Plain ASGI, and the only layer between the server and the routes: an invocation passes here.
"""

from collections.abc import Awaitable
from http import HTTPStatus

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aerofn.errors import AeroFnError
from aerofn.model import random_id
from aerofn.web import cors
from aerofn.web.answer import WHOLE, Answer, Headers, error_answer, json_answer
from aerofn.web.client import ClientGone
from aerofn.web.exchange import Exchange, exchange_of

log = structlog.get_logger(__name__)
INVOCATION_ID = b"x-aerofn-invocation-id"
EVERYWHERE = (cors.ALLOW_ORIGIN, cors.EXPOSE_HEADERS, (b"x-content-type-options", b"nosniff"))
_OURS = frozenset({INVOCATION_ID, *(name for name, _ in EVERYWHERE)})
# Of nearly every answer: made once.
_LINES = b"".join(b"%b: %b\r\n" % header for header in EVERYWHERE) + INVOCATION_ID + b": %b\r\n"
_SCOPE_KEY = "aerofn.invocation_id"


def invocation_id(scope: Scope) -> str:
    """The id of this request: of the invocation's record, if it asks for one."""
    return str(scope[_SCOPE_KEY])


class Envelope:
    """Runs `app` inside of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever `app` raises is answered too."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[_SCOPE_KEY] = invocation = random_id()
        sealing = _Sealing(invocation, exchange_of(scope), send)
        try:
            if scope["method"] == "OPTIONS":
                await _preflight(scope).send(sealing)
            else:
                await self._app(scope, receive, sealing)
        except ClientGone:
            return
        except Exception as error:
            answer = _answer_to(error, scope)
            if sealing.started:
                raise  # too late for an answer: the server closes the connection
            await answer.send(sealing)


class _Sealing:
    """Puts onto an answer the headers that every answer has, and sends it on: a whole one to the exchange."""

    __slots__ = ("_exchange", "_id", "_send", "started")

    def __init__(self, invocation: str, exchange: Exchange | None, send: Send) -> None:
        self._exchange = exchange
        self._send = send
        self._id = invocation.encode()
        self.started = False

    def __call__(self, message: Message) -> Awaitable[None]:
        """Send one message on; a plain function, for a coroutine of its own would be a layer more of each answer."""
        if message["type"] == "http.response.body":
            return self._send(message)
        self.started = True
        status, given = message["status"], message["headers"]
        # A function may answer CORS itself, as a Supabase function does; twice would break the browser. And a
        # kept answer has the id of the invocation that it was.
        own = dict(given)
        if message["type"] == WHOLE and self._exchange is not None and _OURS.isdisjoint(own):
            return self._exchange.answer(status, given, message["body"], _LINES % self._id)
        ours = (*EVERYWHERE, (INVOCATION_ID, self._id))
        headers = [*given, *(header for header in ours if header[0] not in own)]
        if message["type"] != WHOLE:
            return self._send({**message, "headers": headers})
        if self._exchange is not None:
            return self._exchange.answer(status, headers, message["body"])
        return self._in_two(status, headers, message["body"])

    async def _in_two(self, status: int, headers: Headers, body: bytes) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _preflight(scope: Scope) -> Answer:
    requested = [v for name, v in scope["headers"] if name == b"access-control-request-headers"]
    return cors.preflight(b", ".join(requested))


def _answer_to(error: Exception, scope: Scope) -> Answer:
    if isinstance(error, HTTPException):
        return _routing_answer(error, scope)
    if isinstance(error, AeroFnError):
        return error_answer(error)
    log.error(
        "request failed",
        invocation_id=invocation_id(scope),
        method=scope["method"],
        path=scope["path"],
        exc_info=error,
    )
    return error_answer(
        AeroFnError("the service failed on this request", hint=f"its log has it under {invocation_id(scope)}")
    )


def _routing_answer(error: HTTPException, scope: Scope) -> Answer:
    """What the router refuses: no such path, or not with this method."""
    allow = (error.headers or {}).get("Allow", "")
    body = {
        "code": "method_not_allowed" if error.status_code == 405 else "not_found",
        "message": f"{HTTPStatus(error.status_code).phrase}: {scope['method']} {scope['path']}",
        "detail": None,
        "hint": f"this path answers to {allow}" if allow else "docs/http-api.md lists the paths",
    }
    answer = json_answer(body, error.status_code)
    if allow:
        answer.headers.append((b"allow", allow.encode()))
    return answer
