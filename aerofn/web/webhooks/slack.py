"""Slack: events, slash commands and interactions, all signed alike; a new URL must answer a challenge first."""

from aerofn.web.webhooks.signature import Proof, from_hex, header, seconds, text_key, value_at

_HEADER = "x-slack-signature"


class Slack:
    """`X-Slack-Signature: v0=…`, over the version, the time and the body."""

    withheld = (_HEADER,)
    key = staticmethod(text_key)

    def proof(self, headers: dict[str, str]) -> Proof:
        """See `Scheme`."""
        sent_at = header(headers, "x-slack-request-timestamp")
        version, _, signature = header(headers, _HEADER).partition("=")
        return Proof(
            before=f"v0:{sent_at}:".encode("latin-1"),
            signatures=[from_hex(signature)] if version == "v0" else [],
            sent_at=seconds(sent_at),
        )

    def sender_id(self, headers: dict[str, str], body: bytes) -> str | None:
        """See `Scheme`: of events; commands and interactions are sent once."""
        return value_at(body, ["event_id"])


def challenge(body: bytes) -> str | None:
    """What Slack wants to hear back, if this delivery only asks whether the URL is ours."""
    return value_at(body, ["challenge"]) if value_at(body, ["type"]) == "url_verification" else None
