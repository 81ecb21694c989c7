"""Traces: both formats are read, in any order and gzipped; what cannot be read is counted and named."""

import gzip
import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from steelyard.observe.accesslog import Record, line
from steelyard.simulate import trace
from steelyard.simulate.trace import TraceError, load, parse

COMMON = '10.0.0.{0} - - [10/Oct/2024:13:55:{1:02} +0200] "GET /{0} HTTP/1.1" 200 17'
COMBINED = COMMON + ' "-" "curl/8 \\"x\\""'


def ours(at: float, took: float, target: str = "/", client: str = "10.0.0.1") -> str:
    """A line of our own log, of a request that ended then."""
    return line(Record(at, client, "web", "GET", "host", target, 200, "-", "p", "b", 1, took, 0, 9), 0.0)


def test_our_own_log_is_read_and_sorted_by_start() -> None:
    found = parse([ours(1000.0, 0.25, "/late"), ours(1000.5, 2.0, "/early", "::1")], "x")
    assert [0.0, 1.25] == list(found.starts)
    assert found.durations is not None
    assert [2.0, 0.25] == list(found.durations)
    assert (["::1", "10.0.0.1"], ["/early", "/late"]) == (found.clients, found.targets)
    assert (["GET"] * 2, ["host"] * 2, 1.125) == (found.methods, found.hosts, found.mean_duration_s)
    assert (0, None) == (found.bad_lines, trace.warning(found))


@pytest.mark.parametrize("form", [COMMON, COMBINED])
def test_requests_of_one_second_are_spread_evenly_over_it(form: str) -> None:
    found = parse([form.format(1, 10), form.format(2, 10), form.format(3, 11)], "x")
    assert [0.0, 0.5, 1.25 - 0.25 + 0.25] == pytest.approx(list(found.starts))
    assert (None, 0.0) == (found.durations, found.mean_duration_s)
    assert (["10.0.0.1", "10.0.0.2", "10.0.0.3"], ["/1", "/2", "/3"]) == (found.clients, found.targets)


@pytest.mark.parametrize("time", [" 0.250", ' "0.250"'])
def test_a_request_time_behind_the_combined_format_makes_starts_and_durations(time: str) -> None:
    found = parse([COMBINED.format(1, 10) + time, COMBINED.format(2, 12) + " 1.000"], "x")
    assert [0.0, 1.25] == pytest.approx(list(found.starts))
    assert found.durations is not None
    assert [0.25, 1.0] == list(found.durations)


def test_durations_count_only_when_all_are_known() -> None:
    assert None is parse([COMBINED.format(1, 10) + " 0.5", COMBINED.format(2, 12)], "x").durations
    assert None is parse([ours(1.0, 0.0), ours(2.0, 0.0)], "x").durations


def test_what_was_no_request_arrived_all_the_same() -> None:
    odd = '10.0.0.9 - - [10/Oct/2024:13:55:30 +0200] "\\x16\\x03" 400 0 "-" "-"'
    found = parse([COMBINED.format(1, 10), odd], "x")
    assert (["GET", "\\x16\\x03"], ["/1", "-"]) == (found.methods, found.targets)


def test_the_span_goes_to_where_the_next_one_would_be() -> None:
    assert 4.0 == parse([ours(float(at), 0.0) for at in range(4)], "x").span_s


@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_is_read_plain_or_gzipped(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    data = "\n".join([ours(1.0, 0.1), "", ours(2.0, 0.1)]).encode() + b"\n\n"
    path.write_bytes(gzip.compress(data) if zipped else data)
    assert 2 == len(load(path).starts)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_pipe_is_read_from_its_very_start(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    data = "\n".join(ours(float(at), 0.1) for at in range(3)).encode()
    writer = threading.Thread(target=path.write_bytes, args=(gzip.compress(data) if zipped else data,))
    writer.start()
    found = load(path)
    writer.join()
    assert (3, 0) == (len(found.starts), found.bad_lines)


def test_times_that_no_clock_has_measured_are_not_known() -> None:
    assert None is parse([ours(1.0, 1e-320), ours(2.0, 1e-320)], "x").durations


def bad_among(good: int, *bad: str) -> list[str]:
    return [*[ours(float(at), 0.1) for at in range(good)], *bad]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("nonsense", "neither JSON nor combined format"),
        ('{"time": ', "not JSON"),
        ('{"time": "2024-01-01T00:00:00+00:00"}', "has no duration_s"),
        (ours(1.0, 1.0).replace('"duration_s": 1.0', '"duration_s": -1'), "a duration below 0"),
        (ours(1.0, 1.0).replace('"duration_s": 1.0', '"duration_s": NaN'), "a duration below 0"),
        (ours(1.0, 1.0).replace('"duration_s": 1.0', '"duration_s": null'), "a time that is none"),
        (ours(1.0, 1.0).replace('"time": "1970', '"time": "x'), "a time that is none"),
        (COMMON.format(1, 10).replace("Oct", "Okt"), "a time that is none"),
        ('{"time": 5, "duration_s": 1}', "a time that is none"),
        ('{"time":' + "[" * 100_000, "not JSON"),
        (ours(1.0, 1.0).replace('"duration_s": 1.0', '"duration_s": 86401'), "a duration of more than a day"),
        (COMBINED.format(1, 10) + " " + "9" * 400, "a duration of more than a day"),
    ],
)
def test_a_bad_line_is_counted_and_named(bad: str, why: str) -> None:
    found = parse(bad_among(99, bad), "a.log")
    assert (99, 1, [(100, why)]) == (len(found.starts), found.bad_lines, found.bad)
    expected = f"a.log: 1 of 100 lines cannot be read: line 100 ({why}); they are left out"
    assert expected == trace.warning(found)


def test_more_than_one_in_a_hundred_is_an_error_that_names_the_first() -> None:
    with pytest.raises(TraceError) as caught:
        parse(["x\n", *bad_among(594, *["y"] * 6)], "a.log")
    assert (
        "a.log: 7 of 601 lines cannot be read: line 1 (neither JSON nor combined format), "
        "line 596 (neither JSON nor combined format), line 597 (neither JSON nor combined format), "
        "line 598 (neither JSON nor combined format), line 599 (neither JSON nor combined format), and 2 more; "
        "at most 1 % may be; give the log that `access_log` writes, or one in combined format"
    ) == str(caught.value)
    assert 6 == parse(bad_among(594, *["y"] * 6), "a.log").bad_lines


@pytest.mark.parametrize("lines", [[], ["\n"], [ours(1.0, 0.1)]])
def test_too_few_requests_are_an_error(lines: list[str]) -> None:
    with pytest.raises(TraceError, match="too few to tell a rate; give a longer log"):
        parse(lines, "x")


def test_requests_that_all_came_at_once_are_an_error() -> None:
    with pytest.raises(TraceError, match="all requests came at the same time"):
        parse([ours(1.0, 0.0)] * 3, "x")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    with pytest.raises(TraceError, match=r"a\.gz: cannot be read: No such file"):
        load(path)
    path.write_bytes(gzip.compress(bytes(range(256)))[:40])
    with pytest.raises(TraceError, match=r"a\.gz: cannot be read: .*that it is whole"):
        load(path)


def test_the_log_that_the_balancer_writes_has_what_is_read() -> None:
    """A field that is renamed there must be renamed here."""
    assert {"time", "duration_s", "client", "host", "method", "target"} <= set(json.loads(ours(1.0, 0.1)))
    assert datetime.fromisoformat(json.loads(ours(1.0, 0.1))["time"]).tzinfo == UTC
