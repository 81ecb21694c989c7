"""What people write about a simulation -> scenario.py: one small grammar for all that concerns backends.

    VALUE[:BACKENDS][@FROM-TO]      3x:2     10%:1-3,5@100-200     2:4     8

BACKENDS are numbers from 1 and ranges; without them all are meant. FROM-TO are times in mean service times, TO may be
left out (to the end); without them always is meant. `down` has no value: BACKENDS[@FROM-TO]. What is written later
wins over what was written before.
A policy is NAME[:option=value,...], where NAME may be `module:function`.
Pure; every error says what to write instead.
"""

import re
from collections.abc import Callable, Sequence
from math import inf, isfinite
from typing import Any, Final, NamedTuple, TypeVar

from steelyard.errors import SteelyardError
from steelyard.simulate.scenario import Server, Service, Trouble

ARRIVALS: Final = ("poisson", "uniform", "trace")
SERVICES: Final = ("exponential", "fixed", "bimodal", "trace")
VIEWS: Final = ("shared", "separate")

# Beyond these a run would not end in anybody's time, or its clock could no longer tell two moments apart.
SMALLEST: Final = 1e-6
LARGEST: Final = 1e6
SLOWEST: Final = 1e9  # all that is written of one backend, multiplied

_Value = TypeVar("_Value")

_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
_TIMES = re.compile(rf"({_NUMBER})-({_NUMBER})?")
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
# `module:name` before the options, which begin where a word and '=' stand.
_POLICY = re.compile(r"(?P<name>[^:=,]+(?::[^:=,]+)?)(?::(?P<options>[a-z_][a-z_.]*=.*))?", re.DOTALL)
_NEXT_OPTION = re.compile(r",(?=[a-z_][a-z_.]*=)")


class WordError(SteelyardError):
    """What was written cannot be meant; the message names the value and the mend."""


class Applied(NamedTuple):
    """A value for some backends (indexes from 0) and some time."""

    value: str
    servers: tuple[int, ...]
    start: float
    end: float
    timed: bool


def applied(text: str, count: int) -> Applied:
    """Read `VALUE[:BACKENDS][@FROM-TO]`. count: how many backends there are."""
    rest, at, times = text.partition("@")
    value, colon, backends = rest.partition(":")
    start, end = _times(text, times) if at else (0.0, inf)
    servers = _backends(text, backends, count) if colon else tuple(range(count))
    return Applied(value, servers, start, end, bool(at))


def servers(
    count: int,
    speeds: Sequence[str] = (),
    weights: Sequence[str] = (),
    concurrencies: Sequence[str] = (),
    limits: Sequence[str] = (),
) -> tuple[Server, ...]:
    """All backends, with what was written of their speed, weight, concurrency and max_connections."""
    speed = _each("--speed", speeds, count, 1.0, factor)
    weight = _each("--weight", weights, count, 1, lambda text: whole(text, 0))
    concurrency = _each("--concurrency", concurrencies, count, 1, lambda text: whole(text, 1))
    limit: list[int | None] = _each("--limit", limits, count, None, lambda text: whole(text, 1))
    if not any(weight):
        raise WordError("--weight: all are 0, so that no backend gets a request; give one of them more")
    return tuple([Server(*of_one) for of_one in zip(speed, concurrency, weight, limit, strict=True)])


def troubles(
    count: int,
    slow: Sequence[str] = (),
    fail: Sequence[str] = (),
    fast_fail: Sequence[str] = (),
    down: Sequence[str] = (),
) -> tuple[Trouble, ...]:
    """All that was written of what goes wrong."""
    found = []
    for kind, option, texts, read in (
        ("slow", "--slow", slow, factor),
        ("fail", "--fail", fail, share),
        ("fast_fail", "--fast-fail", fast_fail, share),
        ("down", "--down", [f":{text}" for text in down], _nothing),
    ):
        for text in texts:
            try:
                part = applied(text, count)
                found.append(Trouble(kind, read(part.value), part.servers, part.start, part.end))
            except WordError as exc:
                raise WordError(f"{option} {text.removeprefix(':') if kind == 'down' else text}: {exc}") from None
    _bear(count, found)
    return tuple(found)


def _bear(count: int, found: Sequence[Trouble]) -> None:
    """Raise WordError where a backend would be slower, or faster, than can be simulated."""
    slowness = [1.0] * count
    for trouble in found:
        if trouble.kind == "slow":
            for index in trouble.servers:
                slowness[index] *= trouble.value
                if not 1.0 / SLOWEST <= slowness[index] <= SLOWEST:
                    together = f"together they make backend {index + 1} {slowness[index]:g} times slower"
                    raise WordError(f"--slow: {together}, beyond all reason; write less than {SLOWEST:.0f}x in all")


