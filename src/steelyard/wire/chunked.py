"""The chunked transfer coding: where a body ends, with every byte of its frame checked.

A body that is passed on stays as it came: the scanner only moves an index over it. Trailers are the exception:
they are held until their blank line, scanned like fields, and those that a recipient could mistake for ours
are left out. With `decode` the payload is collected, for a client that knows no chunks.

Sizes are hexadecimal digits and nothing else; after the data comes exactly CRLF. Python's int() would take
`0x5`, `+5` and `5_0`, and a scanner that skips two bytes unseen is CVE-2025-43859.
Source: RFC 9112 section 7.1.
"""

from typing import Final

from steelyard import errors
from steelyard.errors import ProtocolError
from steelyard.wire.grammar import CR, LF, VALUE
from steelyard.wire.http1 import scan_trailers

SEMICOLON: Final = 59

# 15 hexadecimal digits stay below 2^60: sums with them cannot overflow.
MAX_SIZE_DIGITS: Final = 15
# Who signs every chunk (S3 uploads) needs some extension bytes with the data; who sends more extension than data
# wants our time (CVE-2023-39326). So beyond this many, extensions may not outgrow the data.
MAX_EXTENSION_BYTES: Final = 4096
MAX_TRAILER_BYTES: Final = 8192
MAX_TRAILER_FIELDS: Final = 50

_SIZE: Final = 0  # in the digits of a chunk's size
_EXTENSION: Final = 1  # behind a semicolon, before the CR
_SIZE_LF: Final = 2
_DATA: Final = 3
_DATA_CR: Final = 4
_DATA_LF: Final = 5
_TRAILERS: Final = 6  # behind the last chunk's line
_DONE: Final = 7

# The value of a hexadecimal digit plus one; 0 for every other byte.
HEX: Final = bytes(int(chr(c), 16) + 1 if c < 128 and chr(c) in "0123456789abcdefABCDEF" else 0 for c in range(256))


def _bad(detail: str) -> ProtocolError:
    return ProtocolError(errors.BAD_REQUEST, detail)


class ChunkScanner:
    """Follows one chunked body through any number of reads.

    done: the body has ended. data_bytes: how much data has come, without its framing.
    passed: after a feed, the index behind the bytes to pass on as they came. tail: when done, what is to be sent
    behind them (the kept trailers and the blank line, when those were held).
    payload: with decode, the data of the chunks seen in the last feed.
    """

    def __init__(self, decode: bool = False) -> None:
        self.state = _SIZE
        self.size = 0
        self.digits = 0
        self.extension_bytes = 0
        self.data_bytes = 0
        self.done = False
        self.passed = 0
        self.tail = b""
        self.held = b""
        self.payload: list[bytes] | None = [] if decode else None

    def feed(self, data: bytes, pos: int) -> int:
        """Scan data from pos on; the index behind the last byte that belongs to the body.

        That is len(data) until the body is done. Raises ProtocolError at the first byte that breaks the rules.
        """
        end = len(data)
        state = self.state
        if self.payload:
            self.payload.clear()
        while pos < end:
            c = data[pos]
            if state == _DATA:
                take = end - pos
                if take > self.size:
                    take = self.size
                if self.payload is not None:
                    self.payload.append(data[pos : pos + take])
                pos += take
                self.data_bytes += take
                self.size -= take
                if self.size == 0:
                    state = _DATA_CR
                continue
            if state == _TRAILERS:
                self.state = state
                return self.feed_trailers(data, pos)
            pos += 1
            if state == _SIZE:
                if HEX[c]:
                    self.digits += 1
                    if self.digits > MAX_SIZE_DIGITS:
                        raise _bad("a chunk size of too many digits")
                    self.size = self.size * 16 + (HEX[c] - 1)
                elif self.digits == 0:
                    raise _bad("a chunk without a size")
                elif c == CR:
                    state = _SIZE_LF
                elif c == SEMICOLON:
                    state = _EXTENSION
                else:
                    raise _bad("a chunk size that is not a hexadecimal number")
            elif state == _EXTENSION:
                if c == CR:
                    state = _SIZE_LF
                else:
                    self.extension_bytes += 1
                    if not VALUE[c] or self.extension_bytes > MAX_EXTENSION_BYTES + self.data_bytes:
                        raise _bad("a chunk extension that is too long or has a control character")
            elif state == _SIZE_LF:
                if c != LF:
                    raise _bad("a CR without LF behind a chunk size")
                self.digits = 0
                state = _DATA if self.size > 0 else _TRAILERS
            elif state == _DATA_CR:
                if c != CR:
                    raise _bad("a chunk that is longer than its size")
                state = _DATA_LF
            else:
                if c != LF:
                    raise _bad("a CR without LF behind a chunk")
                state = _SIZE
        self.state = state
        self.passed = pos
        return pos

    def feed_trailers(self, data: bytes, pos: int) -> int:
        """The end of the body: mostly an empty line, sometimes fields."""
        held = len(self.held)
        self.passed = pos
        if held == 0 and pos + 1 < len(data) and data[pos] == CR and data[pos + 1] == LF:
            self.passed = pos + 2
            self.state = _DONE
            self.done = True
            return pos + 2
        self.held += data[pos:]
        section = scan_trailers(self.held, 0, MAX_TRAILER_BYTES, MAX_TRAILER_FIELDS)
        if section is None:
            return len(data)
        self.tail = b"".join(section.runs) + b"\r\n"
        self.held = b""
        self.state = _DONE
        self.done = True
        return pos + (section.end - held)
