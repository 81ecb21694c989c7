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
from steelyard.wire.framing import CHUNKED, LENGTH, NO_BODY, UNKNOWN
from steelyard.wire.grammar import COLON, CR, HOST_CHARS, HTAB, LF, SP, TARGET, TOKEN, UNDERSCORE, VALUE
from steelyard.wire.slices import cut

# No field name that anyone uses is longer; CVE-2021-40346 began with one of 256 bytes and more.
MAX_NAME_BYTES: Final = 255
# 10^18 - 1 fits in a signed 64-bit number; a longer number is not a length but an attack.
MAX_LENGTH_DIGITS: Final = 18

HOST: Final = 1
CONTENT_LENGTH: Final = 2
TRANSFER_ENCODING: Final = 3
CONNECTION: Final = 4
UPGRADE: Final = 5
EXPECT: Final = 6
TE: Final = 7
HOP: Final = 8  # only between two neighbours: never passed on
FORWARDED_FOR: Final = 9
FORWARDED_PROTO: Final = 10
FORWARDED_HOST: Final = 11
FORWARDED_OTHER: Final = 12  # claims about the client: passed on from trusted proxies alone
REAL_IP: Final = 13

# The fields that a proxy must understand. Those of code 0 are kept, but Connection may not remove them.
_KNOWN: Final[dict[bytes, int]] = {
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"te": TE,
    b"keep-alive": HOP,
    b"proxy-connection": HOP,
    b"proxy-authorization": HOP,
    b"http2-settings": HOP,
    b"proxy": HOP,  # CVE-2016-5385: CGI programs read it as the variable HTTP_PROXY
    b"x-forwarded-for": FORWARDED_FOR,
    b"x-forwarded-proto": FORWARDED_PROTO,
    b"x-forwarded-host": FORWARDED_HOST,
    b"x-forwarded-port": FORWARDED_OTHER,
    b"x-forwarded-prefix": FORWARDED_OTHER,
    b"x-forwarded-server": FORWARDED_OTHER,
    b"forwarded": FORWARDED_OTHER,
    b"x-real-ip": REAL_IP,
}
_SLOT_MASK: Final = 4095


def _slot(name: bytes) -> int:
    """Where a lower-case name stands in SLOTS: the same rolling hash that the field loop keeps."""
    h = 0
    for c in name:
        h = (h * 33 + c) & 0xFFFFFF
    return (h ^ (h >> 12)) & _SLOT_MASK


def _build_slots() -> tuple[bytes, list[bytes]]:
    """A perfect hash over the known names: a slot holds 1 + the name's index, 0 for none."""
    names = list(_KNOWN)
    slots = bytearray(_SLOT_MASK + 1)
    for index, name in enumerate(names):
        assert slots[_slot(name)] == 0, "two known names share a slot: change the hash"
        slots[_slot(name)] = index + 1
    return bytes(slots), names


SLOTS, NAMES = _build_slots()
CODES: Final = bytes(_KNOWN.values())


def _bad(detail: str) -> ProtocolError:
    return ProtocolError(errors.BAD_REQUEST, detail)


def _same(data: bytes, start: int, end: int, lower: bytes) -> bool:
    """Whether data[start:end] is `lower`, whatever its case; lower is a token in lower case."""
    n = len(lower)
    if end - start != n:
        return False
    for i in range(n):
        if TOKEN[data[start + i]] != lower[i]:
            return False
    return True


def _content_length(data: bytes, start: int, end: int) -> int:
    """The number in data[start:end]: 1 to 18 ASCII digits and nothing else (RFC 9110 section 8.6)."""
    if end == start or end - start > MAX_LENGTH_DIGITS:
        raise _bad("Content-Length is not a number of 1 to 18 digits")
    number = 0
    for i in range(start, end):
        c = data[i]
        if c < 48 or c > 57:
            raise _bad("Content-Length is not a number")
        number = number * 10 + (c - 48)
    return number


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


