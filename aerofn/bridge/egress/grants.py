"""The hosts a function was granted: `api.example.com`, `*.example.com:8443`, `[2001:db8::1]`, `*`.

Without a port a grant is for the ports of http and https. `*.example.com` is every name below, not itself.
"""

from collections.abc import Iterable
from typing import NamedTuple

from yarl import URL

_USUAL_PORTS = frozenset({80, 443})


class Grant(NamedTuple):
    """One entry: a name, or a suffix that begins with a dot, and its port if it names one."""

    host: str
    port: int | None

    @classmethod
    def of(cls, text: str) -> "Grant":
        """What `text` grants; its form was checked at registration."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal():  # also the last colon of an address in brackets
            host, port = text, ""
        host = host.strip("[]").removesuffix(".").lower()
        return cls(host.removeprefix("*"), int(port) if port else None)

    @property
    def text(self) -> str:
        """The host as it was granted."""
        return f"*{self.host}" if self.host[:1] in {"", "."} else self.host

    def covers(self, host: str, port: int) -> bool:
        """Whether it is for this host, in lower case and without a last dot, and this port."""
        if port not in _USUAL_PORTS if self.port is None else port != self.port:
            return False
        return host.endswith(self.host) if self.host[:1] in {"", "."} else host == self.host


class Grants:
    """All of a function's."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._grants = [Grant.of(entry) for entry in entries]

    def cover(self, url: URL) -> bool:
        """Whether the function may ask this URL's host, on its port."""
        return self.covering(url) is not None

    def covering(self, url: URL) -> Grant | None:
        """The first grant for this URL's host and port."""
        host = (url.raw_host or "").removesuffix(".").lower()
        if not host:
            return None
        return next((grant for grant in self._grants if grant.covers(host, url.port or 0)), None)
