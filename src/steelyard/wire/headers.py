"""The heads that we send: what was understood of the one that came, written anew around the runs that are kept.

Never passed on but always our own: the request line, Host, every framing field, Connection, X-Forwarded-For,
X-Real-IP and Via. X-Forwarded-Proto and -Host are ours too, unless a trusted proxy sent them.
Each head is one join of slices, for one write.

Source: RFC 9110 sections 7.6.1 (Connection) and 7.6.3 (Via).
"""

from typing import Final

from steelyard.wire.framing import CHUNKED, LENGTH, NO_BODY
from steelyard.wire.http1 import RequestHead, ResponseHead
from steelyard.wire.peer import Peer

_VIA_END: Final = (b"Via: 1.0 steelyard\r\n\r\n", b"Via: 1.1 steelyard\r\n\r\n")


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
