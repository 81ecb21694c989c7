"""What wrk and ab report is read right, and a run that is not clean gives no figure."""

import json

import pytest

from bench.failure import BenchError
from bench.load import Load, parse_ab, parse_counting, parse_wrk

WRK = {
    "requests": 1000,
    "duration_us": 2_000_000,
    "bytes": 1000 * 300,
    "connect": 0,
    "read": 0,
    "write": 0,
    "timeout": 0,
    "status": 0,
    "p50_us": 800,
    "p99_us": 2100,
}

AB = """\
Server Software:        nginx
Document Path:          /small
Document Length:        95 bytes

Concurrency Level:      64
Time taken for tests:   3.002 seconds
Complete requests:      45000
Failed requests:        0
Total transferred:      11925000 bytes
Requests per second:    14990.01 [#/sec] (mean)
"""

AB_TABLE = "Percentage served,Time in ms\n0,1.1\n1,1.2\n50,3.751\n99,8.294\n100,9.5\n"


def wrk(**changes: int) -> str:
    return "Running 2s test @ http://127.0.0.1\n  1 threads\n" + json.dumps(WRK | changes) + "\n"


def test_wrk_figures_are_read() -> None:
    assert Load(1000, 2.0, 800, 2100) == parse_wrk(wrk(), 95)


@pytest.mark.parametrize("kind", ["connect", "read", "write", "timeout", "status"])
def test_one_error_spoils_a_wrk_run(kind: str) -> None:
    with pytest.raises(BenchError, match=f"wrk met errors: {kind} 1"):
        parse_wrk(wrk(**{kind: 1}), 95)


def test_where_errors_are_counted_they_spoil_nothing() -> None:
    assert (Load(1000, 2.0, 800, 2100), 0) == parse_counting(wrk())
    assert (Load(0, 2.0, 800, 2100), 12) == parse_counting(wrk(requests=0, connect=3, timeout=4, status=5))
    with pytest.raises(BenchError, match="unable to connect"):
        parse_counting("unable to connect to 127.0.0.1:1")


@pytest.mark.parametrize("received", [1000 * 94, 1000 * 95 - 1, 1100 * (95 + 1024) + 1])
def test_bytes_that_cannot_be_the_answers_spoil_a_wrk_run(received: int) -> None:
    with pytest.raises(BenchError, match="cannot make"):
        parse_wrk(wrk(bytes=received), 95)


def test_large_answers_under_way_at_the_end_are_no_error() -> None:
    size = 1024 * 1024
    assert 1000 == parse_wrk(wrk(bytes=1016 * size), size).requests


def test_a_wrk_run_without_answers_or_figures_is_an_error() -> None:
    with pytest.raises(BenchError, match="no answer"):
        parse_wrk(wrk(requests=0, bytes=0), 95)
    with pytest.raises(BenchError, match="unable to connect"):
        parse_wrk("unable to connect to 127.0.0.1:1", 95)


def test_ab_figures_are_read_in_microseconds() -> None:
    seen = parse_ab(AB, AB_TABLE, 95)
    assert (45000, 3.002) == (seen.requests, seen.seconds)
    assert pytest.approx((3751, 8294)) == (seen.p50_us, seen.p99_us)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Failed requests:        3", "Failed requests 3"),
        ("Failed requests:        0\nNon-2xx responses:      45000", "Non-2xx responses 45000"),
        ("Failed requests:        0\nWrite errors:           2", "Write errors 2"),
    ],
)
def test_one_error_spoils_an_ab_run(line: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        parse_ab(AB.replace("Failed requests:        0", line), AB_TABLE, 95)


def test_an_ab_run_with_another_length_or_no_answer_is_an_error() -> None:
    with pytest.raises(BenchError, match="95 bytes instead of 96"):
        parse_ab(AB, AB_TABLE, 96)
    with pytest.raises(BenchError, match="no answer"):
        parse_ab(AB.replace("45000", "0"), AB_TABLE, 95)


def test_a_report_that_ab_broke_off_is_an_error() -> None:
    with pytest.raises(BenchError, match="no line 'Document Length'"):
        parse_ab("apr_socket_recv: Connection reset by peer (104)\n", AB_TABLE, 95)