def factor(text: str) -> float:
    """A number above 0, such as `3` or `3x`."""
    number = _number(text.removesuffix("x"))
    if number is None or number <= 0.0:
        raise WordError(f"{_quoted(text)} is not a number above 0; write 3x, or 0.5x:2 for backend 2 alone")
    return _reasonable(text, number, "x")


def share(text: str) -> float:
    """A part of the whole, such as `10%` or `0.1`."""
    number = _number(text.removesuffix("%"))
    if number is not None and text.endswith("%"):
        number /= 100.0
    if number is None or not 0.0 <= number <= 1.0:
        raise WordError(f"{_quoted(text)} is not a share from 0% to 100%; write 10%, or 10%:2 for backend 2 alone")
    return number


def whole(text: str, lowest: int) -> int:
    """A whole number of at least that."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < lowest:
        raise WordError(
            f"{_quoted(text)} is not a whole number of at least {lowest}; write 4, or 4:2 for backend 2 alone"
        )
    return int(text)


def interval(text: str) -> float:
    """A number above 0, or `off`, which is 0.0."""
    if text == "off":
        return 0.0
    number = _number(text)
    if number is None or number <= 0.0:
        raise WordError(f"{_quoted(text)} is not a number above 0; write 20, or off")
    return _reasonable(text, number, "")


def one_of(text: str, names: Sequence[str]) -> str:
    """One of these words."""
    if text not in names:
        raise WordError(f"there is no {_quoted(text)}; write {', '.join(names[:-1])} or {names[-1]}")
    return text


def service(text: str) -> Service:
    """`exponential`, `fixed`, `trace`, or `bimodal[:TIMESx,SHARE%]`."""
    kind, colon, more = text.partition(":")
    one_of(kind, SERVICES)
    if not colon:
        return Service(kind)
    times, comma, part = more.partition(",")
    if kind != "bimodal" or not comma:
        raise WordError(f"{_quoted(text)} says too much or too little; write bimodal:10x,10% or just {kind}")
    return Service(kind, factor(times), share(part))


def policy(text: str) -> dict[str, Any]:
    """`NAME[:option=value,...]` as a configuration's mapping. `probe.keep=8` is `probe: {keep: 8}`."""
    found = _POLICY.fullmatch(text.strip())
    if found is None:
        raise WordError(f"{_quoted(text)} is not NAME[:option=value,...]; write power_of_two:choices=3")
    mapping: dict[str, Any] = {"name": found["name"]}
    for option in _NEXT_OPTION.split(found["options"]) if found["options"] else ():
        path, _, value = option.partition("=")
        *above, last = path.split(".")
        inner = mapping
        for key in above:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                raise WordError(f"{_quoted(text)} gives {key} a value and an option of its own; keep one of the two")
        if last in inner:
            raise WordError(f"{_quoted(text)} says {path} twice; keep one of the two")
        inner[last] = value
    return mapping


def _each(
    option: str, texts: Sequence[str], count: int, default: _Value, read: Callable[[str], _Value]
) -> list[_Value]:
    """The value of every backend."""
    values = [default] * count
    for text in texts:
        try:
            part = applied(text, count)
            if part.timed:
                raise WordError("does not change with time; leave out '@', or use --slow or --down")
            value = read(part.value)
        except WordError as exc:
            raise WordError(f"{option} {text}: {exc}") from None
        for index in part.servers:
            values[index] = value
    return values


def _times(text: str, times: str) -> tuple[float, float]:
    found = _TIMES.fullmatch(times)
    if found is None:
        mend = "write FROM-TO, such as 3x:2@100-200"
        raise WordError(f"{_quoted(times)} after '@' is not a time; {mend} (backends stand after ':')")
    start, end = float(found[1]), inf if found[2] is None else float(found[2])
    if end <= start:
        raise WordError(f"ends at {found[2]}, before it begins at {found[1]}; write FROM-TO, such as 100-200")
    return start, end


def _backends(text: str, backends: str, count: int) -> tuple[int, ...]:
    found: dict[int, None] = {}
    for part in backends.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise WordError(f"{_quoted(part)} is not a backend; write numbers and ranges from 1, such as 1-3,5")
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        if not 1 <= first <= last <= count:
            there_are = f"there are backends 1 to {count}" if count > 1 else "there is backend 1 alone"
            raise WordError(f"{_quoted(part)} is not a backend; {there_are}")
        found.update(dict.fromkeys(range(first - 1, last)))
    return tuple(found)


def _nothing(text: str) -> float:
    return 0.0


def _reasonable(text: str, number: float, unit: str) -> float:
    if not SMALLEST <= number <= LARGEST:
        raise WordError(
            f"{_quoted(text)} is beyond all reason; write a number from {SMALLEST:f}{unit} to {LARGEST:.0f}{unit}"
        )
    return number


def _number(text: str) -> float | None:
    number = float(text) if re.fullmatch(_NUMBER, text) else None
    return number if number is None or isfinite(number) else None


def _quoted(text: str) -> str:
    return repr(text) if text else "nothing"
