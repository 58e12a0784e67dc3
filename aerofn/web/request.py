"""From an HTTP request to what a function sees of it."""

import base64
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Scope

from aerofn.dispatch.requests import HttpRequest
from aerofn.errors import InvalidRequest
from aerofn.web import json_text
from aerofn.web.response import OUR_COOKIE

_json = msgspec.json.Encoder()
_NULL = msgspec.Raw(b"null")
# What proves who the caller is stays with the service: a function acts as its caller, for this invocation only.
_WITHHELD = ("authorization", "apikey")
_TEXT_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii"})


def http_request(scope: Scope, headers: dict[str, str], body: bytes) -> HttpRequest:
    """The request as the function sees it; takes the caller's token out of `headers`.

    Raises:
        InvalidRequest: the body is said to be JSON and is not.
    """
    for name in _WITHHELD:
        headers.pop(name, None)
    if "cookie" in headers and "aerofn" in headers["cookie"].lower():
        _withhold_ours(headers)
    content, is_base64 = _body(body, headers.get("content-type", ""))
    return HttpRequest(
        method=scope["method"],
        path="/" + scope["path_params"].get("path", ""),
        query=_query(scope["query_string"]) if scope["query_string"] else {},
        search="?" + scope["query_string"].decode("latin-1") if scope["query_string"] else "",
        headers=headers,
        body=content,
        is_base64=is_base64,
    )


def _withhold_ours(headers: dict[str, str]) -> None:
    """Browsers send the dashboard's cookies below its own path only; should one do otherwise, they stay here."""
    others = [one.strip() for one in headers.pop("cookie").split(";") if not OUR_COOKIE.match(one)]
    if others:
        headers["cookie"] = "; ".join(others)


def _query(raw: bytes) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
        query[name] = f"{query[name]},{value}" if name in query else value
    return query


def _body(body: bytes, content_type: str) -> tuple[msgspec.Raw, bool]:
    """The body as JSON text, and whether it is base64."""
    if not body:
        return _NULL, False
    if content_type == "application/json":
        return _checked(body), False
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return _checked(body), False
    if kind.startswith("text/") or kind == "application/x-www-form-urlencoded":
        text = _text(body, parameters)
        if text is not None:
            return msgspec.Raw(_json.encode(text)), False
    return msgspec.Raw(b'"' + base64.b64encode(body) + b'"'), True


def _checked(body: bytes) -> msgspec.Raw:
    problem = json_text.problem(body)
    if problem is not None:
        raise InvalidRequest(
            "the body is not valid JSON",
            detail=problem,
            hint="send JSON in UTF-8, or another content-type",
            code="invalid_json",
        )
    return msgspec.Raw(body)


def _text(body: bytes, parameters: str) -> str | None:
    """The body as text, or None where only its bytes can be passed on without loss."""
    charset = ""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    if charset == "iso-8859-1":
        return body.decode("latin-1")
    try:
        return body.decode() if charset in _TEXT_CHARSETS else None
    except UnicodeDecodeError:
        return None
