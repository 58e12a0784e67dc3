"""Stripe: `Stripe-Signature: t=…,v1=…`, with a second `v1` while an endpoint's secret is rolled."""

from aerofn.errors import InvalidSignature
from aerofn.web.webhooks.signature import Proof, from_hex, header, seconds, text_key, value_at


class Stripe:
    """The time is signed with the body."""

    withheld = ("stripe-signature",)
    key = staticmethod(text_key)

    def proof(self, headers: dict[str, str]) -> Proof:
        """See `Scheme`. Signatures of other kinds than v1 (v0 is for tests) are passed over."""
        pairs = [part.strip().partition("=") for part in header(headers, "stripe-signature").split(",")]
        times = [value for name, _, value in pairs if name == "t"]
        if len(times) != 1:
            raise InvalidSignature("the header stripe-signature has not one time")
        return Proof(
            before=f"{times[0]}.".encode("latin-1"),
            signatures=[from_hex(value) for name, _, value in pairs if name == "v1"],
            sent_at=seconds(times[0]),
        )

    def sender_id(self, headers: dict[str, str], body: bytes) -> str | None:
        """See `Scheme`: the id of Stripe's event."""
        return value_at(body, ["id"])
