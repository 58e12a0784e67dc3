"""CORS: any origin may call. Nothing of the API trusts cookies, so an origin tells nothing about the caller."""

import re

from aerofn.web.answer import Answer, Headers

ALLOW_ORIGIN = (b"access-control-allow-origin", b"*")
EXPOSE_HEADERS = (b"access-control-expose-headers", b"*")
_ALLOW_METHODS = (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS")
_MAX_AGE = (b"access-control-max-age", b"86400")
# Sent when the browser asks for none: what supabase-js may add to a call.
_USUAL_HEADERS = b"authorization, x-client-info, apikey, content-type, x-region"
_HEADER_LIST = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,4096}")


def preflight(requested: bytes) -> Answer:
    """The answer to OPTIONS: yes to every method, and to the headers in `access-control-request-headers`.

    They are named one by one, because `*` would not cover `authorization`.
    """
    allowed = requested if _HEADER_LIST.fullmatch(requested) else _USUAL_HEADERS
    headers: Headers = [
        _ALLOW_METHODS,
        (b"access-control-allow-headers", allowed),
        _MAX_AGE,
        (b"vary", b"access-control-request-headers"),
    ]
    return Answer(204, b"", headers)
