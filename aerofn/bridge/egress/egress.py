"""Sends functions' HTTP requests: each hop to a granted host and a permitted address, all within limits."""

import asyncio
import base64
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from aerofn.bridge.egress import body
from aerofn.bridge.egress.addresses import Addresses, AddressRefused
from aerofn.bridge.egress.grants import Grants
from aerofn.bridge.egress.outlet import Outlet, Outlets
from aerofn.bridge.egress.request import Request, Sent, url_of
from aerofn.errors import FetchError
from aerofn.tracing import HEADERS, Trace

T = TypeVar("T")
# What is made of the last response: it, the request it answers, and whether that followed a redirect.
Take = Callable[[aiohttp.ClientResponse, Request, bool], Awaitable[T]]
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Only for the origin they were meant for.
_CREDENTIALS = ("authorization", "cookie")

# Those that telemetry has names for.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
# The first that fits.
_REASONS: list[tuple[type[Exception], str, str]] = [
    (AddressRefused, "egress_denied", "its address is not one that functions may reach"),
    (aiohttp.InvalidURL, "invalid_request", "its host is not written as names and addresses are"),
    (aiohttp.ClientSSLError, "tls_failed", "the server's certificate or its TLS is not valid"),
    (socket.gaierror, "connect_failed", "the name cannot be resolved"),
    (aiohttp.ClientConnectorError, "connect_failed", "no connection"),
    (aiohttp.ServerDisconnectedError, "bad_response", "the connection ended before the answer"),
]


class Caps(msgspec.Struct, frozen=True, kw_only=True):
    """What requests may take: bytes of a body in either direction, seconds over all, connections."""

    bytes: int = 6 << 20
    seconds: float = 30.0
    per_function: int = 32
    per_node: int = 128


