"""The normal form of a request's path, and the other forms in which a backend might read it.

Routes compare the normal form: query cut off (RFC 3986 section 3.4), percent-encoded bytes decoded (2.1), except
those of `/` and `\\`, which would change where segments end (2.2); dot segments removed (5.2.4); runs of `/` made
one, as nginx does. The path itself is forwarded as it came.

Servers differ on an encoded slash (`%2F`) and on backslashes: some keep them, some decode them, some take both as
`/`. `readings` gives all of these forms.

Total: any str has a normal form, nothing raises. Bytes that are not UTF-8 become lone surrogates
(PEP 383, "surrogateescape").
"""

import re
from typing import Final

_ENCODED: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_SLASHES: Final = re.compile(r"//+")


def normal(path: str) -> str:
    """The form that routes are compared with."""
    return readings(path)[0]


def decoded(path: str) -> str:
    """Percent-encoded bytes decoded, but for those of `/` and `\\`; nothing else is changed."""
    return _decode(path, b"%2F", b"%5C") if "%" in path else path


def readings(path: str) -> tuple[str, ...]:
    """The normal form first, then every other form that some server would read; mostly there is none."""
    path = path.partition("?")[0]
    if "%" not in path and "\\" not in path:
        return (_flattened(path),)
    found = [_flattened(decoded(path))]
    # A server that decodes only slashes, one that takes only backslashes for slashes, and one that does both.
    for slash, backslash in ((b"/", b"\\"), (b"%2F", b"/"), (b"/", b"/")):
        reading = _decode(path, slash, backslash)
        if backslash == b"/":
            reading = reading.replace("\\", "/")
        reading = _flattened(reading)
        if reading not in found:
            found.append(reading)
    return tuple(found)


def _decode(path: str, slash: bytes, backslash: bytes) -> str:
    """Decode once, writing an encoded slash and backslash as given."""

    def text(run: re.Match[str]) -> str:
        raw = bytes.fromhex(run[0].replace("%", ""))
        return raw.replace(b"/", slash).replace(b"\\", backslash).decode("utf-8", "surrogateescape")

    return _ENCODED.sub(text, path)


def _flattened(path: str) -> str:
    """Runs of slashes made one, and dot segments removed; what does not begin with a slash is left alone."""
    if not path.startswith("/"):
        return path
    if "//" in path:
        path = _SLASHES.sub("/", path)
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")  # `/a/.` and `/a/b/..` mean the directory `/a/`
    return "/" + "/".join(kept)
