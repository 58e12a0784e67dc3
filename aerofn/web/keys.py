"""The keys that a token may be signed with, and the algorithms each of them is good for.

Which algorithms are tried is never up to the token: a key brings its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from aerofn.errors import InvalidToken


class Key(NamedTuple):
    """What a signature is checked with."""

    key: Any
    algorithms: tuple[str, ...]


class Keys(Protocol):
    """A source of keys."""

    async def find(self, header: Mapping[str, Any]) -> Key | None:
        """The key for a token with this header, which nobody has verified yet; None if it is not from here."""


class SharedSecret:
    """The one HS256 secret of the settings."""

    def __init__(self, secret: str) -> None:
        self._key = Key(secret, ("HS256",))

    async def find(self, header: Mapping[str, Any]) -> Key | None:
        """The secret, for a token that says HS256."""
        return self._key if header.get("alg") in self._key.algorithms else None


class AnyOf:
    """Several sources, asked in turn."""

    def __init__(self, sources: Sequence[Keys]) -> None:
        self._sources = sources

    async def find(self, header: Mapping[str, Any]) -> Key:
        """The first source's key.

        Raises:
            InvalidToken: none has one.
        """
        for source in self._sources:
            key = await source.find(header)
            if key is not None:
                return key
        if not self._sources:
            raise InvalidToken(
                "this service accepts no tokens",
                hint="the operator sets AEROFN_JWT_SECRET or AEROFN_JWKS_URL",
            )
        raise InvalidToken("the token is not signed with a key of this service", hint="check its alg and kid")