class Answer(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a function receives; see `wit/aerofn.wit`."""

    status: int
    status_text: str
    headers: dict[str, str | list[str]]
    body: str
    url: str
    is_base64_encoded: bool = False
    redirected: bool = False


class Egress:
    """The way out of this node.

    Args:
        addresses: which may be connected to.
    """

    def __init__(self, addresses: Addresses, caps: Caps) -> None:
        self._caps = caps
        self._outlets = Outlets(addresses, caps.per_function, caps.per_node)

    @property
    def most_bytes(self) -> int:
        """Of a body, in either direction."""
        return self._caps.bytes

    async def fetch(
        self,
        function: int,
        grants: Grants,
        sent: Sent,
        together: body.Budget | None = None,
        trace: Trace | None = None,
    ) -> Answer:
        """Send a request of `function`, follow redirects, read the answer.

        Args:
            together: what this answer and others may have; by default it is alone.
            trace: of whom the request is a part; the receiver is told.

        Raises:
            FetchError: it was refused, or failed; the code says which.
        """
        together = together or body.Budget(self._caps.bytes)
        return await self._send(function, grants, sent, partial(self._answer, together), trace)

    async def status(self, function: int, grants: Grants, sent: Sent, trace: Trace | None = None) -> int:
        """The same, of the answer the status only; raises as `fetch`."""
        return await self._send(function, grants, sent, _status, trace)

    def checked(self, grants: Grants, sent: Sent) -> Request:
        """The request that `sent` is, if the function may send it.

        Raises:
            FetchError: `invalid_request`, `request_too_large` or `egress_denied`.
        """
        request = Request.of(sent, self._caps.bytes)
        _check(grants, request.url)
        return request

    async def close(self) -> None:
        """Close all connections."""
        await self._outlets.close()

    async def _send(self, function: int, grants: Grants, sent: Sent, take: Take[T], trace: Trace | None) -> T:
        request = self.checked(grants, sent)
        if trace is None:
            return await self._ask(function, grants, sent, request, take)
        span = _begun(trace, grants, request)
        status, failed = 0, "cancelled"

        async def noting(response: aiohttp.ClientResponse, last: Request, redirected: bool) -> T:
            nonlocal status
            status = response.status
            return await take(response, last, redirected)

        try:
            taken = await self._ask(function, grants, sent, request, noting)
            failed = str(status) if status >= 400 else ""
            return taken
        except FetchError as error:
            failed = error.code
            raise
        finally:
            span.end(failed or None, **({"http__response__status_code": status} if status else {}))

    async def _ask(self, function: int, grants: Grants, sent: Sent, request: Request, take: Take[T]) -> T:
        seconds = self._caps.seconds
        if sent.timeout_ms is not None:
            seconds = min(seconds, max(0.0, sent.timeout_ms / 1000))
        try:
            async with asyncio.timeout(seconds), self._outlets.place(function) as outlet:
                return await self._follow(outlet, grants, request, take)
        except TimeoutError:
            raise FetchError(f"no whole answer within {seconds:g} s", code="fetch_timeout") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _told(error, request.url) from error

    async def _follow(self, outlet: Outlet, grants: Grants, request: Request, take: Take[T]) -> T:
        for hop in range(_MOST_REDIRECTS + 1):
            async with outlet.answer(request) as response:
                onward = _onward(request, response)
                if onward is None:
                    return await take(response, request, hop > 0)
                _check(grants, onward.url)
                request = onward
        raise FetchError(f"more than {_MOST_REDIRECTS} redirects", code="too_many_redirects")

    async def _answer(
        self, together: body.Budget, response: aiohttp.ClientResponse, request: Request, redirected: bool
    ) -> Answer:
        data = await body.read(response, self._caps.bytes, together)
        left_out = {"content-encoding", "content-length"} if body.is_decoded(response) else set()
        text, encoded = _text_or_base64(data)
        return Answer(
            status=response.status,
            status_text=_text(response.reason or ""),
            headers={name: value for name, value in _headers(response).items() if name not in left_out},
            body=text,
            is_base64_encoded=encoded,
            url=str(request.url),
            redirected=redirected,
        )


def _begun(trace: Trace, grants: Grants, request: Request) -> Trace:
    """The request's own span, whose name the receiver is told. Nothing that the function chose freely is in it."""
    grant = grants.covering(request.url)
    method = request.method if request.method in _METHODS else "_OTHER"
    span = trace.request(method, grant.text if grant else "", request.url.port or 0)
    _without(request.headers, *HEADERS)
    request.headers.update(span.headers)
    return span


async def _status(response: aiohttp.ClientResponse, _request: Request, _redirected: bool) -> int:
    return response.status


def _check(grants: Grants, url: URL) -> None:
    if not grants.cover(url):
        where = f"{url.raw_host}:{url.port}"
        raise FetchError(
            f"this function was not granted {where}",
            hint=f"register it with hosts => '{{{where}}}'",
            code="egress_denied",
        )


def _onward(request: Request, response: aiohttp.ClientResponse) -> Request | None:
    """The request that a redirect asks for; None if the response is the answer.

    Raises:
        FetchError: it is not to be followed, or not well-formed.
    """
    target = response.headers.get("location")
    if response.status not in _REDIRECTS or target is None or request.redirect == "manual":
        return None
    if request.redirect == "error":
        raise FetchError("the answer is a redirect", code="redirect_refused")
    try:
        url = url_of(str(request.url.join(URL(target))))
    except ValueError:
        raise FetchError("the redirect's location is no URL", code="bad_response") from None
    if request.url.scheme == "https" and url.scheme == "http":
        raise FetchError("the redirect goes from https to http", code="redirect_refused")
    headers, keeps = CIMultiDict(request.headers), response.status in {307, 308}
    as_get = (
        request.method == "POST" if response.status in {301, 302} else request.method not in {"GET", "HEAD"}
    )
    method, data = request.method, request.body
    if not keeps and as_get:
        method, data = "GET", None
        _without(headers, "content-type", "content-language", "content-location")
    if url.origin() != request.url.origin():
        _without(headers, *_CREDENTIALS)
    return Request(url, method, headers, data, request.redirect)


def _without(headers: CIMultiDict[str], *names: str) -> None:
    for name in names:
        headers.popall(name, None)


def _headers(response: aiohttp.ClientResponse) -> dict[str, str | list[str]]:
    """By name in lower case, repeated ones joined; cookies cannot be, and are a list."""
    headers: dict[str, str | list[str]] = {}
    for name in dict.fromkeys(name.lower() for name in response.headers):
        values = [_text(value) for value in response.headers.getall(name)]
        headers[name] = values if name == "set-cookie" else ", ".join(values)
    return headers


def _text(value: str) -> str:
    """A header's text; aiohttp has bytes that are no UTF-8 as halves of surrogate pairs."""
    return value.encode(errors="surrogateescape").decode(errors="replace")


def _text_or_base64(data: bytes) -> tuple[str, bool]:
    try:
        return data.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), True


def _told(error: Exception, url: URL) -> FetchError:
    """aiohttp's error for the function: where, not what was in the URL."""
    code, why = _reason(error)
    return FetchError(f"{url.scheme}://{url.raw_host}:{url.port}: {why}", code=code)


def _reason(error: Exception) -> tuple[str, str]:
    # What lies below aiohttp's error, if a connection could not be made.
    cause = getattr(error, "_os_error", error)
    for kind, code, why in _REASONS:
        if isinstance(error, kind) or isinstance(cause, kind):
            return code, why
    return "bad_response", "the answer is not valid HTTP, or breaks off"
