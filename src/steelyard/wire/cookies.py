"""The cookies of one name out of a request's Cookie fields.

A name is exact (cookies are case-sensitive) and the first pair of that name counts: user agents send the one with
the longest path first (RFC 6265 section 5.4). Several fields are one list, as HTTP/2 sends them (RFC 9113 section
8.2.3). A value is taken as it is, double quotes too: they are part of it to a user agent (RFC 6265 section 5.2), and
whoever set the cookie without any does not get it back with them.

Pure, and linear in the fields' length; what cannot be read as a pair is passed over, never an error.
"""

from collections.abc import Iterable, Iterator


def cookie(fields: Iterable[bytes], name: bytes) -> bytes | None:
    """The value of the first cookie of this name in the values of the Cookie fields, in order; None without one."""
    return next(cookies(fields, name), None)


def cookies(fields: Iterable[bytes], name: bytes) -> Iterator[bytes]:
    """The values of all cookies of this name, in order."""
    for field in fields:
        if name in field:  # most fields that are asked for another's cookie end here
            for pair in field.split(b";"):
                key, equals, value = pair.partition(b"=")
                if equals and key.strip(b" \t") == name:
                    yield value.strip(b" \t")
