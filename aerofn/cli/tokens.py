"""Development tokens: signed with the service's own HS256 secret, for trying things out."""

import re
import time
from collections.abc import Mapping

import jwt

from aerofn.errors import SettingsError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"^(\d{1,6})([smhd])$")


def token(environ: Mapping[str, str], role: str, sub: str | None, expires: str) -> str:
    """A JWT that the service of the same environment accepts.

    Args:
        environ: where `AEROFN_JWT_SECRET` is, and `AEROFN_JWT_AUDIENCE` and `AEROFN_JWT_ISSUER` if set.
        expires: from now, such as `15m`, `1h` or `30d`.

    Raises:
        SettingsError: there is no secret, or `expires` is no duration.
    """
    secret = environ.get("AEROFN_JWT_SECRET", "")
    if len(secret) < 32:
        raise SettingsError(
            "AEROFN_JWT_SECRET is not set"
            if not secret
            else "AEROFN_JWT_SECRET has fewer than 32 characters",
            hint="set it to the service's secret; make a new one with: openssl rand -hex 32",
        )
    now = int(time.time())
    claims: dict[str, str | int] = {"role": role, "iat": now, "exp": now + seconds(expires)}
    named = {"sub": sub, "aud": environ.get("AEROFN_JWT_AUDIENCE"), "iss": environ.get("AEROFN_JWT_ISSUER")}
    claims |= {name: value for name, value in named.items() if value}
    return jwt.encode(claims, secret, algorithm="HS256")


def seconds(duration: str) -> int:
    """`90s`, `15m`, `1h` or `30d` in seconds."""
    match = _DURATION.match(duration)
    if match is None:
        raise SettingsError(f"{duration!r} is no duration", hint="write it like 90s, 15m, 1h or 30d")
    return int(match[1]) * _UNITS[match[2]]
