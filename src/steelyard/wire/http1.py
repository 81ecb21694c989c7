"""HTTP/1.1 heads: one strict pass over the bytes, no object per field.

A scan notes the few fields that matter to a proxy and returns, of all others, the *runs* of bytes to pass on:
every byte of a run was checked against the grammar. The request line, Host and every field that frames or
routes the message are left out of the runs; `headers.py` writes them anew from what was understood.

A scan returns a head, or None for "need more bytes", or raises ProtocolError. Nothing is repaired: a bare LF,
a folded line, a space before the colon or a second Content-Length is refused, since two programs in a row
that repair differently are how requests are smuggled.

Compiled by Cython with bounds checks off; every index below is guarded by a comparison with `end`.
Source: RFC 9112 (sections in the code), RFC 9110; the three-way contract is h11's.
"""

from typing import Final

from steelyard import errors
from steelyard.errors import ProtocolError
from steelyard.wire.fields import Head, bad, same
from steelyard.wire.framing import CHUNKED, LENGTH, NO_BODY, UNKNOWN
from steelyard.wire.grammar import COLON, CR, HOST_CHARS, LF, SP, TARGET, TOKEN, VALUE
from steelyard.wire.known import (
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    EXPECT,
    FORWARDED_FOR,
    FORWARDED_HOST,
    FORWARDED_OTHER,
    FORWARDED_PROTO,
    HOP,
    HOST,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    VIA,
)
from steelyard.wire.slices import cut

# Every proxy adds a Via line (RFC 9110 section 7.6.3). No chain that somebody built is as long as this; a balancer
# that is its own backend soon is.
MAX_HOPS: Final = 16


def valid_host(host: bytes) -> bool:
    """Whether this is a uri-host with an optional port (RFC 9110 section 7.2); empty is allowed."""
    n = len(host)
    i = 0
    bracket = n > 0 and host[0] == 91  # [
    if bracket:
        i = 1
        while i < n and host[i] != 93:  # ]
            if not HOST_CHARS[host[i]] or host[i] == 91:
                return False
            i += 1
        if i == n or i == 1:
            return False
        i += 1
    else:
        while i < n and host[i] != COLON:
            if not HOST_CHARS[host[i]] or host[i] == 91 or host[i] == 93:
                return False
            i += 1
        if i == 0 and n > 0:
            return False  # a port without a host
    if i == n:
        return True
    if host[i] != COLON:
        return False
    for k in range(i + 1, n):
        if host[k] < 48 or host[k] > 57:
            return False
    return n - i <= 6


