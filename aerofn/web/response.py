"""From what a function returned to an HTTP answer.

An object with an integer `statusCode` is a full response; any other JSON is the body of a 200, untouched.
"""

import binascii
import re
from typing import Any, NoReturn

import msgspec

from aerofn.errors import FunctionError
from aerofn.web import json_text
from aerofn.web.answer import JSON, Answer, Headers

_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_BINARY = (b"content-type", b"application/octet-stream")
_INTEGER = re.compile(rb"-?\d{1,9}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# Visible Latin-1, spaces and tabs: no CR, LF, NUL or other control character.
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# They belong to one connection, which is the server's.
_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
    "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
# Told by the service itself, whatever the function says.
# They speak for the whole origin, where the dashboard lives too.
_OF_THE_ORIGIN = frozenset({"clear-site-data", "service-worker-allowed", "strict-transport-security"})
# The dashboard's own, which a function could otherwise replace.
# A cookie without a name is sent as its value: "=aerofn…" would look like one of ours.
OUR_COOKIE = re.compile(r"[\s=]*(__host-|__secure-)?aerofn", re.IGNORECASE)
# A page that a function answers runs its scripts in an origin of its own: it cannot reach the dashboard's.
_NO_ORIGIN = (
    b"content-security-policy",
    b"sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts",
)
_OURS = frozenset({"content-length", "x-aerofn-invocation-id"})
_BODYLESS = frozenset({204, 205, 304})


class _Full(msgspec.Struct, rename={"status": "statusCode", "is_base64": "isBase64Encoded"}):
    status: msgspec.Raw = msgspec.Raw(b"")
    headers: msgspec.Raw = msgspec.Raw(b"null")
    body: msgspec.Raw = msgspec.Raw(b"null")
    is_base64: msgspec.Raw = msgspec.Raw(b"false")


_full = msgspec.json.Decoder(_Full)


def answer_to(output: bytes) -> Answer:
    """The answer for a function's JSON text.

    Raises:
        FunctionError: code `invalid_output`, it is no JSON; `invalid_response`, it is no valid full response.
    """
    output = _checked(output)
    # Seen without making objects of what may be megabytes.
    if output.find(b'"statusCode"') >= 0 and output.lstrip()[:1] == b"{":
        full = _full.decode(output)
        if _INTEGER.fullmatch(bytes(full.status)):
            return _full_answer(full)
    return Answer(200, output, [JSON])


def _checked(output: bytes) -> bytes:
    problem = json_text.problem(output)
    if problem is not None and b"\\u" in output:
        output = json_text.mended(output)
        problem = json_text.problem(output)
    if problem is not None:
        raise FunctionError("the function did not return JSON", detail=problem, code="invalid_output")
    return output


def _full_answer(full: _Full) -> Answer:
    status = int(bytes(full.status))
    if not 200 <= status <= 599:
        _refuse(f"statusCode is {status}", "use 200 to 599")
    headers = [*_headers(full.headers), _NO_ORIGIN]
    body, content_type = _body(full)
    if status in _BODYLESS:
        return Answer(status, b"", headers)
    if content_type is not None and not any(name == b"content-type" for name, _ in headers):
        headers.append(content_type)
    return Answer(status, body, headers)


def _headers(raw: msgspec.Raw) -> Headers:
    values = msgspec.json.decode(raw)
    if values is None:
        return []
    if not isinstance(values, dict):
        _refuse("headers is no object", 'write {"name": "value"}')
    headers: Headers = []
    for name, value in values.items():
        lower = name.lower()
        if not _TOKEN.fullmatch(name):
            _refuse(f"{name!r} cannot name a header", "use letters, digits and '-'")
        if lower in _HOP_BY_HOP:
            _refuse(f"the header {lower} is the connection's, not the function's", "leave it out")
        if lower in _OF_THE_ORIGIN:
            _refuse(f"the header {lower} is the whole service's, not the function's", "leave it out")
        if lower not in _OURS:
            many = value if isinstance(value, list) else [value]
            headers += [(lower.encode(), _value(lower, one)) for one in many]
    return headers


def _value(name: str, value: Any) -> bytes:
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, int | float):
        value = str(value)
    if not isinstance(value, str):
        _refuse(f"the value of header {name} is no string", "a list of strings repeats the header")
    if not _VALUE.fullmatch(value):
        _refuse(f"the value of header {name} has a line break, a control character or one outside Latin-1",
                "encode it, for example with encodeURIComponent")  # fmt: skip
    if name == "set-cookie" and OUR_COOKIE.match(value):
        _refuse("cookies whose names begin with aerofn are the service's", "give it another name")
    return value.strip(" \t").encode("latin-1")


def _body(full: _Full) -> tuple[bytes, tuple[bytes, bytes] | None]:
    """The body's bytes and the content type they have unless the function says otherwise."""
    raw = bytes(full.body)
    if raw == b"null":
        return b"", None
    is_base64 = bytes(full.is_base64)
    if is_base64 not in (b"true", b"false", b"null"):
        _refuse("isBase64Encoded is neither true nor false", "leave it out for text")
    if raw[:1] == b'"':
        text: str = msgspec.json.decode(raw)
        return (_decoded(text), _BINARY) if is_base64 == b"true" else (text.encode(), _TEXT)
    if is_base64 == b"true":
        _refuse("isBase64Encoded is true and body is no string", "encode the bytes as base64")
    return raw, JSON


def _decoded(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except (binascii.Error, ValueError):
        _refuse("isBase64Encoded is true and body is not base64", "use the standard alphabet with padding")


def _refuse(message: str, hint: str) -> NoReturn:
    raise FunctionError(
        f"the function's response is not valid: {message}", hint=hint, code="invalid_response"
    )
