"""How each kind of value is read: from the text of a file, or from a Python value of an embedding program.

A reader takes what was given, and returns it in plain units or raises a `Fault`. lines.py guesses at nothing,
so a number, a switch and a word all come as text; Python's own ints and bools are taken for what they are.
"""

import pwd
import re
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from steelyard.control import addresses, plugins, units
from steelyard.control.fault import Fault
from steelyard.control.nearest import did_you_mean
from steelyard.core.limiter import MOST_RATE
from steelyard.core.spec import After

if TYPE_CHECKING:  # a worker reads no configuration, but needs some of what is here: it need not load pydantic
    from pydantic import ValidationInfo

TRUE: Final = frozenset({"true", "yes", "on"})
FALSE: Final = frozenset({"false", "no", "off"})
NO_VALUE: Final = ("has no value", "write one, or take the key out")
# A year: any timer can keep it, and nobody waits longer.
LONGEST: Final = "8760h"
# A pebibyte: any counter can hold it.
LARGEST: Final = "1048576GiB"

# After which another backend can be asked as well.
SOONEST: Final = "1ms"
# Of what a rate limit lets through.
SLOWEST: Final = "1/h"

_QUANTILE = re.compile(r"p([0-9]{1,2}(?:\.[0-9]{1,3})?)")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")
_USER_NUMBER = re.compile(r"[0-9]{1,10}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def as_text(value: Any) -> str:
    """One value as it would be written; a mapping or a list is a fault."""
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise Fault("has half a character, which nothing can send", "write the whole character", value=ascii(value))
        return str(value)  # compiled code takes no subclass of str
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if value is None:
        raise Fault(*NO_VALUE)
    raise Fault(f"must be one value, not a {_shape(value)}")


def _shape(value: Any) -> str:
    return "mapping" if isinstance(value, dict) else "list" if isinstance(value, list) else type(value).__name__


def is_off(value: Any) -> bool:
    """Whether the value switches something off: `off` (or `no`, `false`), or None in a Python mapping."""
    return value is None or value is False or (isinstance(value, str) and value.lower() in FALSE)


def off_or(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A reader that takes `off` for None besides what `read` takes."""
    return lambda value: None if is_off(value) else read(value)


def auto_or(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A reader that takes `auto` for None besides what `read` takes."""

    def either(value: Any) -> Any:
        if as_text(value) == "auto":
            return None
        try:
            return read(value)
        except Fault as fault:
            raise Fault(fault.message, f"{fault.mend}, or auto") from None

    return either


def one_or_many(value: Any) -> Any:
    """A list as it is, anything else as a list of one."""
    return value if isinstance(value, list) else [value]


def at_least_one(value: Any) -> Any:
    """As `one_or_many`, for conditions: one that nothing meets is not what is meant."""
    if value == []:
        raise Fault("is empty", "take the key out, or write what it is to hold", value="")
    return one_or_many(value)


def duration(value: Any) -> float:
    """Seconds, a year's at most."""
    seconds = units.parse_duration(as_text(value))
    if seconds > units.parse_duration(LONGEST):
        raise Fault("is longer than a year", f"use {LONGEST} at most")
    return seconds


def duration_from(shortest: str) -> Callable[[Any], float]:
    """Reads seconds, at least as many as are written here (and more than none)."""

    def read(value: Any) -> float:
        seconds = duration(value)
        if seconds <= 0:
            raise Fault("must be longer than nothing", "a time that hardly ever ends is written 24h")
        if seconds < units.parse_duration(shortest):
            raise Fault("is too short", f"use {shortest} or more")
        return seconds

    return read


def after(value: Any) -> After:
    """How long to wait: a time, or a quantile of response times such as `p95`."""
    text = as_text(value)
    match = _QUANTILE.fullmatch(text)
    if match is None:
        try:
            seconds = duration(text)
            if seconds < units.parse_duration(SOONEST):
                raise Fault("is too short", f"use {SOONEST} or more")
            return After(seconds, None)
        except Fault as fault:
            raise Fault(fault.message, f"{fault.mend}, or p95") from None
    quantile = float(Decimal(match[1]) / 100)
    if not 0.5 <= quantile < 1:
        raise Fault("is out of range", "use p50 to p99.9")
    return After(None, quantile)


def size(value: Any) -> int:
    """Bytes."""
    size_bytes = units.parse_size(as_text(value))
    if size_bytes > units.parse_size(LARGEST):
        raise Fault("is larger than anything", f"use {LARGEST} at most")
    return size_bytes


def bounded_size(lowest: str, highest: str) -> Callable[[Any], int]:
    """Reads bytes, from the lowest to the highest size that is written here."""

    def read(value: Any) -> int:
        size = units.parse_size(as_text(value))
        if not units.parse_size(lowest) <= size <= units.parse_size(highest):
            raise Fault("is out of range", f"use {lowest} to {highest}")
        return size

    return read


def rate(value: Any) -> float:
    """Events a second: what a limit can be."""
    per_second = units.parse_rate(as_text(value))
    if not units.parse_rate(SLOWEST) <= per_second <= MOST_RATE:
        raise Fault("is out of range", f"use {SLOWEST} to {units.format_rate(MOST_RATE)}")
    return per_second


def byte_rate(value: Any) -> int:
    """Bytes a second, one at least."""
    bytes_per_second = units.parse_byte_rate(as_text(value))
    if not 1 <= bytes_per_second <= units.parse_size(LARGEST):
        raise Fault("is out of range", "use 1B/s or more, or off")
    return bytes_per_second


def percent(value: Any) -> float:
    """A share, 1.0 at most."""
    share = units.parse_percent(as_text(value))
    if share > 1:
        raise Fault("is more than all", "use 0% to 100%")
    return share


def integer(lowest: int, highest: int | None) -> Callable[[Any], int]:
    """Reads a whole number in these bounds."""
    limits = f"{lowest} or more" if highest is None else f"{lowest} to {highest}"

    def read(value: Any) -> int:
        text = as_text(value)
        if not _INTEGER.fullmatch(text):
            raise Fault("is not a whole number", f"use {limits}")
        number = int(text)
        if number < lowest or (highest is not None and number > highest):
            raise Fault("is out of range", f"use {limits}")
        return number

    return read


def number(lowest: float, highest: float) -> Callable[[Any], float]:
    """Reads a number in these bounds."""
    limits = f"{lowest:g} to {highest:g}"

    def read(value: Any) -> float:
        text = as_text(value)
        if not _NUMBER.fullmatch(text):
            raise Fault("is not a number", f"use {limits}, such as 1.25")
        if not lowest <= float(text) <= highest:
            raise Fault("is out of range", f"use {limits}")
        return float(text)

    return read


def flag(value: Any) -> bool:
    """A switch."""
    text = as_text(value).lower()
    if text not in TRUE | FALSE:
        raise Fault("is neither true nor false", "write true or false")
    return text in TRUE


def one_of(names: Collection[str], what: str) -> Callable[[Any], str]:
    """Reads one of a few words."""

    def read(value: Any) -> str:
        text = as_text(value)
        if text not in names:
            raise Fault(f"unknown {what}", did_you_mean(text, names))
        return text

    return read


def line(value: Any) -> str:
    """Text that goes into a head or a log: one line of it."""
    text = as_text(value)
    if _CONTROL.search(text):
        raise Fault("has a control character", "take it out", value=repr(text))
    if not text.strip():
        raise Fault("is empty", "write one, or take the key out")
    if text != text.strip():
        raise Fault("has spaces around it", "take them out")
    return text


def user(value: Any) -> str:
    """A user of this machine, by name or number, as written.

    A number needs its entry among the users too: without one nobody knows its groups.
    """
    text = line(value)
    try:
        if _USER_NUMBER.fullmatch(text):
            pwd.getpwuid(int(text))
        else:
            pwd.getpwnam(text)
    except KeyError:
        raise Fault("there is no such user on this machine", "create it, or name another one") from None
    return text


def bind(value: Any) -> tuple[str, int] | str:
    """(host, port) to accept on, or the path of a unix socket."""
    return addresses.parse_bind(as_text(value))


def backend_address(value: Any) -> tuple[str, int] | str:
    """(host, port) of a server, or the path of its unix socket."""
    return addresses.parse_backend(as_text(value))


def network(value: Any) -> str:
    """An IP address or network."""
    return addresses.parse_network(as_text(value))


def policy(value: Any, info: "ValidationInfo") -> str:
    """A policy's name; one that is not built in is loaded."""
    assert info.context is not None
    text = as_text(value)
    plugins.find(text, info.context["beside"])
    return text


def fallback(value: Any) -> str:
    """The name of a built-in policy."""
    text = as_text(value)
    if text not in plugins.built_in():
        mend = did_you_mean(text, plugins.built_in())
        raise Fault("is not a built-in policy, and those alone cannot fail", mend)
    return text


def pool(value: Any, info: "ValidationInfo") -> str:
    """The name of a pool of the file."""
    assert info.context is not None
    # What config.py found in the file before the models read it.
    names: Collection[str] = info.context["pools"]
    if not names:
        raise Fault("unknown pool", "add it under pools")
    return one_of(names, "pool")(value)
