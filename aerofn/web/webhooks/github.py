"""GitHub: `X-Hub-Signature-256` over the body alone. No time is signed: what is remembered of its ids must do."""

from aerofn.web.webhooks.signature import Proof, from_hex, header, text_key

_HEADER = "x-hub-signature-256"


class GitHub:
    """The older `X-Hub-Signature` (SHA-1) is not looked at."""

    withheld = (_HEADER, "x-hub-signature")
    key = staticmethod(text_key)

    def proof(self, headers: dict[str, str]) -> Proof:
        """See `Scheme`."""
        kind, _, signature = header(headers, _HEADER).partition("=")
        return Proof(b"", [from_hex(signature)] if kind == "sha256" else [])

    def sender_id(self, headers: dict[str, str], body: bytes) -> str | None:
        """See `Scheme`: the delivery's GUID, the same when it is redelivered."""
        return headers.get("x-github-delivery", "").strip() or None
