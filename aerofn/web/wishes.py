"""What a request asks for beside its answer: to be run once however often it is sent, or to be answered later."""

import re
from typing import NamedTuple

from aerofn.errors import InvalidRequest

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Wishes(NamedTuple):
    """`key` is the Idempotency-Key; `later` is `Prefer: respond-async` (RFC 7240)."""

    key: str | None
    later: bool


def wishes_of(headers: dict[str, str]) -> Wishes:
    """The wishes in a request's headers; both None and False for most.

    Raises:
        InvalidRequest: the key is none.
    """
    key = headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidRequest(
            "this Idempotency-Key is none",
            hint="make one for each request, for example a random UUID: 1 to 255 visible ASCII characters",
            code="invalid_idempotency_key",
        )
    preferences = headers.get("prefer", "").lower().split(",")
    return Wishes(key, any(one.partition(";")[0].strip() == "respond-async" for one in preferences))
