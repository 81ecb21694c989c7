"""Who a request is from: what is believed of X-Forwarded-For, and what backends are told.

Source: the right-most rule is that of nginx's real_ip_recursive: an address counts only as far as every hop
behind it is trusted.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from steelyard.wire.http1 import RequestHead

Network = IPv4Network | IPv6Network

# The address of a client on a unix socket, who has none: as nginx's $remote_addr. Backends are told it like any other.
# Without X-Forwarded-For they would take us for the client, and us they may well trust; this is nobody's IP address.
UNIX_CLIENT: Final = "unix:"


def is_trusted(address: str, networks: Sequence[Network]) -> bool:
    """Whether this IP address lies in one of the networks; a name or nonsense never does."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped is not None:  # an IPv4 client on a socket that listens on [::]
        parsed = mapped
    return any(parsed in network for network in networks)


class Peer:
    """A client's address, as backends are told of it; its connections share it.

    address: its IP address as text, or UNIX_CLIENT. scheme: `http` or `https`. trusted: it is a proxy whose
    X-Forwarded-* are believed. local: how the listener is called, for requests of HTTP/1.0 that name no host.
    """

    def __init__(self, address: str, scheme: str, networks: Sequence[Network], local: str) -> None:
        # An IPv4 client on a socket that listens on [::]: the same client has one address everywhere.
        if address.startswith("::ffff:") and "." in address:
            address = address.removeprefix("::ffff:")
        self.address = address
        self.networks = networks
        self.trusted = bool(networks) and is_trusted(address, networks)
        self.proto = f"X-Forwarded-Proto: {scheme}\r\n".encode()
        self.lines = f"X-Forwarded-For: {address}\r\nX-Real-IP: {address}\r\n".encode() + self.proto
        self.local = local.encode()

    def client_of(self, head: RequestHead) -> str:
        """The address of the client that this request is for: the right-most one that no trusted proxy vouches away."""
        client = self.address
        if head.forwarded_for is None:
            return client
        for entry in reversed(b",".join(head.forwarded_for).split(b",")):
            address = _bare_address(entry)
            if address is None:
                break
            client = address
            if not is_trusted(client, self.networks):
                break
        return client

    def lines_for(self, head: RequestHead) -> bytes:
        """X-Forwarded-For, X-Real-IP and X-Forwarded-Proto for one request of a trusted proxy."""
        chain = b", ".join([*(head.forwarded_for or ()), self.address.encode()])
        lines = b"X-Forwarded-For: %b\r\nX-Real-IP: %b\r\n" % (chain, self.client_of(head).encode())
        return lines if head.has_forwarded_proto else lines + self.proto


def _bare_address(entry: bytes) -> str | None:
    """An entry of X-Forwarded-For without port, brackets and zone; None when it is no IP address."""
    text = entry.strip(b" \t").decode("latin-1")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        # The zone means nothing on another machine, and Python would take any character in it.
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)  # one client has one address: it may be a key
    return str(address if mapped is None else mapped)
