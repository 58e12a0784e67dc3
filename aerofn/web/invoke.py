"""`/functions/v1/{name}`: invoke a function and answer with what it returned."""

import re
from functools import lru_cache, partial
from typing import ClassVar

from starlette.types import Receive, Scope, Send

from aerofn.dispatch.invoker import Completed
from aerofn.dispatch.requests import Requests
from aerofn.errors import (
    Cancelled,
    DeployError,
    InProgress,
    InvalidRequest,
    InvocationTimeout,
    KeyReused,
    NotFound,
)
from aerofn.model import Caller, Outcome
from aerofn.settings import Settings
from aerofn.web.answer import Answer
from aerofn.web.auth import Tokens
from aerofn.web.client import Presence, address_of, body_at_hand, headers_of, read_body
from aerofn.web.envelope import invocation_id
from aerofn.web.exchange import exchange_of
from aerofn.web.kept import KeptAnswers, Later
from aerofn.web.operation import ANYTHING, FUNCTION_NAME, Content, Operation
from aerofn.web.outcome import error_of
from aerofn.web.request import http_request
from aerofn.web.response import answer_to
from aerofn.web.wishes import wishes_of

METHODS = ("POST", "GET", "PUT", "PATCH", "DELETE")
_NAME = re.compile(FUNCTION_NAME)
# And any other: these are what a function reads as JSON, as text, and as bytes.
_BODY = Content({
    "application/json": {},
    "text/plain": {"type": "string"},
    "application/octet-stream": {"type": "string", "format": "binary"},
})  # fmt: skip
_BODYLESS = frozenset({"GET", "DELETE"})


def _operation(method: str) -> Operation:
    return Operation(
        "Invoke a function",
        answers={200: ANYTHING, 202: Later},
        errors=[NotFound, InProgress, KeyReused, DeployError, InvalidRequest, InvocationTimeout, Cancelled],
        body=None if method in _BODYLESS else _BODY,
        headers={
            "idempotency-key": {"type": "string", "pattern": "^[!-~]{1,255}$"},
            "prefer": {"type": "string", "description": "respond-async: answer 202, and the rest later"},
        },
        who="caller",
        description="The function may answer with any status from 200 to 599, any headers and any body.",
    )


class Invoke:
    """The hot path, hence plain ASGI: one request, one invocation."""

    operations: ClassVar[dict[str, Operation]] = {method: _operation(method) for method in METHODS}

    def __init__(self, requests: Requests, kept: KeptAnswers, tokens: Tokens, settings: Settings) -> None:
        self._requests = requests
        self._kept = kept
        self._tokens = tokens
        self._admin_role = settings.admin_role
        self._most = settings.max_body_mb << 20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            AeroFnError: why there is no answer of the function's.
            ClientGone: the client left; the invocation is cancelled.
        """
        name = check_name(scope["path_params"]["name"])
        headers, address = headers_of(scope), address_of(scope)
        caller = await self._tokens.caller(headers, address)
        version = await self._requests.admit(name, caller, address)
        exchange = exchange_of(scope)
        body = body_at_hand(exchange, self._most)
        if body is None:
            body = await read_body(receive, headers, self._most)
        request = http_request(scope, headers, body)
        if "idempotency-key" in headers or "prefer" in headers:
            wishes = wishes_of(headers)
            if wishes.key is not None or wishes.later:
                found = await self._kept.invoke(wishes, version, caller, request, scope)
                await (found if isinstance(found, Answer) else self._answer(found, caller)).send(send)
                return
        invocation = invocation_id(scope)
        with Presence(exchange, partial(self._requests.in_transaction, invocation)):
            completed = await self._requests.run(version, caller, request, invocation)
        await self._answer(completed, caller).send(send)

    def _answer(self, completed: Completed, caller: Caller) -> Answer:
        if completed.run.outcome is not Outcome.SUCCESS:
            raise error_of(completed, with_stack=caller.role == self._admin_role)
        return answer_to(completed.run.output or b"")


@lru_cache(1024)  # of those that can be; others raise
def check_name(name: str) -> str:
    """`name`, if a function can have it; what cannot be there need not be looked for.

    Raises:
        NotFound: no function can have it.
    """
    if not _NAME.fullmatch(name):
        raise NotFound(f"there is no function {name!r}", code="function_not_found")
    return name
