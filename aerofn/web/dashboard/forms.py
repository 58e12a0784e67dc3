"""Forms that come in: only from the dashboard's own pages.

Two checks, each enough alone: the browser's word on where the form was (Sec-Fetch-Site, or else Origin), and a token
that only the session's own pages have.
"""

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

from starlette.requests import Request

from aerofn.errors import InvalidRequest, NotAllowed
from aerofn.web.client import headers_of, read_body

TOKEN = "form_token"  # noqa: S105  a field's name
_MOST_BYTES = 32 * 1024
_MOST_FIELDS = 16


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form from a page of this origin.

    Raises:
        NotAllowed: it is from elsewhere, or nothing says where from.
        InvalidRequest, PayloadTooLarge: it is none of ours.
    """
    _check_origin(request)
    headers = headers_of(request.scope)
    if headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise InvalidRequest("this is no form of the dashboard", hint="use the buttons of its pages")
    body = await read_body(request.receive, headers, _MOST_BYTES)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError as error:
        raise InvalidRequest("the form cannot be read", detail=str(error)) from None


def check_token(form: Mapping[str, str], expected: str | None) -> None:
    """Refuse a form without its token.

    Raises:
        NotAllowed: the token is missing, or is another session's.
    """
    if expected is None or not hmac.compare_digest(form.get(TOKEN, "").encode(), expected.encode()):
        raise NotAllowed(
            "the form is not of this session", hint="load the page again, and send it from there",
            code="form_refused",
        )  # fmt: skip


def field(form: Mapping[str, str], name: str) -> str:
    """A field that must be there. Templates write it percent-encoded: browsers change the ends of lines in a field.

    Raises:
        InvalidRequest: it is not, or PostgreSQL could not hold it.
    """
    value = unquote(form.get(name, ""))
    if not value or "\0" in value:
        raise InvalidRequest(f"the form has no {name}", hint="use the buttons of the dashboard's pages")
    return value


def _check_origin(request: Request) -> None:
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    # Browsers send Sec-Fetch-Site over TLS and to localhost, Origin with every form.
    ours = site == "same-origin" if site is not None else origin is not None and _is_here(origin, request)
    if not ours:
        raise NotAllowed(
            "the form is not from a page of the dashboard", hint="open the dashboard, and send it from there",
            code="form_refused",
        )  # fmt: skip


def _is_here(origin: str, request: Request) -> bool:
    """By host and port only: behind a proxy that is not in AEROFN_TRUSTED_PROXIES the scheme is not known."""
    try:
        return urlsplit(origin).netloc == request.headers["host"] != ""
    except (KeyError, ValueError):
        return False
