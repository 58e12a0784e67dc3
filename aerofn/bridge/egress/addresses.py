"""Which addresses functions may connect to: the public internet's, and what the operator adds.

An address is judged where a socket is made for it, whatever a name resolved to and however it was written.
"""

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Beside what the registries of special addresses say: 6to4's relays, and Azure's metadata service.
_NOT_PUBLIC = [ipaddress.ip_network(text) for text in ("192.88.99.0/24", "168.63.129.16/32", "192.0.0.0/24")]
# The last 32 bits are the IPv4 address that a translator on the way connects to.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = [
    # Teredo and other protocols, documentation, 6to4, documentation
    ipaddress.IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]


class AddressRefused(OSError):
    """A connection to an address that functions may not reach."""


class Addresses:
    """Judges addresses.

    Args:
        allowed: networks (CIDR) beside the public ones.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = [ipaddress.ip_network(text) for text in allowed]

    def permits(self, address: Address) -> bool:
        """Whether functions may connect to it."""
        if isinstance(address, ipaddress.IPv6Address):
            address = _reached_by(address)
        if any(address in network for network in self._allowed if network.version == address.version):
            return True
        return _is_public(address)

    def socket_for(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for what `getaddrinfo` answered; aiohttp connects it to that address and no other.

        Raises:
            AddressRefused: functions may not reach it.
        """
        family, kind, protocol, _, where = info
        if not self.permits(ipaddress.ip_address(where[0].partition("%")[0])):
            raise AddressRefused("the address is not one that functions may reach")
        return socket.socket(family, kind, protocol)


def _reached_by(address: ipaddress.IPv6Address) -> Address:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast and not any(address in n for n in _NOT_PUBLIC)
    return address in _GLOBAL_UNICAST and not any(address in n for n in _NOT_PUBLIC_V6)
