"""An endpoint: the functions that answer one path, by method. For all paths but those of invocations."""

from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from aerofn.web.answer import Answer
from aerofn.web.operation import operation_of

Answering = Callable[[Request], Awaitable[Answer]]


class Endpoint:
    """Answers a request with the function of its method; HEAD as GET. Each says what it answers: @operation."""

    def __init__(self, **by_method: Answering) -> None:
        self._by_method = by_method
        self.operations = {method: operation_of(answering) for method, answering in by_method.items()}
        self._allow = ", ".join([*by_method, *(["HEAD"] if "GET" in by_method else []), "OPTIONS"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            HTTPException: 405, not with this method.
        """
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        answering = self._by_method.get(method)
        if answering is None:
            raise HTTPException(405, headers={"Allow": self._allow})
        answer = await answering(Request(scope, receive))
        await answer.send(send)
