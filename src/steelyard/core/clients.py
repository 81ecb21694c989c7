"""Whose address it is: who has one IPv6 address has 2^64, and is one client with all of them.

A network is given 64 bits of addresses at least, and a host in it takes as many as it likes, and others tomorrow. So
limits count what shares the upper 64 bits together. IPv4 addresses are one by one, also where they are written as IPv6.
Source: RFC 4291 section 2.5.1 (64 bits of interface), RFC 6177 (sites get a /64 at least), RFC 8981 (temporary
addresses).
"""

from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

from steelyard.core.stable import stable_hash

HOST_BITS: Final = 64
REMEMBERED: Final = 4096  # as many as peers are (proxy/context.py); to read an address takes longer than to refuse it


@lru_cache(REMEMBERED)
def client_key(address: str) -> int:
    """Which client is at this address, as 64 bits: who limits asks so for every request."""
    return stable_hash(client_of(address))


def client_of(address: str) -> str:
    """What stands for the client at this address: the address itself, or the /64 of an IPv6 one.

    What is no IP address (of a unix socket, say) stands for itself. Raises nothing.
    """
    return _network_of(address) if ":" in address else address


def _network_of(address: str) -> str:
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{int(parsed) >> HOST_BITS:x}/64"
