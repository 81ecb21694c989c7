"""One field out of a JSON body, named by a path: `messages.0.content[:256]`.

A path is names and list indexes between dots; `[:N]` at its end keeps the first N characters. A string is taken as it
is, a number as it was written, a boolean as `true` or `false`; anything else (an object, a list, null, nothing there)
is None. Of equal names in one object the last counts, as for most readers of JSON (RFC 8259 section 4).

What a client sends costs no more than a pass over it and raises nothing: numbers are never converted (a number of
60,000 digits would cost seconds, or an exception), and nesting too deep for the parser's stack is no JSON to us.
"""

from functools import lru_cache
from json import JSONDecoder
from typing import Final, NamedTuple, NoReturn

MAX_DIGITS: Final = 9  # of an index or a length in a path: more than any body has
PATHS: Final = 256  # kept parsed; a configuration names a few


class FieldPath(NamedTuple):
    """Where a field is. steps: names and indexes, from outside in. length: how many characters of it, None for all."""

    steps: tuple[str, ...]
    length: int | None


@lru_cache(PATHS)
def field_path(text: str) -> FieldPath:
    """The path that is written so. Any text is one; a name with a dot in it cannot be written."""
    length = None
    if text.endswith("]"):
        before, mark, digits = text[:-1].rpartition("[:")
        if mark and _is_number(digits):
            text, length = before, int(digits)
    return FieldPath(tuple(text.split(".")), length)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS


def is_json(content_type: bytes | None) -> bool:
    """Whether a body of this Content-Type is JSON: `application/json`, or a type whose structure is (`+json`)."""
    if content_type is None:
        return False
    media_type = content_type.partition(b";")[0].strip(b" \t").lower()
    return media_type == b"application/json" or (b"/" in media_type and media_type.endswith(b"+json"))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")  # NaN and Infinity, which Python would take


_DECODER: Final = JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse_constant)


def parse(data: bytes) -> object:
    """The document, its numbers as text; None when it is no JSON in UTF-8 (RFC 8259 section 8.1), or too deep."""
    try:
        return _DECODER.decode(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def field(document: object, path: FieldPath) -> str | None:
    """The text of what stands at this path in a parsed document; None when that has no text."""
    for step in path.steps:
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and _is_number(step) and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    if isinstance(document, bool):
        return "true" if document else "false"
    return document[: path.length] if isinstance(document, str) else None
