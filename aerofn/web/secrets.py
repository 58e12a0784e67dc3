"""`/manage/v1/secrets`: list, set and remove. For the admin role; no answer ever holds a value."""

import re
from typing import Annotated

import msgspec
from starlette.requests import Request

from aerofn.db.secrets import ListedSecret, Secrets
from aerofn.errors import Conflict, InvalidRequest, NotFound
from aerofn.web.answer import Answer, json_answer
from aerofn.web.auth import Tokens
from aerofn.web.client import headers_of, read_body
from aerofn.web.operation import operation

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_MOST_BYTES = 128 * 1024


class Setting(msgspec.Struct, forbid_unknown_fields=True):
    """What a secret is set to."""

    value: Annotated[str, msgspec.Meta(min_length=8, max_length=16384)]


class IsSet(msgspec.Struct):
    """A secret that was set."""

    name: str
    fingerprint: str


class SecretRoutes:
    """The secrets over HTTP. Every method raises InvalidToken or NotAllowed if the caller may not use it."""

    def __init__(self, secrets: Secrets, tokens: Tokens) -> None:
        self._secrets = secrets
        self._tokens = tokens

    @operation("List the secrets, without their values", answers={200: list[ListedSecret]})
    async def list(self, request: Request) -> Answer:
        """Every secret's name, fingerprint, author and dates."""
        await self._tokens.admin(request.scope)
        return json_answer(await self._secrets.all())

    @operation("Set a secret", answers={200: IsSet}, errors=[Conflict], body=Setting)
    async def set(self, request: Request) -> Answer:
        """Set one: `{"value": "…"}`.

        Raises:
            InvalidRequest: the body has no value, or name or value cannot be right; nothing of it is quoted.
            Conflict: this node has no key to seal it with.
        """
        caller = await self._tokens.admin(request.scope)
        name = _name(request)
        if name is None:
            raise InvalidRequest(
                "a secret cannot have this name",
                hint='a letter or "_", then up to 127 letters, digits or "_": STRIPE_KEY',
            )
        body = await read_body(request.receive, headers_of(request.scope), _MOST_BYTES)
        try:
            value = msgspec.json.decode(body, type=Setting).value
        except (msgspec.MsgspecError, RecursionError):
            raise InvalidRequest(
                "the body has no value that can be a secret",
                hint='send {"value": "…"} as JSON; a secret has 8 to 16384 bytes',
            ) from None
        fingerprint = await self._secrets.set(name, value, caller.subject or caller.role)
        return json_answer(IsSet(name, fingerprint))

    @operation("Remove a secret", answers={204: None}, errors=[NotFound])
    async def drop(self, request: Request) -> Answer:
        """Remove one.

        Raises:
            NotFound: there is none of that name.
        """
        await self._tokens.admin(request.scope)
        name = _name(request)
        if name is None:
            raise NotFound("there is no secret of this name")
        await self._secrets.drop(name)
        return Answer(204, b"", [])


def _name(request: Request) -> str | None:
    """The name in the path, if a secret can have it."""
    name: str = request.path_params["secret"]
    return name if _NAME.fullmatch(name) else None
