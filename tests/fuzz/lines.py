"""Field lines as a stranger reads them: one regular expression, and nothing shared with the scanners."""

import re
from collections.abc import Iterable
from typing import Final

# RFC 9110 sections 5.1 and 5.5.
LINE: Final = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)[ \t]*"
)
# What a message may say once at most, or somebody in the row will read another one than his neighbour.
ONCE: Final = (
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"upgrade",
    b"x-forwarded-for",
    b"x-real-ip",
)


def fields(head: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a head with its blank line, names in lower case; holds that each line is well-formed."""
    assert head.endswith(b"\r\n\r\n"), "a head without its end"
    found = []
    for line in head[:-4].split(b"\r\n")[1:]:
        match = LINE.fullmatch(line)
        assert match is not None, f"a line that is no field: {line!r}"
        found.append((match[1].lower(), match[2]))
    return found


def one_meaning(sent: list[tuple[bytes, bytes]]) -> None:
    """Hold that nothing is said twice that may be said once, and that there is one framing at most."""
    names = [name for name, _ in sent]
    for name in ONCE:
        assert names.count(name) <= 1, f"{name!r} is there twice"
    assert not {b"content-length", b"transfer-encoding"} <= set(names), "two framings"


def kept_in_order(kept: Iterable[bytes], data: bytes) -> None:
    """Hold that each kept line stood in the data as a line, in this order."""
    at = data.find(b"\n") + 1 if not data.startswith(b"\r\n") else 0
    for line in kept:
        found = data.find(b"\n" + line, max(at - 1, 0))
        assert found >= 0 or (at == 0 and data.startswith(line)), (
            f"a line that nobody sent, or in another order: {line!r}"
        )
        at = found + 1 + len(line) if found >= 0 else len(line)
