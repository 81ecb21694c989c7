"""Recorded traffic: when requests came, how long they took, whose they were and what they asked for.

Two formats, line by line whichever a line is in, plain or gzipped:
- our own access log (observe/accesslog.py), a JSON object a line: `time` is the end, `duration_s` before it the start;
- the combined format of Apache and nginx, or the shorter common one, also with `$request_time` (seconds) as last field.
  It knows whole seconds only, so that the requests of one second are spread evenly over it, in their order.
Requests are sorted by their start. Blank lines are passed over. A line that cannot be read is counted and named; more
than MAX_BAD of all of them is an error, for a workload that lacks that many requests is another one.
Source: nginx `log_format combined`; gzip is known by its first two bytes (RFC 1952).
"""

import gzip
import json
import re
import zlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from io import TextIOWrapper
from math import isfinite
from pathlib import Path
from sys import intern
from typing import BinaryIO, Final, NamedTuple, cast

from steelyard.errors import SteelyardError

LONGEST_S: Final = 86_400.0  # a request of more than a day is a mistake of the log's
SHORTEST_MEAN_S: Final = 1e-9  # below it no clock has measured anything
MAX_BAD: Final = 0.01
NAMED: Final = 5  # bad lines that an error or a warning quotes

_COMBINED = re.compile(
    r'(?P<client>\S+) \S+ \S+ \[(?P<time>[^\]]+)\] "(?P<request>(?:[^"\\]|\\.)*)" \d{3} (?:\d+|-)'
    r'(?: "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*")?(?: "?(?P<took>\d+(?:\.\d+)?)"?)?\s*'
)
_GZIP = b"\x1f\x8b"


class TraceError(SteelyardError):
    """A trace that cannot be simulated; the message names file, lines and the mend."""


