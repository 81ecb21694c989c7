"""proxy/date.py: the Date line, rendered once a second."""

import pytest

from steelyard.proxy import date


def test_the_line_is_that_of_the_wall_clock_and_the_same_object_within_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 784111777.0  # the example of RFC 9110 section 5.6.7
    monkeypatch.setattr(date, "time", lambda: now)
    line = date.DateLine()
    first = line()
    assert b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" == first
    now += 0.9
    assert line() is first
    now += 0.1
    assert b"Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n" == line()
