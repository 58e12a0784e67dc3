"""Requests that were kept until their function's effects had committed: how they are stored, and their sending."""

import msgspec

from aerofn.bridge.egress.egress import Egress
from aerofn.bridge.egress.grants import Grants
from aerofn.bridge.egress.request import Sent
from aerofn.db.secrets import Secrets
from aerofn.model import Version
from aerofn.tracing import Trace


class Delivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request to be sent after the commit, as its event's payload has it.

    `request` is the function's JSON; where the function has secrets it is encrypted, and `sealed` instead.
    """

    key: str
    method: str
    host: str
    request: Sent | None = None
    sealed: str | None = None


class _Stored(msgspec.Struct, frozen=True):
    """The event as it is leased."""

    payload: Delivery


_stored = msgspec.json.Decoder(_Stored)


class Deliveries:
    """Sends what was kept.

    Args:
        secrets: decrypt what was stored encrypted.
    """

    def __init__(self, egress: Egress, secrets: Secrets) -> None:
        self._egress = egress
        self._secrets = secrets

    def described(self, payload: bytes) -> str:
        """Method and host of an event's request; nothing of it may be secret."""
        delivery = _stored.decode(payload).payload
        return f"{delivery.method} {delivery.host}"

    async def deliver(self, version: Version, payload: bytes, trace: Trace | None = None) -> int:
        """Send an event's request, by the grants of the version that is active now; the answer's status.

        Raises:
            FetchError: it was refused, or failed.
            HostError: it cannot be decrypted here.
        """
        delivery = _stored.decode(payload).payload
        sent = delivery.request
        if sent is None:
            sent = msgspec.json.decode(
                self._secrets.decrypted(delivery.sealed or "", delivery.key), type=Sent
            )
        return await self._egress.status(version.function_id, Grants(version.hosts), sent, trace)