class Head:
    """What a request's and a response's head have in common.

    raw: the head's bytes; fields: where in them the field lines begin. end: the index behind the head in the
    bytes that were scanned. minor: of HTTP/1.minor. content_length: -1 when not given; length_digits: the same in
    its shortest form. chunked: the body is framed by chunks. close, keep_alive: what Connection says.
    upgrade: the protocol, when Connection names Upgrade too.
    runs: the field lines to pass on, in order, each ending in CRLF.
    """

    def __init__(self) -> None:
        self.blank()

    def blank(self) -> None:
        """Set everything as before a scan. Subclasses call it in place of super().__init__(), which costs more."""
        self.raw = b""
        self.fields = 0
        self.end = 0
        self.minor = 1
        self.content_length = -1
        self.length_digits = b""
        self.chunked = False
        self.close = False
        self.keep_alive = False
        self.names_upgrade = False
        self.upgrade: bytes | None = None
        self.options: list[bytes] | None = None
        self.runs: list[bytes] = []

    def get(self, name: bytes) -> bytes | None:
        """The value of the field of this lower-case name, several joined by `, `; None when it is not there.

        Walks the lines anew: only for a route, a key or a log that asks.
        """
        found: bytes | None = None
        for line in self.raw[self.fields : len(self.raw) - 4].split(b"\r\n"):
            colon = line.find(b":")
            if line[:colon].lower() == name:
                value = line[colon + 1 :].strip(b" \t")
                found = value if found is None else found + b", " + value
        return found

    def note(self, code: int, data: bytes, start: int, end: int) -> bool:
        """Take in the value of a known field; whether its line is kept. Each kind of head that keeps any says which."""
        return False

    def scan_fields(self, data: bytes, pos: int, end: int, max_fields: int, underscores: bool) -> int:
        """Scan field lines from pos to the blank line (RFC 9112 section 5).

        Returns the index behind the blank line, or -1 when data[:end] ends before it.
        """
        run = pos
        count = 0
        while True:
            line = pos
            if pos >= end:
                return -1
            c = data[pos]
            if c == CR:
                if pos + 1 >= end:
                    return -1
                if data[pos + 1] != LF:
                    raise _bad("a CR without LF")
                if run < line:
                    self.runs.append(cut(data, run, line))
                return pos + 2
            h = 0
            underscore = 0
            while True:
                t = TOKEN[c]
                if t == 0:
                    break
                if t == UNDERSCORE:
                    underscore = 1
                h = (h * 33 + t) & 0xFFFFFF
                pos += 1
                if pos >= end:
                    return -1
                c = data[pos]
            name_end = pos
            if c != COLON or name_end == line or name_end - line > MAX_NAME_BYTES:
                raise _bad("a line that does not begin with a field name and a colon")
            pos += 1
            while pos < end and (data[pos] == SP or data[pos] == HTAB):
                pos += 1
            value = pos
            while pos < end and VALUE[data[pos]]:
                pos += 1
            if pos >= end:
                return -1
            if data[pos] != CR:
                raise _bad("a control character in a field value")
            if pos + 1 >= end:
                return -1
            if data[pos + 1] != LF:
                raise _bad("a CR without LF")
            value_end = pos
            while value_end > value and (data[value_end - 1] == SP or data[value_end - 1] == HTAB):
                value_end -= 1
            pos += 2
            count += 1
            if count > max_fields:
                raise ProtocolError(errors.HEAD_TOO_LARGE, f"more than {max_fields} fields")
            index = SLOTS[(h ^ (h >> 12)) & _SLOT_MASK]
            if index and _same(data, line, name_end, NAMES[index - 1]):
                keep = self.note(CODES[index - 1], data, value, value_end)
            elif underscore:
                keep = underscores and not _shadows_known(data[line:name_end])
            elif name_end - line > 12 and _same(data, line, line + 12, b"x-forwarded-"):
                keep = self.note(FORWARDED_OTHER, data, value, value_end)
            else:
                keep = True
            if not keep:
                if run < line:
                    self.runs.append(cut(data, run, line))
                run = pos

    def note_connection(self, data: bytes, start: int, end: int) -> None:
        """Read the list in a Connection field (RFC 9110 section 7.6.1)."""
        if _same(data, start, end, b"keep-alive"):
            self.keep_alive = True
            return
        for part in data[start:end].split(b","):
            option = part.strip(b" \t").lower()
            if option == b"close":
                self.close = True
            elif option == b"keep-alive":
                self.keep_alive = True
            elif option == b"upgrade":
                self.names_upgrade = True
            elif option and not _ours(option):
                if self.options is None:
                    self.options = []
                self.options.append(option)

    def note_length(self, data: bytes, start: int, end: int) -> None:
        if self.content_length >= 0:
            raise _bad("two Content-Length fields")
        self.content_length = _content_length(data, start, end)
        self.length_digits = cut(data, start, end) if data[start] != 48 else b"%d" % self.content_length

    def note_coding(self, data: bytes, start: int, end: int) -> None:
        if self.chunked:
            raise _bad("two Transfer-Encoding fields")
        if not _same(data, start, end, b"chunked"):
            raise ProtocolError(errors.CODING_UNKNOWN, "a transfer coding other than chunked")
        self.chunked = True

    def finish(self, data: bytes, start: int, end: int) -> None:
        """What can be judged only when all fields are known. The head lies in data[start:end]."""
        self.end = end
        if self.chunked and (self.content_length >= 0 or self.minor == 0):
            # RFC 9112 section 6.1: may be an attempt to smuggle, and HTTP/1.0 knows no chunks.
            raise _bad("Transfer-Encoding beside Content-Length, or in HTTP/1.0")
        if self.options is not None:
            self.runs = _without(self.runs, self.options)
        if start == 0 and end == len(data):
            self.raw = data
        else:  # what came behind the head is not kept alive by it
            self.raw = cut(data, start, end)
            self.fields -= start


def _ours(name: bytes) -> bool:
    """Whether this lower-case name is of a field that a proxy writes or judges itself."""
    return name in _KNOWN or name.startswith(b"x-forwarded-")