class Line(NamedTuple):
    """One request. time: when it ended or, where it is not known how long it took, when it was logged; UNIX seconds.

    took_s: None where that is not recorded. coarse: the time is of whole seconds.
    """

    time: float
    took_s: float | None
    coarse: bool
    client: str
    host: str
    method: str
    target: str


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in the order of their starts. starts: seconds from the first; durations: None unless all are known.

    bad: (line number, what is wrong) of the first lines that could not be read; bad_lines: how many there were.
    """

    name: str
    starts: "array[float]"
    durations: "array[float] | None"
    clients: list[str]
    hosts: list[str]
    methods: list[str]
    targets: list[str]
    bad: list[tuple[int, str]] = field(default_factory=list)
    bad_lines: int = 0

    @property
    def span_s(self) -> float:
        """From its first start to where the next one after its last would be, at its mean rate."""
        count = len(self.starts)
        return self.starts[-1] * count / (count - 1)

    @property
    def mean_duration_s(self) -> float:
        """Of all requests; 0.0 where that is not recorded."""
        return 0.0 if self.durations is None else sum(self.durations) / len(self.durations)


def load(path: Path) -> Trace:
    """Read a file. Raises TraceError: it cannot be read, has too few requests or too many bad lines."""
    try:
        # Opened once and never sought in: what comes through a pipe can be read only once.
        with path.open("rb") as raw:
            whole: BinaryIO = raw
            if raw.peek(2)[:2] == _GZIP:
                whole = cast("BinaryIO", gzip.GzipFile(fileobj=raw))
            with TextIOWrapper(whole, encoding="utf-8", errors="replace") as text:
                return parse(text, str(path))
    except (OSError, ValueError, EOFError, zlib.error) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise TraceError(
            f"{path}: cannot be read: {reason}; check the path, its permissions, and that it is whole"
        ) from exc


def parse(text: Iterable[str], name: str) -> Trace:
    """Read lines; see `load`."""
    lines: list[Line] = []
    bad: list[tuple[int, str]] = []
    bad_lines = written = 0
    for number, raw in enumerate(text, 1):
        if not raw.strip():
            continue
        written += 1
        try:
            lines.append(_json(raw) if raw.lstrip().startswith("{") else _combined(raw))
        except ValueError as exc:
            bad_lines += 1
            if len(bad) < NAMED:
                bad.append((number, str(exc)))
    if bad_lines > MAX_BAD * written:
        raise TraceError(f"{name}: {_described(bad, bad_lines, written)}; {_MEND}")
    if len(lines) < 2:
        raise TraceError(f"{name}: has {len(lines)} requests, too few to tell a rate; give a longer log")
    return _sorted(lines, name, bad, bad_lines)


_MEND: Final = "at most 1 % may be; give the log that `access_log` writes, or one in combined format"


def warning(trace: Trace) -> str | None:
    """A sentence about the lines that were left out; None when there were none."""
    if not trace.bad_lines:
        return None
    written = len(trace.starts) + trace.bad_lines
    return f"{trace.name}: {_described(trace.bad, trace.bad_lines, written)}; they are left out"


def _described(bad: list[tuple[int, str]], bad_lines: int, written: int) -> str:
    named = ", ".join(f"line {number} ({what})" for number, what in bad)
    more = f", and {bad_lines - len(bad)} more" if bad_lines > len(bad) else ""
    return f"{bad_lines} of {written} lines cannot be read: {named}{more}"


def _json(raw: str) -> Line:
    """A line of our own log. Raises ValueError."""
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    try:
        time = datetime.fromisoformat(record["time"]).timestamp()
        took_s = float(record["duration_s"])
        texts = [str(record[key]) for key in ("client", "host", "method", "target")]
    except KeyError as exc:
        raise ValueError(f"has no {exc.args[0]}") from None
    except (TypeError, ValueError, OverflowError):
        raise ValueError("a time that is none") from None
    if not (isfinite(took_s) and took_s >= 0.0):
        raise ValueError("a duration below 0")
    if took_s > LONGEST_S:
        raise ValueError("a duration of more than a day")
    return Line(time, took_s, False, *map(intern, texts))


def _combined(raw: str) -> Line:
    """A line in combined or common format. Raises ValueError."""
    found = _COMBINED.fullmatch(raw)
    if found is None:
        raise ValueError("neither JSON nor combined format")
    try:
        time = datetime.strptime(found["time"], "%d/%b/%Y:%H:%M:%S %z").timestamp()
    except (ValueError, OverflowError):
        raise ValueError("a time that is none") from None
    # What was no request is logged as it came: it arrived all the same.
    method, _, rest = found["request"].partition(" ")
    target = rest.rpartition(" ")[0] or rest
    took_s = None if found["took"] is None else float(found["took"])
    if took_s is not None and took_s > LONGEST_S:  # as is one of so many digits that it is read as infinite
        raise ValueError("a duration of more than a day")
    return Line(time, took_s, True, *map(intern, (found["client"], "-", method or "-", target or "-")))


def _sorted(lines: list[Line], name: str, bad: list[tuple[int, str]], bad_lines: int) -> Trace:
    within: dict[float, int] = {}
    for line in lines:
        if line.coarse:
            within[line.time] = within.get(line.time, 0) + 1
    seen: dict[float, int] = dict.fromkeys(within, 0)
    starts = []
    for line in lines:
        time = line.time
        if line.coarse:
            time += (seen[line.time] + 0.5) / within[line.time]
            seen[line.time] += 1
        starts.append(time - (line.took_s or 0.0))
    order = sorted(range(len(lines)), key=starts.__getitem__)
    first = starts[order[0]]
    if starts[order[-1]] <= first:
        raise TraceError(f"{name}: all requests came at the same time; give a longer log")
    took = [lines[at].took_s for at in order]
    known = [took_s for took_s in took if took_s is not None]
    return Trace(
        name,
        array("d", [starts[at] - first for at in order]),
        array("d", known) if len(known) == len(took) and sum(known) >= SHORTEST_MEAN_S * len(known) else None,
        [lines[at].client for at in order],
        [lines[at].host for at in order],
        [lines[at].method for at in order],
        [lines[at].target for at in order],
        bad,
        bad_lines,
    )
