"""What every scheme comes down to: an HMAC-SHA-256 over something from the headers and the raw body.

The headers are read first. A delivery without a signature, or one that is too old, is refused before its body is read.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from aerofn.errors import InvalidSignature, NotReady

MOST_SIGNATURES = 16
_SECONDS = re.compile(r"[0-9]{1,12}")
_ADVICE = "sign it with a secret that this webhook was given, over the very bytes that are sent"


class Proof(NamedTuple):
    """What the headers say: `before` is signed in front of the body; `sent_at` is in seconds since 1970."""

    before: bytes
    signatures: Sequence[bytes]
    sent_at: int | None = None


class Scheme(Protocol):
    """How a sender signs, and how it names its deliveries. Header names are lower-case."""

    @property
    def withheld(self) -> Sequence[str]:
        """Headers that are proofs and stay with the service."""

    def proof(self, headers: dict[str, str]) -> Proof:
        """What the headers say.

        Raises:
            InvalidSignature: one is missing or malformed.
        """

    def key(self, secret: str) -> bytes:
        """The key that a secret stands for.

        Raises:
            NotReady: it cannot be a secret of this scheme.
        """

    def sender_id(self, headers: dict[str, str], body: bytes) -> str | None:
        """The sender's own id of the delivery, the same when it sends it again; None if it has none."""


def header(headers: dict[str, str], name: str) -> str:
    """A header that must be there.

    Raises:
        InvalidSignature: it is not.
    """
    value = headers.get(name, "").strip()
    if not value:
        raise InvalidSignature(
            f"the delivery has no header {name}", hint="is this the URL of another sender?"
        )
    return value


def seconds(text: str) -> int:
    """A time as senders write it.

    Raises:
        InvalidSignature: it is none.
    """
    if not _SECONDS.fullmatch(text):
        raise InvalidSignature("the delivery's time is no number of seconds")
    return int(text)


def from_hex(text: str) -> bytes:
    """A signature's bytes; none at all, which no signature has, if it is malformed."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def from_base64(text: str) -> bytes:
    """A signature's bytes; none at all, which no signature has, if it is malformed."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def check_time(proof: Proof, now: float, tolerance_s: int) -> None:
    """Whether the delivery is recent, by a scheme that says when it was sent.

    Raises:
        InvalidSignature: it is not.
    """
    if proof.sent_at is not None and abs(now - proof.sent_at) > tolerance_s:
        raise InvalidSignature(
            f"the delivery was signed {abs(now - proof.sent_at):.0f} seconds away from now",
            hint=f"{tolerance_s} are tolerated; are the clocks right?",
        )


def check(proof: Proof, body: bytes, keys: Iterable[bytes]) -> None:
    """Whether one of the signatures is one of the keys'. How long that takes tells nothing about either.

    Raises:
        InvalidSignature: none is.
    """
    genuine = False
    for key in keys:
        digest = hmac.new(key, proof.before, "sha256")
        digest.update(body)
        for signature in proof.signatures[:MOST_SIGNATURES]:
            genuine |= hmac.compare_digest(digest.digest(), signature)
    if not genuine:
        raise InvalidSignature("the signature is not this delivery's", hint=_ADVICE)


def text_key(secret: str) -> bytes:
    """The key of the schemes that take a secret's text as it is.

    Raises:
        NotReady: it is empty.
    """
    if not secret:
        raise NotReady("a secret of this webhook is empty", hint="set it again", code="secret_missing")
    return secret.encode()


def value_at(body: bytes, keys: Sequence[str]) -> str | None:
    """A string or number in a JSON body, as text."""
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value) or None
