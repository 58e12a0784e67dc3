"""Who calls: from a JSON Web Token to a database role and its claims.

No token is the anonymous caller. A token that is there and not valid is refused, never ignored.
"""

import time
from collections.abc import Callable
from typing import Any

import jwt
import msgspec
from starlette.types import Scope

from aerofn.errors import InvalidToken, NotAllowed
from aerofn.model import Caller
from aerofn.settings import Settings
from aerofn.web.client import address_of, headers_of
from aerofn.web.forgeries import Forgeries
from aerofn.web.jwks import Jwks
from aerofn.web.keys import AnyOf, Keys, SharedSecret

_json = msgspec.json.Encoder()
_FOREVER = float("inf")
_LONGEST = 16 * 1024
_KEPT = 4096
# A token without an end, or signed with a key that its provider has withdrawn meanwhile, is looked at again.
_KEPT_S = 300.0
# What a token that nobody of ours has signed ends in. Others are ours, if such as do not hold: expired, for example.
_GUESS = (InvalidToken, jwt.DecodeError, jwt.InvalidAlgorithmError, ValueError, RecursionError)


class Tokens:
    """Verifies tokens. One that was verified is kept until it expires, so that it costs one lookup.

    Args:
        clock: seconds since 1970.
        kept: how many tokens are kept.
    """

    def __init__(
        self, settings: Settings, *, clock: Callable[[], float] = time.time, kept: int = _KEPT
    ) -> None:
        self._settings = settings
        self._keys = AnyOf(_sources(settings))
        self._clock = clock
        self._most_kept = kept
        self._kept: dict[str, tuple[Caller, float]] = {}
        self._anonymous = Caller(settings.anon_role, {"role": settings.anon_role})
        self._forgeries = Forgeries(settings.forgery_rate)

    async def caller(self, headers: dict[str, str], address: str) -> Caller:
        """Who sent a request with these headers from this address.

        Raises:
            InvalidToken: there is a token, and it is not valid.
            NotAllowed: its role is not one of this service's.
            RateLimited: too many that are not valid came from there.
        """
        token = _token(headers)
        if token is None:
            return self._anonymous
        return self._known(token) or await self._verified(token, address)

    async def admin(self, scope: Scope) -> Caller:
        """Who sent a request that only the admin role may send.

        Raises:
            InvalidToken: there is no token, or none that is valid.
            NotAllowed: its role is another.
            RateLimited: too many tokens that are not valid came from there.
        """
        token = _token(headers_of(scope))
        if token is None:
            role = self._settings.admin_role
            raise InvalidToken(
                "this needs a token", hint=f"send Authorization: Bearer with a token of role {role}"
            )
        return await self.admin_of(token, address_of(scope))

    async def admin_of(self, token: str, address: str) -> Caller:
        """Whose token this is, which must be the admin role's; raises as `admin` does."""
        role = self._settings.admin_role
        caller = self._known(token) or await self._verified(token, address)
        if caller.role != role:
            raise NotAllowed(f"role {caller.role!r} may not do this", hint=f"use a token of role {role}")
        return caller

    def _known(self, token: str) -> Caller | None:
        kept = self._kept.get(token)
        return kept[0] if kept is not None and self._clock() < kept[1] else None

    async def _verified(self, token: str, address: str) -> Caller:
        self._kept.pop(token, None)
        self._forgeries.check(address)
        claims = await self._claims(token, address)
        caller = Caller(self._role(claims), claims)
        if len(self._kept) >= self._most_kept:
            del self._kept[next(iter(self._kept))]  # the one kept longest
        self._kept[token] = caller, min(float(claims.get("exp", _FOREVER)), self._clock() + _KEPT_S)
        return caller

    async def _claims(self, token: str, address: str) -> dict[str, Any]:
        if len(token) > _LONGEST:
            raise InvalidToken(f"the token is longer than {_LONGEST} characters")
        try:
            key, algorithms = await self._keys.find(jwt.get_unverified_header(token))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(algorithms),
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer,
                # iat says when it was issued, not from when on it holds: a clock a little ahead is no attack.
                options={"verify_aud": self._settings.jwt_audience is not None, "verify_iat": False},
            )
        except (InvalidToken, jwt.PyJWTError, ValueError, RecursionError) as error:
            if isinstance(error, _GUESS):
                self._forgeries.count(address)
            if isinstance(error, InvalidToken):
                raise
            raise InvalidToken("the token is not valid", detail=_reason(error)) from None
        _check_text(claims)
        return claims

    def _role(self, claims: dict[str, Any]) -> str:
        role = claims.get("role")
        if not isinstance(role, str):
            raise InvalidToken(
                "the token has no role", hint="its claim role names the database role to act as"
            )
        if role not in self._settings.roles:
            raise NotAllowed(
                f"role {role!r} is not one that callers may act as",
                hint="roles of this service: " + ", ".join(self._settings.roles),
            )
        return role


def _sources(settings: Settings) -> list[Keys]:
    sources: list[Keys] = []
    if settings.jwt_secret is not None:
        sources.append(SharedSecret(settings.jwt_secret))
    if settings.jwks_url is not None:
        sources.append(Jwks(settings.jwks_url))
    return sources


def _token(headers: dict[str, str]) -> str | None:
    authorization = headers.get("authorization")
    if authorization is None:
        return headers.get("apikey")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise InvalidToken(
            "the Authorization header holds no token", hint="write Authorization: Bearer <token>"
        )
    return token.strip()


def _reason(error: Exception) -> str | None:
    return str(error) if isinstance(error, jwt.PyJWTError) else None


def _check_text(claims: dict[str, Any]) -> None:
    """Refuse claims that PostgreSQL could not hold as text.

    Raises:
        InvalidToken: a NUL character, half a surrogate pair, or nesting without end.
    """
    try:
        _json.encode(claims)
        bad = _has_nul(claims)
    except (UnicodeEncodeError, OverflowError, RecursionError):
        bad = True
    if bad:
        raise InvalidToken("the token's claims have characters that PostgreSQL cannot hold")


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(name) or _has_nul(inner) for name, inner in value.items())
    return isinstance(value, list) and any(_has_nul(inner) for inner in value)
