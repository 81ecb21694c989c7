"""How the parts of requests and answers are read: paths, hosts, methods, header fields, content types, statuses.

Readers as in readers.py: each takes what was given and returns what core/spec.py wants of it, or raises a `Fault`.
"""

import re
from typing import Any
from urllib.parse import quote

from steelyard.control import addresses
from steelyard.control.fault import Fault, Faults
from steelyard.control.readers import as_text, line
from steelyard.core.paths import decoded, normal

_MEDIA_TYPE = re.compile(r"([^\s/;]+)/([^\s/;]+)")
_STATUSES = re.compile(r"([1-5])[xX]{2}|([0-9]{3})(?:-([0-9]{3}))?")
# Beside letters, digits and `_.-~`: what may stand in the path and the query of a target (RFC 3986 section 3.3, 3.4).
_OF_A_TARGET = "/?:@!$&'()*+,;=%"


def host_pattern(value: Any) -> str:
    """A host to match."""
    return addresses.parse_host_pattern(as_text(value))


def check_path(value: Any) -> str:
    """The path of a check's request."""
    text = line(value)
    if not text.startswith("/"):
        raise Fault("does not begin with '/'", f"write /{text}")
    encoded = quote(text, safe=_OF_A_TARGET)
    if encoded != text:
        raise Fault("has a character that no request line may have", f"write {encoded}")
    return text


def route_path(value: Any) -> str:
    """A path to match; a prefix when it ends in `*`."""
    text = line(value)
    if not text.startswith("/"):
        raise Fault("does not begin with '/'", "write /*, or take the key out" if text == "*" else f"write /{text}")
    if "*" in text[:-1]:
        raise Fault("has a '*' before its end", f"write {text.partition('*')[0]}*")
    for mark, name in (("?", "query"), ("#", "fragment")):
        if mark in text:
            raise Fault(f"has a {name}, which is no part of the path", f"write {text.partition(mark)[0]}")
    # What follows the last slash of a prefix may go on to be anything: `/.*` takes `/.well-known`.
    whole = text[: text.rindex("/") + 1] if text.endswith("*") else text
    if normal(whole) != decoded(whole):
        rest = text[len(whole) :]
        raise Fault("can match nothing: paths are compared in their normal form", f"write {normal(whole)}{rest}")
    return text


def method(value: Any) -> str:
    """A method, in upper case."""
    text = as_text(value)
    if not addresses.is_token(text):
        raise Fault("is not a method", "write GET, POST, ...")
    return text.upper()


def headers(value: Any) -> tuple[tuple[str, str], ...]:
    """(lower-case name, value) pairs to match."""
    if not isinstance(value, dict) or not value:
        raise Fault("must be a mapping of header names to values", "write {X-Name: value}; the value '*' takes any")
    pairs: dict[str, str] = {}
    faults: list[Fault] = []
    for name, wanted in value.items():
        try:
            if not addresses.is_token(name):
                raise Fault("is not a header's name", "use letters, digits and '-'", value=repr(name))
            if name.lower() in pairs:
                raise Fault("is written twice, as upper and lower case are one", "keep one of the two", value=name)
            pairs[name.lower()] = line(wanted)
        except Fault as fault:
            faults.append(Fault(fault.message, fault.mend, fault.value, (name,)))
    if faults:
        raise Faults(faults)
    return tuple(pairs.items())


def media_range(value: Any) -> str:
    """A content type to match."""
    text = as_text(value).lower()
    match = _MEDIA_TYPE.fullmatch(text)
    if match is None or match[1] == "*":
        raise Fault("is not a content type", "write type/subtype or type/*")
    if "*" in match[2] and match[2] != "*":
        raise Fault("has a '*' beside other text", f"write {match[1]}/*")
    return text


def content_type(value: Any) -> str:
    """The content type of an answer, with its parameters."""
    text = line(value)
    if not text.isascii() or not _MEDIA_TYPE.match(text) or "*" in text.partition(";")[0]:
        raise Fault("is not a content type", "write type/subtype, such as text/plain")
    return text


def statuses(value: Any) -> tuple[int, int]:
    """An inclusive range of statuses."""
    match = _STATUSES.fullmatch(as_text(value))
    if match is None:
        raise Fault("is not a status", "write 200, 2xx or 200-299")
    if match[1]:
        return int(match[1]) * 100, int(match[1]) * 100 + 99
    low, high = int(match[2]), int(match[3] or match[2])
    if not 100 <= low <= high <= 599:
        raise Fault("is not a range of statuses", "use 100 to 599, the lower one first")
    return low, high


def retry_status(value: Any) -> int:
    """A status that may count as a failure."""
    text = as_text(value)
    if text not in {"502", "503", "504"}:
        raise Fault("is not a status that can be retried", "use 502, 503 or 504")
    return int(text)
