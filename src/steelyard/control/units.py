"""Quantities as people write them: durations, sizes, rates, percents; each way there and back.

A quantity always carries its unit, as a bare `20` has been read as seconds by one program and as milliseconds
by the next. Calculated in decimal, so that what is written and read again is the same number to the last bit.
Pure functions; every error is a `Fault` that says what to write instead.
"""

import re
from decimal import Decimal
from fractions import Fraction

from steelyard.control.fault import Fault

# 18 digits are beyond every quantity here, and still a float and a 64-bit number.
_NUMBER = r"([0-9]{1,18}(?:\.[0-9]+)?)"
_QUANTITY = re.compile(_NUMBER + r" *([A-Za-z]*)")
_RATE = re.compile(_NUMBER + r" */ *([a-z]+)")
_PERCENT = re.compile(_NUMBER + r" *%")

_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_BYTES = {
    "B": 1,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
}
# How sizes are also written, and what is probably meant: `64K` is 65536 to one program and 64000 to another.
_MEANT_BYTES = {"k": "KiB", "kb": "KiB", "kib": "KiB", "m": "MiB", "mb": "MiB", "mib": "MiB"}
_MEANT_BYTES |= {"g": "GiB", "gb": "GiB", "gib": "GiB", "b": "B"}
_MEANT_SECONDS = {"msec": "ms", "millis": "ms", "sec": "s", "secs": "s", "second": "s", "seconds": "s"}
_MEANT_SECONDS |= {"min": "m", "mins": "m", "minute": "m", "minutes": "m", "hr": "h", "hour": "h", "hours": "h"}
_PER_SECONDS = {"s": 1, "m": 60, "h": 3600}


def parse_duration(text: str) -> float:
    """Seconds of `250ms`, `20s`, `1.5s`, `5m` or `1h`."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise Fault("is not a duration", "write it as 250ms, 20s, 5m or 1h")
    number, unit = match.groups()
    if not unit:
        raise Fault("has no unit", f"write {number}s")
    if unit not in _SECONDS:
        meant = _MEANT_SECONDS.get(unit.lower(), unit.lower())
        mend = f"write {number}{meant}" if meant in _SECONDS else "use ms, s, m or h"
        raise Fault(f"has the unknown unit {unit!r}", mend)
    return float(Decimal(number) * _SECONDS[unit])


def format_duration(seconds: float) -> str:
    """The shortest form that `parse_duration` reads as the same number."""
    exact = Decimal(repr(seconds))
    for unit in ("h", "m", "s"):
        if exact and exact % _SECONDS[unit] == 0:
            return f"{_plain(exact / _SECONDS[unit])}{unit}"
    return f"{_plain(exact * 1000)}ms" if exact else "0s"


def parse_size(text: str) -> int:
    """Bytes of `1500B`, `64KiB`, `10MiB`, `1GiB`, and of the decimal `kB`, `MB` and `GB`."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise Fault("is not a size", "write it as 1500B, 64KiB or 10MiB")
    number, unit = match.groups()
    if not unit:
        raise Fault("has no unit", f"write {number}B" if number.isdigit() else f"write {number}KiB or {number}MiB")
    if unit not in _BYTES:
        meant = _MEANT_BYTES.get(unit.lower())
        raise Fault(f"has the unknown unit {unit!r}", f"write {number}{meant}" if meant else "use B, KiB, MiB or GiB")
    size = Decimal(number) * _BYTES[unit]
    if size % 1:
        raise Fault("is not a whole number of bytes", f"write {int(size)}B")
    return int(size)


def format_size(size_bytes: int) -> str:
    """The shortest form that `parse_size` reads as the same number."""
    for unit in ("GiB", "MiB", "KiB", "GB", "MB", "kB"):
        if size_bytes and size_bytes % _BYTES[unit] == 0:
            return f"{size_bytes // _BYTES[unit]}{unit}"
    return f"{size_bytes}B"


def parse_rate(text: str) -> float:
    """Events per second of `100/s`, `10/m` or `5/h`."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise Fault("is not a rate", f"write {text}/s" if _is_number(text) else "write it as 100/s or 10/m")
    number, per = match.groups()
    if per not in _PER_SECONDS:
        raise Fault(f"is counted per {per!r}", "count per s, m or h")
    return float(Fraction(number) / _PER_SECONDS[per])


def format_rate(per_second: float) -> str:
    """The shortest form that `parse_rate` reads as the same number."""
    for per, seconds in _PER_SECONDS.items():
        count = round(per_second * seconds)
        if float(Fraction(count) / seconds) == per_second:
            return f"{count}/{per}"
    return f"{_plain(Decimal(repr(per_second)))}/s"


def parse_byte_rate(text: str) -> int:
    """Bytes per second of `100B/s` or `1KiB/s`."""
    size, slash, per = text.partition("/")
    if not slash or per.strip() != "s":
        raise Fault("is not a rate of bytes", "write it as 100B/s or 1KiB/s")
    try:
        return parse_size(size.strip())
    except Fault as fault:
        raise Fault(fault.message, f"{fault.mend}, per s: 100B/s") from None


def format_byte_rate(bytes_per_second: int) -> str:
    """The form that `parse_byte_rate` reads as the same number."""
    return f"{format_size(bytes_per_second)}/s"


def parse_percent(text: str) -> float:
    """The share (1.0 is all) of `20%`."""
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise Fault("is not a percentage", _as_percent(text) if _is_number(text) else "write it as 20%")
    return float(Decimal(match[1]) / 100)


def format_percent(share: float) -> str:
    """The form that `parse_percent` reads as the same number."""
    return f"{_plain(Decimal(repr(share)) * 100)}%"


def _as_percent(number: str) -> str:
    """What a number without its sign may mean: 20 is 20 %, and 0.2 as well."""
    share = Decimal(number)
    return f"write {_plain(share * 100)}%, or {number}% if so little is meant" if 0 < share < 1 else f"write {number}%"


def _is_number(text: str) -> bool:
    match = _QUANTITY.fullmatch(text)
    return match is not None and not match[2]


def _plain(number: Decimal) -> str:
    """Digits without an exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
