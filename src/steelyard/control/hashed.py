"""What a policy hashes, and into what: how `key`, `table_size` and `options` of a policy are read; and the
`key` of a rate limit.

Readers as in readers.py. A body's field is a dotted path into JSON, with numbers for the places of a list:
`body:messages.0.content`; `[:256]` behind it takes the first 256 characters.
"""

import re
from typing import Any, Final

from steelyard.control.addresses import is_token
from steelyard.control.fault import Fault, Faults
from steelyard.control.nearest import did_you_mean
from steelyard.control.readers import as_text, integer
from steelyard.core.ratelimit import GLOBAL

KEYS: Final = ("client_ip", "path", "url", "header:NAME", "cookie:NAME", "query:NAME", "body:FIELD")
# A limit may have these too, and none from a body.
LIMIT_KEYS: Final = (*KEYS[:-1], "host", "method", GLOBAL)
UNKNOWN: Final = "unknown key"
# Envoy's bound, with the reason that a larger one is slow to fill: 20 MB of table a pool.
LARGEST_TABLE: Final = 5_000_011

_FIELD = re.compile(r"[^.\[\]\s]+(\.[^.\[\]\s]+)*")
_FIRST = re.compile(r"\[:[1-9][0-9]{0,5}\]")
# RFC 6265bis, 4.1.3: a browser drops such a cookie when it comes without Secure, in whatever letters.
_PROMISE = re.compile("__(host|secure)-", re.IGNORECASE)
_QUERY_NAME = re.compile(r"[^\x00-\x20\x7f&=#]+")


def key(value: Any) -> str:
    """What a policy hashes."""
    text = as_text(value)
    if text in ("client_ip", "path", "url"):
        return text
    kind, colon, name = text.partition(":")
    if colon and kind == "header":
        if not is_token(name):
            raise Fault("does not name a header", "write header:NAME, such as header:X-User")
        return f"header:{name.lower()}"
    if colon and kind == "cookie":
        if not is_token(name):
            raise Fault("does not name a cookie", "write cookie:NAME, such as cookie:session")
        return text
    if colon and kind == "query":
        if not _QUERY_NAME.fullmatch(name):
            raise Fault("does not name a parameter of the query", "write query:NAME, such as query:user")
        return text
    if colon and kind == "body":
        _check_field(name)
        return text
    raise Fault(UNKNOWN, did_you_mean(text, KEYS))


def limit_key(value: Any) -> str:
    """What tells the clients of a rate limit apart."""
    text = as_text(value)
    if text in ("host", "method", GLOBAL):
        return text
    if text.startswith("body:"):
        raise Fault("cannot be a limit's key: a limit is asked before the body comes", did_you_mean(text, LIMIT_KEYS))
    try:
        return key(text)
    except Fault as fault:
        if fault.message != UNKNOWN:
            raise
        raise Fault(UNKNOWN, did_you_mean(text, LIMIT_KEYS)) from None


def cookie_name(value: Any) -> str:
    """The name of a cookie that we give."""
    text = as_text(value)
    if not is_token(text):
        raise Fault("is not a cookie's name", "use letters, digits, '-' and '_'")
    if (prefix := _PROMISE.match(text)) is not None:
        message = f"begins with {prefix[0]}, which browsers take over TLS alone, and there is none yet"
        raise Fault(message, f"write {text[prefix.end() :] or 'steelyard'}")
    return text


def _check_field(text: str) -> None:
    path, bracket, rest = text.partition("[")
    if bracket and not _FIRST.fullmatch(bracket + rest):
        place = re.fullmatch(r"(\d+)\](.*)", rest)
        mend = f"write body:{path}.{place[1]}{place[2]}" if place else f"write body:{path}[:256]"
        raise Fault("has brackets that are not [:N], the first N characters", mend)
    if not _FIELD.fullmatch(path):
        raise Fault("does not name a field of a JSON body", "write body:FIELD, such as body:messages.0.content[:256]")


def table_size(value: Any) -> int:
    """A prime."""
    size = integer(2, LARGEST_TABLE)(value)
    if not is_prime(size):
        raise Fault("is not a prime", f"write {nearest_prime(size)}")
    return size


def is_prime(number: int) -> bool:
    """By trial: some 1100 divisions for the largest table."""
    return number >= 2 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def nearest_prime(number: int) -> int:
    """The prime that is least far away; the larger one of two, up to the largest table."""
    for distance in range(LARGEST_TABLE):
        for candidate in (number + distance, number - distance):
            if candidate <= LARGEST_TABLE and is_prime(candidate):
                return candidate
    raise AssertionError("2 is a prime")


def options(value: Any) -> tuple[tuple[str, str], ...]:
    """What a policy of one's own is given to read: names and texts."""
    if not isinstance(value, dict):
        raise Fault("must be a mapping of names to texts", "write {NAME: TEXT}")
    pairs: list[tuple[str, str]] = []
    faults: list[Fault] = []
    for name, text in value.items():
        try:
            pairs.append((name, as_text(text)))
        except Fault as fault:
            faults.append(Fault(fault.message, fault.mend, fault.value, (name,)))
    if faults:
        raise Faults(faults)
    return tuple(pairs)
