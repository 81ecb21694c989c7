"""Which bytes may stand where: tables of 256 entries, one look-up a byte.

Not compiled; the scanners import the tables into C variables of their own.
Source: RFC 9110 section 5, RFC 9112 section 3, RFC 3986 section 3.2.2.
"""

from typing import Final

CR: Final = 13
LF: Final = 10
SP: Final = 32
HTAB: Final = 9
COLON: Final = 58
UNDERSCORE: Final = 95

# RFC 9110 section 5.6.2: the characters of a token, each mapped to its lower case; 0 for all others.
_TCHAR: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
TOKEN: Final = bytes(ord(chr(c).lower()) if c in list(_TCHAR) else 0 for c in range(256))
# Section 5.5: HTAB, SP, VCHAR and obs-text make a field value; no other control character does.
VALUE: Final = bytes(int(c == 9 or (c >= 32 and c != 127)) for c in range(256))
# RFC 9112 section 3.2: a request target has no space, no control character, and never a fragment.
TARGET: Final = bytes(int(33 <= c <= 126 and c != 35) for c in range(256))
# RFC 3986 section 3.2.2, without percent-encoding's looser cousins: reg-name, IP literal, port.
HOST_CHARS: Final = bytes(
    int(chr(c).isascii() and (chr(c).isalnum() or c in list(b"-._~!$&'()*+,;=:%[]"))) for c in range(256)
)
