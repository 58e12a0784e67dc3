"""A function's HTTP request as it crosses the border: checked, and what it may not decide left out."""

import base64
import binascii
import re
from typing import Literal

import msgspec
from multidict import CIMultiDict
from yarl import URL

from aerofn.errors import FetchError

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,8192}")
_WRITTEN_OUT = re.compile(r"[!-~]+")  # nothing that has to be quoted
_HOST = re.compile(r"[A-Za-z0-9._-]{1,254}|[0-9A-Fa-f:.]{2,45}")
_LONGEST_URL = 8000
_MOST_HEADERS = 100
_NO_METHODS = frozenset({"CONNECT", "TRACE", "TRACK"})
# Of the connection, or what AeroFn says itself; as in browsers, a function's own are ignored.
_OURS = frozenset({
    "accept-encoding", "connection", "content-length", "date", "expect", "host", "http2-settings", "keep-alive",
    "te", "trailer", "transfer-encoding", "upgrade", "via",
})  # fmt: skip


class Sent(msgspec.Struct, frozen=True, rename="camel"):
    """What a function sends to the host; see `wit/aerofn.wit`. `timeout_ms` beside the service's own limit."""

    url: str
    method: str = "GET"
    headers: dict[str, str | list[str]] = {}
    body: str | None = None
    is_base64_encoded: bool = False
    redirect: Literal["follow", "manual", "error"] = "follow"
    timeout_ms: float | None = None
    after_commit: bool = False


class Request(msgspec.Struct, frozen=True):
    """A request that can be sent, if the function was granted its host."""

    url: URL
    method: str
    headers: CIMultiDict[str]
    body: bytes | None
    redirect: str = "follow"

    @classmethod
    def of(cls, sent: Sent, most_bytes: int) -> "Request":
        """What was sent, checked.

        Raises:
            FetchError: `invalid_request`, or `request_too_large` for a body of more than `most_bytes`.
        """
        method = sent.method.upper()
        if not _TOKEN.fullmatch(method) or method in _NO_METHODS:
            raise FetchError(f"{sent.method!r} is no method that can be sent", code="invalid_request")
        body = _body(sent)
        if body is not None and len(body) > most_bytes:
            raise FetchError(f"the body is larger than {most_bytes} bytes", code="request_too_large")
        return cls(url_of(sent.url), method, _headers(sent), body, sent.redirect)


def url_of(text: str) -> URL:
    """An absolute http or https URL, its encoding as it was given.

    Raises:
        FetchError: it is none, or has a user name or password in it.
    """
    try:
        url = URL(text, encoded=_WRITTEN_OUT.fullmatch(text) is not None)
        whole = (
            url.scheme in {"http", "https"}
            and url.port is not None
            and _HOST.fullmatch(url.raw_host or "") is not None
        )
        named = url.raw_user is not None or url.raw_password is not None
    except (ValueError, UnicodeError):
        whole, named = False, False
    if not whole or len(text) > _LONGEST_URL:
        raise FetchError("the URL is no absolute http or https URL", code="invalid_request")
    if named or "@" in (url.raw_authority or ""):
        raise FetchError(
            "the URL has a user name or password in it",
            hint="send them in the authorization header",
            code="invalid_request",
        )
    return url.with_fragment(None) if url.fragment else url


def _headers(sent: Sent) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in sent.headers.items():
        for one in [value] if isinstance(value, str) else value:
            if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(one):
                raise FetchError(f"header {name[:100]!r} is not valid", code="invalid_request")
            if name.lower() not in _OURS and not name.lower().startswith(("proxy-", "sec-")):
                headers.add(name, one)
    if len(headers) > _MOST_HEADERS:
        raise FetchError(f"more than {_MOST_HEADERS} headers", code="invalid_request")
    return headers


def _body(sent: Sent) -> bytes | None:
    if sent.body is None:
        return None
    if not sent.is_base64_encoded:
        return sent.body.encode()
    try:
        return base64.b64decode(sent.body, validate=True)
    except (binascii.Error, ValueError):
        raise FetchError("the body is said to be base64 and is not", code="invalid_request") from None
