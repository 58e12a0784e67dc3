"""Invocations that HTTP asks for: whether the caller may, whether there is room, and the event they see."""

import uuid

import msgspec

from aerofn.dispatch.admission import Admission
from aerofn.dispatch.contract import Registry
from aerofn.dispatch.invoker import Call, Completed, Invoker
from aerofn.errors import NotAllowed
from aerofn.model import Caller, Version

_json = msgspec.json.Encoder()


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the function sees it. Header names are lower-case; `path` is what follows the name.

    `body` is JSON: the parsed body for a JSON content type, else a string, in base64 if `isBase64Encoded`.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: msgspec.Raw
    is_base64: bool = msgspec.field(name="isBase64Encoded", default=False)


class _Sender(msgspec.Struct, frozen=True):
    role: str
    sub: str | None


class _HttpEvent(msgspec.Struct, frozen=True):
    id: str
    trigger: str
    request: HttpRequest
    attempt: int
    caller: _Sender


class Requests:
    """Answers HTTP invocations."""

    def __init__(self, registry: Registry, invoker: Invoker, admission: Admission) -> None:
        self._registry = registry
        self._invoker = invoker
        self._admission = admission

    async def handle(
        self, function: str, caller: Caller, request: HttpRequest, invocation: str | None = None
    ) -> Completed:
        """Invoke `function` as `caller`; `invocation` is its id, made here if there is none.

        Raises:
            NotFound, DeployError: there is no such function, or none that works.
            NotAllowed: the caller's role may not invoke it.
            Busy: no room on this node.
        """
        version = await self._registry.active(function)
        _check_role(version, caller)
        invocation = invocation or str(uuid.uuid4())
        event = _HttpEvent(invocation, "http", request, 1, _Sender(caller.role, caller.subject))
        call = Call(
            version=version, caller=caller, payload=_json.encode(event), trigger="http", id=invocation
        )
        async with self._admission.enter():
            return await self._invoker.invoke(call)


def _check_role(version: Version, caller: Caller) -> None:
    if version.roles is not None and caller.role not in version.roles:
        raise NotAllowed(
            f"role {caller.role!r} may not invoke function {version.function!r}",
            hint="call it with a token of one of its roles: " + ", ".join(sorted(version.roles)),
        )