class RequestHead(Head):
    """A scanned request head.

    method: as sent (methods are case-sensitive). target: in origin form, or `*`. host: of the target when that
    was in absolute form, else of the Host field; None for HTTP/1.0 without one.
    hops: how many Via fields it has. forwarded_for: the values of X-Forwarded-For in order;
    has_*: a trusted proxy sent the field.
    """

    def __init__(self, trusted: bool) -> None:
        self.blank()
        self.trusted = trusted
        self.method = b""
        self.target = b""
        self.host: bytes | None = None
        self.authority: bytes | None = None
        self.hops = 0
        self.expects_continue = False
        self.te_trailers = False
        self.forwarded_for: list[bytes] | None = None
        self.has_forwarded_proto = False
        self.has_forwarded_host = False

    def scan_line(self, data: bytes, pos: int, end: int) -> int:
        """Scan the request line (RFC 9112 section 3); the index behind its CRLF, or -1 for need more."""
        start = pos
        while pos < end and TOKEN[data[pos]]:
            pos += 1
        if pos >= end:
            return -1
        if data[pos] != SP or pos == start:
            raise bad("a request line that does not begin with a method and a space")
        self.method = cut(data, start, pos)
        if same(data, start, pos, b"connect") or same(data, start, pos, b"trace"):
            # RFC 9110 sections 9.3.6 and 9.3.8: we are no tunnel, and TRACE shows a client's fields to scripts.
            # Methods are case-sensitive, but not every backend knows that.
            raise ProtocolError(errors.METHOD_REFUSED, "CONNECT and TRACE are refused")
        pos += 1
        start = pos
        while pos < end and TARGET[data[pos]]:
            pos += 1
        if pos >= end:
            return -1
        if data[pos] != SP or pos == start:
            raise bad("a character in the target that may not stand there")
        self.target = cut(data, start, pos)
        pos += 1
        if not _matches(data, pos, end, b"HTTP/d.d\r\n"):
            return -1
        if data[pos + 5] != 49 or data[pos + 7] > 49:
            raise ProtocolError(errors.VERSION_UNKNOWN, "an HTTP version other than 1.0 and 1.1")
        self.minor = data[pos + 7] - 48
        if self.target[0] != 47:  # /
            self.read_unusual_target()
        return pos + 10

    def read_unusual_target(self) -> None:
        """The asterisk form and the absolute form (RFC 9112 sections 3.2.2 and 3.2.4)."""
        if self.target == b"*":
            if self.method != b"OPTIONS":
                raise bad("the target * is for OPTIONS alone")
            return
        scheme, mark, rest = self.target.partition(b"://")
        if not mark or scheme.lower() not in (b"http", b"https"):
            raise bad("a target that is neither a path nor an http URL")
        cut = len(rest)
        for delimiter in (b"/", b"?"):
            found = rest.find(delimiter)
            if 0 <= found < cut:
                cut = found
        self.authority = rest[:cut]
        if not self.authority or not valid_host(self.authority):
            raise bad("a target whose authority is not a host with an optional port")
        path = rest[cut:]
        if path.startswith(b"/"):
            self.target = path
        elif path == b"" and self.method == b"OPTIONS":
            self.target = b"*"
        else:
            self.target = b"/" + path

    def note(self, code: int, data: bytes, start: int, end: int) -> bool:
        if code == HOST:
            if self.host is not None:
                raise bad("two Host fields")
            self.host = cut(data, start, end)
            if not valid_host(self.host):
                raise bad("Host is not a host with an optional port")
        elif code == CONNECTION:
            self.note_connection(data, start, end)
        elif code == CONTENT_LENGTH:
            self.note_length(data, start, end)
        elif code == TRANSFER_ENCODING:
            self.note_coding(data, start, end)
        elif code == EXPECT:
            return self.note_expect(data, start, end)
        elif code == DATE:
            return True
        elif code == VIA:
            self.hops += 1
            return True
        elif code == UPGRADE:
            self.upgrade = data[start:end] if self.upgrade is None else b","
        elif code == TE:
            if b"trailers" in [part.strip(b" \t") for part in data[start:end].lower().split(b",")]:
                self.te_trailers = True
        elif code == FORWARDED_FOR:
            if self.trusted:
                if self.forwarded_for is None:
                    self.forwarded_for = []
                self.forwarded_for.append(data[start:end])
        elif code == FORWARDED_PROTO:
            self.has_forwarded_proto = self.trusted
            return self.trusted
        elif code == FORWARDED_HOST:
            self.has_forwarded_host = self.trusted
            return self.trusted
        elif code == FORWARDED_OTHER:
            return self.trusted
        return False

    def note_expect(self, data: bytes, start: int, end: int) -> bool:
        """RFC 9110 section 10.1.1: a server ignores the expectation of an HTTP/1.0 client."""
        if same(data, start, end, b"100-continue"):
            self.expects_continue = self.minor == 1
            return self.expects_continue
        return True

    def judge(self) -> None:
        """The rules that need the whole head."""
        if self.hops > MAX_HOPS:
            raise ProtocolError(errors.LOOP, f"more than {MAX_HOPS} Via fields")
        if self.host is None and self.minor == 1:
            raise bad("HTTP/1.1 without Host")  # RFC 9112 section 3.2
        if self.authority is not None:
            self.host = self.authority
        if self.upgrade is not None and not self.may_upgrade(self.upgrade):
            self.upgrade = None

    def may_upgrade(self, protocol: bytes) -> bool:
        """Whether the wish for another protocol is passed on: RFC 9110 section 7.8.

        One protocol, named in Connection too, on a request without a body. Never h2c: what follows its 101
        would pass the proxy unread, which is how requests were smuggled past its rules.
        """
        if not self.names_upgrade or self.minor == 0 or self.chunked or self.content_length > 0:
            return False
        name = protocol.partition(b"/")[0].lower()
        return name not in (b"", b"h2c", b"http") and all(TOKEN[c] or c == 47 for c in protocol)


def _matches(data: bytes, pos: int, end: int, pattern: bytes) -> bool:
    """Whether data[pos:end] begins with the pattern, in which `d` is any digit; False for need more."""
    for i in range(len(pattern)):
        if pos + i >= end:
            return False
        c = data[pos + i]
        if pattern[i] == 100:  # d
            if c < 48 or c > 57:
                raise bad("a start line without an HTTP version")
        elif c != pattern[i]:
            raise bad("a start line without an HTTP version")
    return True


def scan_request(
    data: bytes, start: int, max_bytes: int, max_fields: int, trusted: bool, underscores: bool
) -> RequestHead | None:
    """Scan the request head that begins at data[start].

    max_bytes, max_fields: its limits. trusted: the peer is a proxy whose X-Forwarded-* count.
    underscores: field names with underscores are passed on. None: the head has not all come yet.
    Raises ProtocolError, whose kind says with which status the request is refused.
    """
    size = len(data)
    end = size if size - start <= max_bytes else start + max_bytes
    pos = start
    # RFC 9112 section 2.2: empty lines before a request are ignored (some clients end a body with one).
    while pos + 1 < end and data[pos] == CR and data[pos + 1] == LF:
        pos += 2
    if pos + 1 >= end and (pos >= end or data[pos] == CR):
        _check_size(size - start, max_bytes, errors.HEAD_TOO_LARGE)
        return None
    head = RequestHead(trusted)
    pos = head.scan_line(data, pos, end)
    if pos < 0:
        _check_size(size - start, max_bytes, errors.TARGET_TOO_LONG)
        return None
    pos = head.scan_fields(data, pos, end, max_fields, underscores)
    if pos < 0:
        _check_size(size - start, max_bytes, errors.HEAD_TOO_LARGE)
        return None
    head.finish(pos)
    head.judge()
    return head


