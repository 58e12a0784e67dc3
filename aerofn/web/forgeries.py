"""Addresses that send tokens with wrong signatures: slowed down, so that guessing and making us verify is dear."""

import ipaddress

from aerofn.dispatch.rates import Rates
from aerofn.errors import RateLimited

_SITE_BITS = 64


class Forgeries:
    """Counts them by address.

    Args:
        rate: how many an address may send, such as `60/minute`.
    """

    def __init__(self, rate: str) -> None:
        self._rate = rate
        self._rates = Rates()

    def check(self, address: str) -> None:
        """Raise RateLimited if too many came from there: then not even a good token is looked at."""
        wait = self._rates.wait(self._rate, _site(address))
        if wait:
            raise RateLimited(
                "too many tokens with a wrong signature came from this address",
                retry_after=wait,
                hint="wait as long as Retry-After says, and send a token of this service",
                code="too_many_bad_tokens",
            )

    def count(self, address: str) -> None:
        """One more came from there."""
        self._rates.take(self._rate, _site(address))


def _site(address: str) -> str:
    """An IPv6 site has 2^64 addresses: it counts as one."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], _SITE_BITS), strict=False))
    except ValueError:
        return address