def _shadows_known(name: bytes) -> bool:
    """Whether CGI or WSGI would read this name as that of a field that we write ourselves."""
    return _ours(name.lower().replace(b"_", b"-"))


def _without(runs: list[bytes], names: list[bytes]) -> list[bytes]:
    """The runs without the lines of these fields: Connection named them as meant for us alone."""
    dropped = frozenset(names)  # a client may name thousands, and a list would be searched for each line
    lines = b"".join(runs).splitlines(keepends=True)
    return [line for line in lines if line.partition(b":")[0].lower() not in dropped]


class RequestHead(Head):
    """A scanned request head.

    method: as sent (methods are case-sensitive). target: in origin form, or `*`. host: of the target when that
    was in absolute form, else of the Host field; None for HTTP/1.0 without one.
    forwarded_for: the values of X-Forwarded-For in order; has_*: a trusted proxy sent the field.
    """

    def __init__(self, trusted: bool) -> None:
        self.blank()
        self.trusted = trusted
        self.method = b""
        self.target = b""
        self.host: bytes | None = None
        self.authority: bytes | None = None
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
            raise _bad("a request line that does not begin with a method and a space")
        self.method = cut(data, start, pos)
        if _same(data, start, pos, b"connect") or _same(data, start, pos, b"trace"):
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
            raise _bad("a character in the target that may not stand there")
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
                raise _bad("the target * is for OPTIONS alone")
            return
        scheme, mark, rest = self.target.partition(b"://")
        if not mark or scheme.lower() not in (b"http", b"https"):
            raise _bad("a target that is neither a path nor an http URL")
        cut = len(rest)
        for delimiter in (b"/", b"?"):
            found = rest.find(delimiter)
            if 0 <= found < cut:
                cut = found
        self.authority = rest[:cut]
        if not self.authority or not valid_host(self.authority):
            raise _bad("a target whose authority is not a host with an optional port")
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
                raise _bad("two Host fields")
            self.host = cut(data, start, end)
            if not valid_host(self.host):
                raise _bad("Host is not a host with an optional port")
        elif code == CONNECTION:
            self.note_connection(data, start, end)
        elif code == CONTENT_LENGTH:
            self.note_length(data, start, end)
        elif code == TRANSFER_ENCODING:
            self.note_coding(data, start, end)
        elif code == EXPECT:
            return self.note_expect(data, start, end)
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
        if _same(data, start, end, b"100-continue"):
            self.expects_continue = self.minor == 1
            return self.expects_continue
        return True

    def judge(self) -> None:
        """The rules that need the whole head."""
        if self.host is None and self.minor == 1:
            raise _bad("HTTP/1.1 without Host")  # RFC 9112 section 3.2
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
                raise _bad("a start line without an HTTP version")
        elif c != pattern[i]:
            raise _bad("a start line without an HTTP version")
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
    begin = pos
    pos = head.scan_line(data, pos, end)
    if pos < 0:
        _check_size(size - start, max_bytes, errors.TARGET_TOO_LONG)
        return None
    head.fields = pos
    pos = head.scan_fields(data, pos, end, max_fields, underscores)
    if pos < 0:
        _check_size(size - start, max_bytes, errors.HEAD_TOO_LARGE)
        return None
    head.finish(data, begin, pos)
    head.judge()
    return head


def _check_size(size: int, max_bytes: int, kind: errors.Kind) -> None:
    """More bytes are needed: are they allowed?"""
    if size >= max_bytes:
        raise ProtocolError(kind, f"a head of more than {max_bytes} bytes")


class ResponseHead(Head):
    """A scanned response head. status: 100 to 599. line: the status code, a space and the reason phrase."""

    def __init__(self) -> None:
        self.blank()
        self.status = 0
        self.line = b""

    def scan_line(self, data: bytes, pos: int, end: int) -> int:
        """Scan the status line (RFC 9112 section 4); the index behind its CRLF, or -1 for need more."""
        if not _matches(data, pos, end, b"HTTP/d.d ddd"):
            return -1
        if data[pos + 5] != 49 or data[pos + 7] > 49:
            raise _bad("an answer in another HTTP version")
        self.minor = data[pos + 7] - 48
        start = pos + 9
        self.status = (data[start] - 48) * 100 + (data[start + 1] - 48) * 10 + (data[start + 2] - 48)
        if self.status < 100 or self.status > 599:
            raise _bad("a status code that is not from 100 to 599")
        pos = start + 3
        if pos < end and data[pos] != SP and data[pos] != CR:
            raise _bad("a status code of more than three digits")
        while pos < end and VALUE[data[pos]]:
            pos += 1
        if pos + 1 >= end and (pos >= end or data[pos] == CR):
            return -1
        if data[pos] != CR or data[pos + 1] != LF:
            raise _bad("a control character in the reason phrase")
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
        head.fields = pos
        pos = head.scan_fields(data, pos, end, max_fields, True)
    if pos < 0:
        _check_size(size - start, max_bytes, errors.HEAD_TOO_LARGE)
        return None
    head.finish(data, start, pos)
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
