"""Answers that are kept: of requests with an Idempotency-Key, and of those that are answered later."""

import re
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.types import Scope

from aerofn.db.results import Shown, Taken
from aerofn.dispatch.invoker import Completed
from aerofn.dispatch.kept import KeptRequests
from aerofn.dispatch.requests import HttpRequest
from aerofn.errors import InvocationTimeout, NotFound
from aerofn.model import Caller, Version
from aerofn.web.answer import Answer, json_answer
from aerofn.web.auth import Tokens
from aerofn.web.client import Presence, address_of, headers_of
from aerofn.web.envelope import INVOCATION_ID, invocation_id
from aerofn.web.exchange import exchange_of
from aerofn.web.operation import ANYTHING, operation
from aerofn.web.outcome import error_of_event
from aerofn.web.response import answer_to
from aerofn.web.wishes import Wishes

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_REPLAYED = (b"idempotency-replayed", b"true")
_APPLIED = (b"preference-applied", b"respond-async")
_AGAIN = (b"retry-after", b"1")


class Later(msgspec.Struct):
    """Where the answer to a request will be: at /results/v1/{id}."""

    id: str
    event_id: int
    status: Literal["pending", "running"]


class KeptAnswers:
    """Answers requests with wishes, and shows later what they came to."""

    def __init__(self, kept: KeptRequests, tokens: Tokens, admin_role: str) -> None:
        self._kept = kept
        self._tokens = tokens
        self._admin_role = admin_role

    async def invoke(
        self, wishes: Wishes, version: Version, caller: Caller, request: HttpRequest, scope: Scope
    ) -> Answer | Completed:
        """The answer, or an invocation that was run for it now.

        Raises:
            InProgress, KeyReused, Busy: see KeptRequests.
        """
        if wishes.later or wishes.key is None:
            taken = await self._kept.later(wishes.key, version, caller, request)
            return _replayed(taken) if taken.state == "done" else _accepted(taken)
        with Presence(exchange_of(scope)):
            found = await self._kept.once(wishes.key, version, caller, request, invocation_id(scope))
        return _replayed(found) if isinstance(found, Taken) else found

    @operation(
        "Read the answer to a request sent with Prefer: respond-async",
        answers={200: ANYTHING, 202: Later},
        errors=[NotFound, InvocationTimeout],
        who="caller",
    )
    async def show(self, request: Request) -> Answer:
        """The function's answer; 202 while it is not known, and the last error once it is given up.

        Raises:
            NotFound: there is none for this caller.
            InvocationError: it did not succeed.
        """
        scope = request.scope
        caller = await self._tokens.caller(headers_of(scope), address_of(scope))
        result = request.path_params["id"].lower()
        if not _UUID.fullmatch(result):
            raise NotFound(f"there is no result {result!r}", code="result_not_found")
        shown = await self._kept.show(result, caller)
        if shown.output is not None:
            return _with_id(answer_to(shown.output), shown.invocation)
        if shown.state in ("pending", "running"):
            return _waiting(result, shown)
        if shown.state == "dead" and shown.error is not None:
            raise error_of_event(shown.error, with_stack=caller.role == self._admin_role)
        raise NotFound(
            f"event {shown.event_id} was given up and has no result",
            hint="ask the operator why; send the request again",
            code="result_not_found",
        )


def _replayed(taken: Taken) -> Answer:
    answer = _with_id(answer_to(taken.output or b""), taken.invocation)
    answer.headers.append(_REPLAYED)
    return answer


def _with_id(answer: Answer, invocation: str | None) -> Answer:
    """Tell the id of the invocation that it was, not of this request."""
    if invocation is not None:
        answer.headers.append((INVOCATION_ID, invocation.encode()))
    return answer


def _accepted(taken: Taken) -> Answer:
    answer = json_answer(Later(taken.id, taken.event_id or 0, "pending"), 202)
    answer.headers += [(b"location", f"/results/v1/{taken.id}".encode()), _APPLIED, _AGAIN]
    return answer


def _waiting(result: str, shown: Shown) -> Answer:
    answer = json_answer(
        Later(result, shown.event_id, "running" if shown.state == "running" else "pending"), 202
    )
    answer.headers.append(_AGAIN)
    return answer
