"""The fields that a proxy must understand, and how to find one among all others in one look.

The field loop keeps a rolling hash of each name; `SLOTS` says which known name it can be, if any. Not compiled;
fields.py and http1.py import the tables and codes into C variables of their own.
"""

from typing import Final

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
DATE: Final = 14  # kept like any other; an answer without one gets ours
VIA: Final = 15  # kept, and counted

# The fields that a proxy must understand. Those of code 0 are kept, but Connection may not remove them.
KNOWN: Final[dict[bytes, int]] = {
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
    b"date": DATE,
    b"via": VIA,
}
SLOT_MASK: Final = 4095


def slot_of(name: bytes) -> int:
    """Where a lower-case name stands in SLOTS: the same rolling hash that the field loop keeps."""
    h = 0
    for c in name:
        h = (h * 33 + c) & 0xFFFFFF
    return (h ^ (h >> 12)) & SLOT_MASK


def _build_slots() -> tuple[bytes, list[bytes]]:
    """A perfect hash over the known names: a slot holds 1 + the name's index, 0 for none."""
    names = list(KNOWN)
    slots = bytearray(SLOT_MASK + 1)
    for index, name in enumerate(names):
        assert slots[slot_of(name)] == 0, "two known names share a slot: change the hash"
        slots[slot_of(name)] = index + 1
    return bytes(slots), names


SLOTS, NAMES = _build_slots()
CODES: Final = bytes(KNOWN.values())


def is_ours(name: bytes) -> bool:
    """Whether this lower-case name is of a field that a proxy writes or judges itself."""
    return KNOWN.get(name, DATE) != DATE or name.startswith(b"x-forwarded-")


def shadows_ours(name: bytes) -> bool:
    """Whether CGI or WSGI would read this name as that of a field that we write ourselves."""
    return is_ours(name.lower().replace(b"_", b"-"))
