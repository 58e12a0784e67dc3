"""Standard Webhooks (https://www.standardwebhooks.com): Svix, Resend, Clerk, OpenAI and many others."""

from aerofn.errors import NotReady
from aerofn.web.webhooks.signature import Proof, from_base64, header, seconds

_PREFIX = "whsec_"


class Standard:
    """`webhook-id`, `webhook-timestamp` and `webhook-signature`: all three are signed, or sign."""

    withheld = ("webhook-signature",)

    def proof(self, headers: dict[str, str]) -> Proof:
        """See `Scheme`. Signatures of other kinds than v1 (symmetric) are passed over."""
        sent_at = header(headers, "webhook-timestamp")
        written = [part.partition(",") for part in header(headers, "webhook-signature").split()]
        return Proof(
            before=f"{header(headers, 'webhook-id')}.{sent_at}.".encode("latin-1"),
            signatures=[from_base64(signature) for version, _, signature in written if version == "v1"],
            sent_at=seconds(sent_at),
        )

    def key(self, secret: str) -> bytes:
        """See `Scheme`: base64, usually after `whsec_`, sometimes without its padding."""
        encoded = secret.strip().removeprefix(_PREFIX)
        key = from_base64(encoded + "=" * (-len(encoded) % 4))
        if not key:
            raise NotReady(
                "a secret of this webhook is not base64",
                hint="set it as the sender shows it: whsec_…",
                code="secret_missing",
            )
        return key

    def sender_id(self, headers: dict[str, str], body: bytes) -> str | None:
        """See `Scheme`."""
        return headers["webhook-id"].strip()
