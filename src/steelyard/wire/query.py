"""The values of one name out of a request target's query, read as forms write it.

Source: WHATWG URL, section 5.1 (application/x-www-form-urlencoded parsing): pairs between `&`, the name before the
first `=`, `+` for a space, then percent-decoding, then UTF-8 with U+FFFD for what is none. A pair without `=` is a name
with an empty value. A `%` that no two hexadecimal digits follow stands for itself.

Pure, and linear in the target's length, which the listener bounds; nothing in it is an error.
"""

from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

_PLUS: Final = b"+"
_SPACE: Final = b" "


def query_value(target: bytes, name: str) -> str | None:
    """The first value of this name in the target's query; None when the name is not there."""
    return next(query_values(target, name), None)


def query_values(target: bytes, name: str) -> Iterator[str]:
    """All values of this name in the target's query, in order."""
    wanted = name.encode("utf-8", "replace")
    for pair in target.partition(b"?")[2].split(b"&"):
        key, _, value = pair.partition(b"=")
        if pair and _decoded(key) == wanted:
            yield _decoded(value).decode("utf-8", "replace")


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(_PLUS, _SPACE))
