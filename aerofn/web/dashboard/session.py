"""Who is logged in: a token of the admin role in a cookie, verified at every request as over HTTP.

The cookie is HttpOnly and SameSite=Strict, is sent below /dashboard only, and ends with its token. Besides, it counts
only in requests that the browser says come from the dashboard's own pages or from its user.
"""

import hashlib
import hmac
import secrets
import time
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from aerofn.errors import InvalidRequest, InvalidToken
from aerofn.model import Caller
from aerofn.web.auth import Tokens
from aerofn.web.client import address_of

PATH = "/dashboard"
_SESSION = "aerofn_session"
_VISIT = "aerofn_visit"
# Browsers keep no cookie of more than 4,096 bytes, its name and attributes included.
_LONGEST = 3800


class Session(NamedTuple):
    """A login: whose, until when (seconds since 1970, None: as long as the browser runs), and its forms' token."""

    caller: Caller
    ends: float | None
    form_token: str


class Sessions:
    """Opens, finds and ends sessions. They are nowhere but in the cookie: any node knows those of the others."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def of(self, request: Request) -> Session:
        """The session of a request.

        Raises:
            InvalidToken: there is none, or it has ended.
            NotAllowed, RateLimited: see Tokens.admin.
        """
        token = request.cookies.get(_SESSION)
        if token is None or request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise InvalidToken("nobody is logged in", code="no_session")
        return _session(await self._tokens.admin_of(token, address_of(request.scope)), token)

    async def open(self, request: Request, token: str, response: Response) -> Session:
        """Log in with a token.

        Raises:
            InvalidToken, NotAllowed, RateLimited: see Tokens.admin.
            InvalidRequest: it is too long for a cookie.
        """
        caller = await self._tokens.admin_of(token, address_of(request.scope))
        if len(token) > _LONGEST:
            raise InvalidRequest(
                f"the token is longer than {_LONGEST} characters, which no browser keeps",
                hint="use one with fewer claims: aerofn token --role " + caller.role,
            )
        session = _session(caller, token)
        lasts = None if session.ends is None else max(1, int(session.ends - time.time()))
        _set(request, response, _SESSION, token, lasts)
        response.delete_cookie(_VISIT, PATH)
        return session

    def close(self, response: Response) -> None:
        """Log out: the browser forgets the token, which remains valid elsewhere until it expires."""
        response.delete_cookie(_SESSION, PATH, httponly=True, samesite="strict")

    def visit(self, request: Request, response: Response) -> str:
        """The token for the login form of somebody who is not logged in, tied to their browser."""
        visit = request.cookies.get(_VISIT) or secrets.token_urlsafe(24)
        _set(request, response, _VISIT, visit, None)
        return _form_token(visit)

    def visitor(self, request: Request) -> str | None:
        """The token that the login form must have brought; None if none was shown."""
        visit = request.cookies.get(_VISIT)
        return None if visit is None else _form_token(visit)


def _session(caller: Caller, token: str) -> Session:
    expires = caller.claims.get("exp")
    return Session(caller, None if expires is None else float(expires), _form_token(token))


def _form_token(secret: str) -> str:
    """What only pages of this session can know: another origin cannot read them, and the secret is in no page."""
    return hmac.digest(secret.encode(), b"aerofn dashboard form", hashlib.sha256).hex()


def _set(request: Request, response: Response, name: str, value: str, lasts_s: int | None) -> None:
    response.set_cookie(
        name,
        value,
        max_age=lasts_s,
        path=PATH,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
