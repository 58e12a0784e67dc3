"""An answer to an HTTP request, ready to be sent."""

from collections.abc import Awaitable
from typing import Any

import msgspec
from starlette.types import Send

from aerofn.errors import AeroFnError, HostError, InvalidToken

Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
# Supabase's client tells by it that the platform failed, and not the function.
_RELAY_ERROR = (b"x-relay-error", b"true")
# What the service itself says holds now: no cache on the way may say it again, a 404 least of all.
_NO_STORE = (b"cache-control", b"no-store")
_json = msgspec.json.Encoder()
# The type of a message that has all of an answer: status, headers and body.
WHOLE = "aerofn.whole"
_WITHOUT_LENGTH = frozenset({204, 304})
_WAIT_AND_RETRY = frozenset({429, 503})


class Answer:
    """Status, headers and the whole body; `content-length` is added when it is sent."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes, headers: Headers) -> None:
        self.status = status
        self.body = body
        self.headers = headers

    def send(self, send: Send) -> Awaitable[None]:
        """Send it as the one answer of a request, to the envelope, as one message."""
        headers = self.headers
        if self.status not in _WITHOUT_LENGTH:
            headers = [*headers, (b"content-length", b"%d" % len(self.body))]
        return send({"type": WHOLE, "status": self.status, "headers": headers, "body": self.body})


def json_answer(value: Any, status: int = 200) -> Answer:
    """`value` as JSON; times as ISO 8601."""
    return Answer(status, _json.encode(value), [JSON, _NO_STORE])


def error_answer(error: AeroFnError) -> Answer:
    """An error as clients see it, with the headers that go with its status."""
    answer = json_answer(error.body(), error.status)
    if error.status in _WAIT_AND_RETRY:
        answer.headers.append((b"retry-after", b"%d" % error.retry_after))
    if error.status == 503 or isinstance(error, HostError):
        answer.headers.append(_RELAY_ERROR)
    elif isinstance(error, InvalidToken):
        answer.headers.append((b"www-authenticate", b'Bearer realm="aerofn", error="invalid_token"'))
    return answer