def _check_size(size: int, max_bytes: int, kind: errors.Kind) -> None:
    """More bytes are needed: are they allowed?"""
    if size >= max_bytes:
        raise ProtocolError(kind, f"a head of more than {max_bytes} bytes")


class ResponseHead(Head):
    """A scanned response head. status: 100 to 599. line: the status code, a space and the reason phrase.
    has_date: it says when it was made.
    """

    def __init__(self) -> None:
        self.blank()
        self.status = 0
        self.line = b""
        self.has_date = False

    def scan_line(self, data: bytes, pos: int, end: int) -> int:
        """Scan the status line (RFC 9112 section 4); the index behind its CRLF, or -1 for need more."""
        if not _matches(data, pos, end, b"HTTP/d.d ddd"):
            return -1
        if data[pos + 5] != 49 or data[pos + 7] > 49:
            raise bad("an answer in another HTTP version")
        self.minor = data[pos + 7] - 48
        start = pos + 9
        self.status = (data[start] - 48) * 100 + (data[start + 1] - 48) * 10 + (data[start + 2] - 48)
        if self.status < 100 or self.status > 599:
            raise bad("a status code that is not from 100 to 599")
        pos = start + 3
        if pos < end and data[pos] != SP and data[pos] != CR:
            raise bad("a status code of more than three digits")
        while pos < end and VALUE[data[pos]]:
            pos += 1
        if pos + 1 >= end and (pos >= end or data[pos] == CR):
            return -1
        if data[pos] != CR or data[pos + 1] != LF:
            raise bad("a control character in the reason phrase")
        self.line = cut(data, start, pos)
        if pos == start + 3:
            self.line += b" "  # RFC 9112 section 4: the space belongs there even without a reason
        return pos + 2

    def note(self, code: int, data: bytes, start: int, end: int) -> bool:
        if code == CONTENT_LENGTH:
            self.note_length(data, start, end)
        elif code == CONNECTION:
            self.note_connection(data, start, end)
        elif code == TRANSFER_ENCODING:
            self.note_coding(data, start, end)
        elif code == UPGRADE:
            # 426 says with it what to upgrade to (RFC 9110 section 15.5.22); of a 101 we write it anew.
            self.upgrade = data[start:end]
            return self.status == 426
        elif code == DATE:
            self.has_date = True
            return True
        else:
            return code != HOP and code != TE
        return False


def scan_response(data: bytes, start: int, max_bytes: int, max_fields: int) -> ResponseHead | None:
    """Scan the response head that begins at data[start]; None: it has not all come yet.

    Raises ProtocolError. How its body is framed depends on the request too: see `response_framing`.
    """
    size = len(data)
    end = size if size - start <= max_bytes else start + max_bytes
    head = ResponseHead()
    pos = head.scan_line(data, start, end)
    if pos >= 0:
        pos = head.scan_fields(data, pos, end, max_fields, True)
    if pos < 0:
        _check_size(size - start, max_bytes, errors.HEAD_TOO_LARGE)
        return None
    head.finish(pos)
    return head


def response_framing(head: ResponseHead, to_head_request: bool) -> int:
    """How the end of this response's body is known: one of the constants of framing.py (RFC 9112 section 6.3)."""
    if to_head_request or head.status == 204 or head.status == 304 or head.status < 200:
        return NO_BODY
    if head.chunked:
        return CHUNKED
    return LENGTH if head.content_length >= 0 else UNKNOWN


class Trailers(Head):
    """A scanned trailer section. Fields that frame, route or vouch for the message are not kept: a recipient
    that merges trailers into the head would believe them (RFC 9110 section 6.5.1)."""


def scan_trailers(data: bytes, start: int, max_bytes: int, max_fields: int) -> Trailers | None:
    """Scan the trailer section that begins at data[start], to its blank line (RFC 9112 section 7.1.2).

    None: it has not all come yet. Raises ProtocolError.
    """
    size = len(data)
    end = size if size - start <= max_bytes else start + max_bytes
    section = Trailers()
    pos = section.scan_fields(data, start, end, max_fields, False)
    if pos < 0:
        _check_size(size - start, max_bytes, errors.HEAD_TOO_LARGE)
        return None
    section.end = pos
    return section
