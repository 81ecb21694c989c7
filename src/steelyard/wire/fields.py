"""Field lines: one strict pass over them, no object per field, for requests, answers and trailers alike.

A scan notes the few fields that matter to a proxy and gathers, of all others, the *runs* of bytes to pass on:
every byte of a run was checked against the grammar. Which of the noted fields are kept is for the kind of head
to say (http1.py).

Compiled with bounds checks off; every index below is guarded by a comparison with `end`.
Source: RFC 9112 section 5, RFC 9110 sections 5 and 7.6.1.
"""

from typing import Final

from steelyard import errors
from steelyard.errors import ProtocolError
from steelyard.wire.grammar import COLON, CR, HTAB, LF, SP, TOKEN, UNDERSCORE, VALUE
from steelyard.wire.known import CODES, FORWARDED_OTHER, NAMES, SLOT_MASK, SLOTS, is_ours, shadows_ours
from steelyard.wire.slices import cut

# No field name that anyone uses is longer; CVE-2021-40346 began with one of 256 bytes and more.
MAX_NAME_BYTES: Final = 255
# 10^18 - 1 fits in a signed 64-bit number; a longer number is not a length but an attack.
MAX_LENGTH_DIGITS: Final = 18


def bad(detail: str) -> ProtocolError:
    return ProtocolError(errors.BAD_REQUEST, detail)


def same(data: bytes, start: int, end: int, lower: bytes) -> bool:
    """Whether data[start:end] is `lower`, whatever its case; lower is a token in lower case."""
    n = len(lower)
    if end - start != n:
        return False
    for i in range(n):
        if TOKEN[data[start + i]] != lower[i]:
            return False
    return True


def content_length_of(data: bytes, start: int, end: int) -> int:
    """The number in data[start:end]: 1 to 18 ASCII digits and nothing else (RFC 9110 section 8.6)."""
    if end == start or end - start > MAX_LENGTH_DIGITS:
        raise bad("Content-Length is not a number of 1 to 18 digits")
    number = 0
    for i in range(start, end):
        c = data[i]
        if c < 48 or c > 57:
            raise bad("Content-Length is not a number")
        number = number * 10 + (c - 48)
    return number


class Head:
    """What a request's and a response's head have in common.

    end: the index behind the head in the bytes that were scanned. minor: of HTTP/1.minor. content_length: -1 when
    not given; length_digits: the same in its shortest form. chunked: the body is framed by chunks.
    close, keep_alive: what Connection says. upgrade: the protocol, when Connection names Upgrade too.
    runs: the field lines to pass on, in order, each ending in CRLF.
    """

    def __init__(self) -> None:
        self.blank()

    def blank(self) -> None:
        """Set everything as before a scan. Subclasses call it in place of super().__init__(), which costs more."""
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
        """The value of the kept field of this lower-case name, several joined by `, `; None when it is not there.

        What is not passed on is not found: a route on X-Real-IP must not believe what a backend is not told.
        Walks the lines anew, only for a route, a key or a log that asks.
        """
        values = self.values(name)
        return b", ".join(values) if values else None

    def values(self, name: bytes) -> list[bytes]:
        """As `get`, the value of each of its fields: for the few that are no lists with commas (Cookie)."""
        found = []
        size = len(name)
        for line in b"".join(self.runs).splitlines():
            if len(line) > size and line[size] == COLON and same(line, 0, size, name):
                found.append(line[size + 1 :].strip(b" \t"))  # noqa: PERF401 (in a comprehension the line has no C type)
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
                    raise bad("a CR without LF")
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
                raise bad("a line that does not begin with a field name and a colon")
            pos += 1
            while pos < end and (data[pos] == SP or data[pos] == HTAB):
                pos += 1
            value = pos
            while pos < end and VALUE[data[pos]]:
                pos += 1
            if pos >= end:
                return -1
            if data[pos] != CR:
                raise bad("a control character in a field value")
            if pos + 1 >= end:
                return -1
            if data[pos + 1] != LF:
                raise bad("a CR without LF")
            value_end = pos
            while value_end > value and (data[value_end - 1] == SP or data[value_end - 1] == HTAB):
                value_end -= 1
            pos += 2
            count += 1
            if count > max_fields:
                raise ProtocolError(errors.HEAD_TOO_LARGE, f"more than {max_fields} fields")
            index = SLOTS[(h ^ (h >> 12)) & SLOT_MASK]
            if index and same(data, line, name_end, NAMES[index - 1]):
                keep = self.note(CODES[index - 1], data, value, value_end)
            elif underscore:
                keep = underscores and not shadows_ours(data[line:name_end])
            elif name_end - line > 12 and same(data, line, line + 12, b"x-forwarded-"):
                keep = self.note(FORWARDED_OTHER, data, value, value_end)
            else:
                keep = True
            if not keep:
                if run < line:
                    self.runs.append(cut(data, run, line))
                run = pos

    def note_connection(self, data: bytes, start: int, end: int) -> None:
        """Read the list in a Connection field (RFC 9110 section 7.6.1)."""
        if same(data, start, end, b"keep-alive"):
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
            elif option and not is_ours(option):
                if self.options is None:
                    self.options = []
                self.options.append(option)

    def note_length(self, data: bytes, start: int, end: int) -> None:
        if self.content_length >= 0:
            raise bad("two Content-Length fields")
        self.content_length = content_length_of(data, start, end)
        self.length_digits = cut(data, start, end) if data[start] != 48 else b"%d" % self.content_length

    def note_coding(self, data: bytes, start: int, end: int) -> None:
        if self.chunked:
            raise bad("two Transfer-Encoding fields")
        if not same(data, start, end, b"chunked"):
            raise ProtocolError(errors.CODING_UNKNOWN, "a transfer coding other than chunked")
        self.chunked = True

    def finish(self, end: int) -> None:
        """What can be judged only when all fields are known. end: the index behind the head."""
        self.end = end
        if self.chunked and (self.content_length >= 0 or self.minor == 0):
            # RFC 9112 section 6.1: may be an attempt to smuggle, and HTTP/1.0 knows no chunks.
            raise bad("Transfer-Encoding beside Content-Length, or in HTTP/1.0")
        if self.options is not None:
            self.runs = _without(self.runs, self.options)


def _without(runs: list[bytes], names: list[bytes]) -> list[bytes]:
    """The runs without the lines of these fields: Connection named them as meant for us alone."""
    dropped = frozenset(names)  # a client may name thousands, and a list would be searched for each line
    lines = b"".join(runs).splitlines(keepends=True)
    return [line for line in lines if line.partition(b":")[0].lower() not in dropped]
