"""`POST /hooks/v1/{trigger}`: verify first, store, answer 2xx; the function runs after that.

Until a signature holds, a delivery costs no statement: webhooks and their secrets are in memory.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
from starlette.requests import Request

from aerofn.db.webhooks import Received, Webhook, Webhooks
from aerofn.dispatch.admission import Admission
from aerofn.errors import InvalidSignature, NotFound, NotReady
from aerofn.settings import Settings
from aerofn.tracing import parent_of
from aerofn.web.answer import Answer, json_answer
from aerofn.web.client import headers_of, read_body
from aerofn.web.operation import ANYTHING, operation
from aerofn.web.request import http_request
from aerofn.web.webhooks import signature, slack
from aerofn.web.webhooks.github import GitHub
from aerofn.web.webhooks.plain import Plain
from aerofn.web.webhooks.signature import Scheme
from aerofn.web.webhooks.slack import Slack
from aerofn.web.webhooks.standard import Standard
from aerofn.web.webhooks.stripe import Stripe

_SCHEMES: Mapping[str, Callable[[], Scheme]] = {
    "standard": Standard,
    "stripe": Stripe,
    "github": GitHub,
    "slack": Slack,
}
_STORED_AT_ONCE = 64
_OF_ONE = 32
_LONGEST_ID = 200


class Taken(msgspec.Struct):
    """A delivery that is stored: its event, and whether it had come before."""

    event: str
    duplicate: bool


class Secrets(Protocol):
    """The values of secrets; see `aerofn.db.secrets.Secrets`."""

    async def values(self, names: frozenset[str]) -> Mapping[str, str]:
        """Of those of `names` that are set."""


class Hooks:
    """Receives deliveries.

    Args:
        now: seconds since 1970, by which a delivery's age is told.
    """

    def __init__(
        self, webhooks: Webhooks, secrets: Secrets, settings: Settings, now: Callable[[], float] = time.time
    ) -> None:
        self._webhooks = webhooks
        self._secrets = secrets
        self._most = settings.max_body_mb << 20
        self._now = now
        self._admission = Admission(_STORED_AT_ONCE, _OF_ONE, settings.max_waiting)

    @operation(
        "Deliver to a webhook",
        body=ANYTHING,
        answers={200: Taken},
        errors=[NotFound, InvalidSignature, NotReady],
        who="anybody",
    )
    async def post(self, request: Request) -> Answer:
        """200 once the delivery is stored, also if it had come before.

        Raises:
            NotFound, NotReady: there is no such webhook, it is disabled, or its secret is not set.
            InvalidSignature: the delivery is not genuine, or too old.
            InvalidRequest, PayloadTooLarge: its body is not as it should be.
            Busy: too many are being stored.
        """
        webhook = await self._webhook(request.path_params["trigger"])
        headers = headers_of(request.scope)
        scheme = Plain(webhook) if webhook.scheme == "hmac" else _SCHEMES[webhook.scheme]()
        proof = scheme.proof(headers)
        signature.check_time(proof, self._now(), webhook.tolerance_s)
        body = await read_body(request.receive, headers, min(webhook.max_kb << 10, self._most))
        signature.check(proof, body, await self._keys(webhook, scheme))
        if webhook.scheme == "slack" and (challenge := slack.challenge(body)) is not None:
            return json_answer({"challenge": challenge})
        sender_id = _fitting(scheme.sender_id(headers, body))
        for name in scheme.withheld:
            headers.pop(name, None)
        parent = parent_of(headers)
        stored = msgspec.json.encode(http_request(request.scope, headers, body)).decode()
        await self._admission.enter(webhook.name)
        try:
            received = await self._webhooks.receive(webhook, sender_id, stored, parent)
            return _answer(webhook, received)
        finally:
            self._admission.leave(webhook.name)

    async def _webhook(self, name: str) -> Webhook:
        webhook = await self._webhooks.named(name)
        if webhook is None:
            raise NotFound(f"there is no webhook {name!r}", hint="aerofn triggers lists them")
        if not webhook.enabled:
            raise _disabled(webhook)
        return webhook

    async def _keys(self, webhook: Webhook, scheme: Scheme) -> list[bytes]:
        values = await self._secrets.values(frozenset(webhook.secrets))
        if not values:
            raise NotReady(
                f"no secret of webhook {webhook.name} is set",
                hint=f"aerofn secrets set {webhook.secrets[0]}",
                code="secret_missing",
            )
        return [scheme.key(values[name]) for name in webhook.secrets if name in values]


def _answer(webhook: Webhook, received: Received) -> Answer:
    if received.event is None:
        raise _disabled(webhook)
    if webhook.scheme == "slack":  # shows the user of a command what it is answered
        return Answer(200, b"", [])
    return json_answer(Taken(str(received.event), not received.fresh))


def _disabled(webhook: Webhook) -> NotReady:
    return NotReady(
        f"webhook {webhook.name} is disabled", hint="aerofn triggers enable it", code="trigger_disabled"
    )


def _fitting(sender_id: str | None) -> str | None:
    """An id as it can be kept, whatever the sender thinks an id is."""
    if sender_id is None or (len(sender_id) <= _LONGEST_ID and sender_id.isprintable()):
        return sender_id
    return "sha256:" + hashlib.sha256(sender_id.encode("utf-8", "surrogatepass")).hexdigest()
