"""Outgoing HTTP, within the function's egress policy: `http.get(url)`, `http.post(url, body)`."""

import base64
import json as _standard
from collections.abc import Generator, Mapping
from typing import Any

from aerofn import _host, _json


class HttpError(Exception):
    """A request that was refused or failed; `code` says why."""

    def __init__(self, message: str, code: str | None) -> None:
        super().__init__(message)
        self.code = code


class Response:
    """An answer, whatever its status. `headers` have lower-case names. May be awaited."""

    def __init__(self, url: str, answer: dict[str, Any]) -> None:
        self.url: str = answer.get("url") or url
        self.status: int = answer["status"]
        self.headers: dict[str, str] = {
            k.lower(): _joined(v) for k, v in (answer.get("headers") or {}).items()
        }
        body = answer.get("body") or ""
        self.content: bytes = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()

    @property
    def text(self) -> str:
        """The body as text; what is no UTF-8 in it is replaced."""
        return self.content.decode("utf-8", "replace")

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body's JSON document."""
        return _json.parse(self.text)

    def __await__(self) -> Generator[None, None, "Response"]:
        yield from ()  # a host call suspends the whole sandbox: there is nothing to wait for
        return self

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.url}>"


def request(
    method: str,
    url: str,
    body: object = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Response:
    """Send one request. A `body` that is text or bytes goes as it is, anything else as JSON; `timeout` in seconds.

    Raises:
        HttpError: it was refused by the function's egress policy, or failed.
    """
    message = _message(method, url, body, headers)
    if timeout is not None:
        message["timeoutMs"] = round(timeout * 1000)
    return Response(url, _asked(message))


def after_commit(
    method: str, url: str, body: object = None, *, headers: Mapping[str, str] | None = None
) -> str:
    """Send a request once the invocation's effects have committed, again until it succeeds; never if they are undone.

    Returns:
        The idempotency key by which the receiver can tell a repetition.

    Raises:
        HttpError: it was refused by the function's egress policy.
    """
    key: str = _asked({**_message(method, url, body, headers), "afterCommit": True})["idempotencyKey"]
    return key


def _message(method: str, url: str, body: object, headers: Mapping[str, str] | None) -> dict[str, Any]:
    sent = {k.lower(): v for k, v in (headers or {}).items()}
    message: dict[str, Any] = {"url": str(url), "method": method.upper(), "headers": sent}
    if isinstance(body, bytes | bytearray):
        return {**message, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    if body is not None and not isinstance(body, str):
        body = _json.dump(body)
        sent.setdefault("content-type", "application/json")
    return {**message, "body": body}


def _asked(message: dict[str, Any]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = _standard.loads(_host.fetch(_standard.dumps(message)))
    except _host.Err as error:
        raise _failure(message, error.value) from None
    return answer


def get(url: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """GET."""
    return request("GET", url, headers=headers)


def post(url: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Response:
    """POST."""
    return request("POST", url, body, headers=headers)


def put(url: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Response:
    """PUT."""
    return request("PUT", url, body, headers=headers)


def patch(url: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Response:
    """PATCH."""
    return request("PATCH", url, body, headers=headers)


def delete(url: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """DELETE."""
    return request("DELETE", url, headers=headers)


def _joined(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)  # set-cookie may come more than once


def _failure(message: dict[str, Any], text: str) -> HttpError:
    try:
        report = _standard.loads(text)
    except ValueError:
        report = {"message": text}
    said = f"{message['method']} {message['url']} failed: {report.get('message')}"
    return HttpError(said, report.get("code"))
