"""The heads that we send: what was understood of the one that came, written anew around the runs that are kept.

Never passed on but always our own: the request line, Host, every framing field, Connection, X-Forwarded-For,
X-Real-IP and Via. X-Forwarded-Proto and -Host are ours too, unless a trusted proxy sent them.
Each head is one join of slices, for one write.

Source: RFC 9110 sections 7.6.1 (Connection), 7.6.3 (Via); the right-most rule for X-Forwarded-For is that of
nginx's real_ip_recursive: an address counts only as far as every hop behind it is trusted.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from steelyard.wire.framing import CHUNKED, LENGTH, NO_BODY
from steelyard.wire.http1 import RequestHead, ResponseHead

Network = IPv4Network | IPv6Network

_VIA_END: Final = (b"Via: 1.0 steelyard\r\n\r\n", b"Via: 1.1 steelyard\r\n\r\n")


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
    """One client connection, as backends are told of it.

    address: the peer's IP address as text. scheme: `http` or `https`. trusted: it is a proxy whose X-Forwarded-*
    are believed. local: our own address on this connection, for requests of HTTP/1.0 that name no host.
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


def request_bytes(head: RequestHead, peer: Peer) -> bytes:
    """The head to send to a backend for this request, whole."""
    host = head.host
    pieces: list[bytes] = [head.method, b" ", head.target, b" HTTP/1.1\r\nHost: "]
    if host is None:
        pieces.append(peer.local)
    else:
        pieces.append(host)
        if not head.has_forwarded_host:
            pieces.append(b"\r\nX-Forwarded-Host: ")
            pieces.append(host)
    pieces.append(b"\r\n")
    pieces += head.runs
    pieces.append(peer.lines_for(head) if peer.trusted else peer.lines)
    if head.chunked:
        pieces.append(b"Transfer-Encoding: chunked\r\n")
    elif head.content_length >= 0:
        pieces.append(b"Content-Length: ")
        pieces.append(head.length_digits)
        pieces.append(b"\r\n")
    if head.upgrade is not None:
        pieces.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n" % head.upgrade)
    elif head.te_trailers:
        pieces.append(b"Connection: TE\r\nTE: trailers\r\n")
    pieces.append(_VIA_END[head.minor])
    return b"".join(pieces)


def response_pieces(head: ResponseHead, framing: int, connection: bytes) -> list[bytes]:
    """The head to send to a client for this answer, as pieces to be joined with what follows.

    framing: of the body as it will be sent. connection: a ready Connection line, or empty.
    """
    pieces: list[bytes] = [b"HTTP/1.1 ", head.line, b"\r\n"]
    pieces += head.runs
    if framing == LENGTH or (
        framing == NO_BODY and head.content_length >= 0 and head.status >= 200 and head.status != 204
    ):
        pieces.append(b"Content-Length: ")
        pieces.append(head.length_digits)
        pieces.append(b"\r\n")
    elif framing == CHUNKED:
        pieces.append(b"Transfer-Encoding: chunked\r\n")
    pieces.append(connection)
    pieces.append(b"\r\n")
    return pieces
