"""`/functions/v1/{name}`: invoke a function and answer with what it returned."""

import re

from starlette.types import Receive, Scope, Send

from aerofn.dispatch.requests import Requests
from aerofn.errors import NotFound
from aerofn.model import Outcome
from aerofn.settings import Settings
from aerofn.web.auth import Tokens
from aerofn.web.client import Presence, headers_of, read_body
from aerofn.web.envelope import invocation_id
from aerofn.web.outcome import error_of
from aerofn.web.request import http_request
from aerofn.web.response import answer_to

METHODS = ("POST", "GET", "PUT", "PATCH", "DELETE")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


class Invoke:
    """The hot path, hence plain ASGI: one request, one invocation."""

    def __init__(self, requests: Requests, tokens: Tokens, settings: Settings) -> None:
        self._requests = requests
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
        headers = headers_of(scope)
        caller = await self._tokens.caller(headers)
        request = http_request(scope, headers, await read_body(receive, headers, self._most))
        with Presence(receive):
            completed = await self._requests.handle(name, caller, request, invocation_id(scope))
        if completed.run.outcome is not Outcome.SUCCESS:
            raise error_of(completed, with_stack=caller.role == self._admin_role)
        await answer_to(completed.run.output or b"").send(send)


def check_name(name: str) -> str:
    """`name`, if a function can have it; what cannot be there need not be looked for.

    Raises:
        NotFound: no function can have it.
    """
    if not _NAME.fullmatch(name):
        raise NotFound(f"there is no function {name!r}", code="function_not_found")
    return name
