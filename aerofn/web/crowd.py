"""How many connections each address has: so that none takes all the places of a node."""

import ipaddress
from collections import Counter
from collections.abc import Sequence

# Who has one IPv6 address has all of its network.
_OF_ONE_V6 = 64


class Crowd:
    """Counts connections by address.

    Args:
        most: of one address.
        trusted: addresses and networks of proxies, which bring many clients; `*` for any.
    """

    def __init__(self, most: int, trusted: Sequence[str] = ()) -> None:
        self._most = most
        self._anybody = "*" in trusted
        self._trusted = [network for text in trusted if (network := _network(text)) is not None]
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        """Addresses that have connections."""
        return len(self._taken)

    def enter(self, address: str) -> str | None:
        """Count a connection; under which name, to leave with, or None if its address has too many."""
        where = self._place(address)
        if where and self._taken[where] >= self._most:
            return None
        if where:
            self._taken[where] += 1
        return where

    def leave(self, where: str) -> None:
        """A connection that was counted has ended."""
        if where:
            self._taken[where] -= 1
            if not self._taken[where]:
                del self._taken[where]

    def _place(self, address: str) -> str:
        """What stands for an address; empty for those that are not counted."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return ""  # a socket of this machine
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        if self._anybody or any(found in network for network in self._trusted):
            return ""
        if found.version == 4:
            return str(found)
        return str(ipaddress.ip_network((found, _OF_ONE_V6), strict=False))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
