"""Invocations that HTTP asks for: whether the caller may, whether there is room, and the event they see."""

import msgspec

from aerofn.db.results import Taken
from aerofn.dispatch.admission import Admission
from aerofn.dispatch.contract import Registry
from aerofn.dispatch.invoker import Call, Completed, Invoker
from aerofn.dispatch.rates import Rates
from aerofn.dispatch.told import body_found
from aerofn.errors import NotAllowed, RateLimited
from aerofn.model import Caller, Version
from aerofn.tracing import parent_of

_json = msgspec.json.Encoder()
_NO_LIMIT = "none"


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the function sees it. Header names are lower-case; `path` is what follows the name; `search` is the
    query as it was sent, with its `?`.

    `body` is JSON: the parsed body for a JSON content type, else a string, in base64 if `isBase64Encoded`.
    """

    method: str
    path: str
    query: dict[str, str]
    search: str
    headers: dict[str, str]
    is_base64: bool = msgspec.field(name="isBase64Encoded", default=False)
    body: msgspec.Raw


class _Sender(msgspec.Struct, frozen=True):
    role: str
    sub: str | None


class _HttpEvent(msgspec.Struct, frozen=True):
    # In this order: `body_found` counts on the request and its body being last.
    id: str
    trigger: str
    attempt: int
    caller: _Sender
    request: HttpRequest


class Requests:
    """Answers HTTP invocations.

    Args:
        rate_limit: how often each caller may invoke a function that says nothing itself; None: as often as it will.
    """

    def __init__(
        self, registry: Registry, invoker: Invoker, admission: Admission, rate_limit: str | None = None
    ) -> None:
        self._registry = registry
        self._invoker = invoker
        self._admission = admission
        self._rate_limit = rate_limit
        self._rates = Rates()

    async def admit(self, function: str, caller: Caller, address: str) -> Version:
        """The version that this caller may invoke now. What is refused here costs next to nothing.

        Args:
            address: the client's, which stands for a caller without a subject.

        Raises:
            NotFound, DeployError: there is no such function, or none that works.
            NotAllowed: the caller's role may not invoke it.
            RateLimited: it has been invoked by this caller too often.
        """
        version = await self._registry.active(function)
        _check_role(version, caller)
        rate = version.rate_limit or self._rate_limit
        if rate is not None and rate != _NO_LIMIT:
            self._check_rate(rate, version, caller, address)
        return version

    async def run(
        self,
        version: Version,
        caller: Caller,
        request: HttpRequest,
        invocation: str,
        taken: Taken | None = None,
    ) -> Completed:
        """Invoke a version as `caller`. `invocation` is its id; `taken` says that its result is kept.

        Raises:
            Busy: no room on this node.
        """
        parent = parent_of(request.headers)
        event = _HttpEvent(invocation, "http", 1, _Sender(caller.role, caller.subject), request)
        call = Call(
            version=version,
            caller=caller,
            payload=body_found(_json.encode(event)),
            trigger="http",
            id=invocation,
            taken=taken,
            parents=() if parent is None else (parent,),
        )
        if not self._admission.take(version.function):
            await self._admission.enter(version.function)
        try:
            return await self._invoker.invoke(call)
        finally:
            self._admission.leave(version.function)

    def in_transaction(self, invocation: str) -> bool:
        """Whether the invocation with this id holds a connection to the database now."""
        return self._invoker.in_transaction(invocation)

    def _check_rate(self, rate: str, version: Version, caller: Caller, address: str) -> None:
        who = address if caller.subject is None else f"{caller.role} {caller.subject}"
        wait = self._rates.take(rate, f"{version.function_id} {who}")
        if wait:
            raise RateLimited(
                f"function {version.function!r} may be invoked {rate} by each caller",
                retry_after=wait,
                hint="try again after as many seconds as Retry-After says",
            )


def _check_role(version: Version, caller: Caller) -> None:
    if version.roles is not None and caller.role not in version.roles:
        raise NotAllowed(
            f"role {caller.role!r} may not invoke function {version.function!r}",
            hint="call it with a token of one of its roles: " + ", ".join(sorted(version.roles)),
        )
