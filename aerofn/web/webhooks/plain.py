"""Any other sender that puts an HMAC-SHA-256 of the body into a header."""

from aerofn.db.webhooks import Webhook
from aerofn.errors import InvalidSignature
from aerofn.web.webhooks.signature import Proof, from_base64, from_hex, header, text_key, value_at


class Plain:
    """As the webhook says: which header, what stands before the signature, how it is written."""

    key = staticmethod(text_key)

    def __init__(self, webhook: Webhook) -> None:
        self._header = webhook.header or ""
        self._prefix = webhook.prefix or ""
        self._decode = from_base64 if webhook.encoding == "base64" else from_hex
        self._id_from = webhook.id_from or ""
        self.withheld = (self._header,)

    def proof(self, headers: dict[str, str]) -> Proof:
        """See `Scheme`."""
        written = header(headers, self._header)
        if not written.startswith(self._prefix):
            raise InvalidSignature(f"the header {self._header} does not begin with {self._prefix}")
        return Proof(b"", [self._decode(written.removeprefix(self._prefix))])

    def sender_id(self, headers: dict[str, str], body: bytes) -> str | None:
        """See `Scheme`: from a header, or from the JSON body by `$.keys.to.it`."""
        root, *keys = self._id_from.split(".")
        if root == "$":
            return value_at(body, keys)
        return headers.get(root.lower(), "").strip() or None
