"""Values are read from texts and from Python values alike, and whoever wrote a wrong one is told what to write."""

from collections.abc import Callable
from typing import Any

import pytest

from steelyard.control import readers
from tests.control.said import fault

Read = Callable[[Any], object]
NO_USER = "there is no such user on this machine; create it, or name another one"
POSITIVE = readers.duration_from("1ms")


@pytest.mark.parametrize(
    ("expected", "read", "value"),
    [
        ("1", readers.as_text, 1),
        ("1.5", readers.as_text, 1.5),
        ("true", readers.as_text, True),
        ("false", readers.as_text, False),
        (0.25, readers.duration_from("1ms"), "250ms"),
        (0.001, readers.duration_from("1ms"), "1ms"),
        (31_536_000.0, readers.duration_from("1ms"), "8760h"),
        (0.0, readers.duration, "0s"),
        (31_536_000.0, readers.duration, "8760h"),
        (1024, readers.size, "1KiB"),
        (1024, readers.bounded_size("1KiB", "1MiB"), "1KiB"),
        (1024**2, readers.bounded_size("1KiB", "1MiB"), "1MiB"),
        (2**50, readers.size, "1048576GiB"),
        (1.0, readers.percent, "100%"),
        (0, readers.integer(0, 5), "0"),
        (5, readers.integer(0, 5), 5),
        (99999, readers.integer(0, None), "99999"),
        (-3, readers.integer(-5, None), "-3"),
        (1.25, readers.number(1, 100), "1.25"),
        (1.0, readers.number(1, 100), 1),
        (100.0, readers.number(1, 100), "100"),
        (True, readers.flag, "on"),
        (True, readers.flag, "Yes"),
        (True, readers.flag, True),
        (False, readers.flag, "off"),
        (False, readers.flag, "FALSE"),
        ("b", readers.one_of(("a", "b"), "word"), "b"),
        (None, readers.off_or(readers.size), "off"),
        (None, readers.off_or(readers.size), "No"),
        (None, readers.off_or(readers.size), False),
        (None, readers.off_or(readers.size), None),
        (1, readers.off_or(readers.size), "1B"),
        (None, readers.auto_or(readers.integer(1, 9)), "auto"),
        (3, readers.auto_or(readers.integer(1, 9)), "3"),
        ("root", readers.user, "root"),
        ("0", readers.user, 0),
        (["a"], readers.one_or_many, "a"),
        (["a", "b"], readers.one_or_many, ["a", "b"]),
        ([], readers.one_or_many, []),
        (["a"], readers.at_least_one, "a"),
        ("a\tb", readers.line, "a\tb"),
        (("0.0.0.0", 80), readers.bind, ":80"),
        ("/run/lb.sock", readers.bind, "unix:/run/lb.sock"),
        (("a", 80), readers.backend_address, "a:80"),
        ("10.0.0.0/8", readers.network, "10.0.0.0/8"),
    ],
)
def test_a_right_value_is_read(expected: object, read: Read, value: object) -> None:
    assert (expected, type(expected)) == (read(value), type(read(value)))


@pytest.mark.parametrize(
    ("expected", "read", "value"),
    [
        ("has no value; write one, or take the key out", readers.as_text, None),
        ("has half a character, which nothing can send; write the whole character", readers.as_text, "a\ud83d"),
        ("must be one value, not a list", readers.as_text, ["a"]),
        ("must be one value, not a mapping", readers.as_text, {"a": 1}),
        ("must be one value, not a bytes", readers.as_text, b"a"),
        ("must be longer than nothing; a time that hardly ever ends is written 24h", POSITIVE, "0s"),
        ("is too short; use 1ms or more", POSITIVE, "0.999ms"),
        ("is longer than a year; use 8760h at most", POSITIVE, "31536000.001s"),
        ("is longer than a year; use 8760h at most", readers.duration, "999999999999999999h"),
        ("has no unit; write 3s", POSITIVE, 3),
        ("is larger than anything; use 1048576GiB at most", readers.size, "1048577GiB"),
        ("is out of range; use 1KiB to 1MiB", readers.bounded_size("1KiB", "1MiB"), "1023B"),
        ("is out of range; use 1KiB to 1MiB", readers.bounded_size("1KiB", "1MiB"), "1048577B"),
        ("is more than all; use 0% to 100%", readers.percent, "100.1%"),
        ("is out of range; use 0 to 5", readers.integer(0, 5), "6"),
        ("is out of range; use 0 to 5", readers.integer(0, 5), -1),
        ("is out of range; use 1 or more", readers.integer(1, None), "0"),
        ("is not a whole number; use 0 to 5", readers.integer(0, 5), "1.0"),
        ("is not a whole number; use 0 to 5", readers.integer(0, 5), "01"),
        ("is not a whole number; use 0 to 5", readers.integer(0, 5), "+1"),
        ("is not a whole number; use 0 to 5", readers.integer(0, 5), "٣"),
        ("is not a whole number; use 0 to 5", readers.integer(0, 5), True),
        ("is not a whole number; use 1 or more", readers.integer(1, None), "1" * 19),
        ("is not a number; use 1 to 100, such as 1.25", readers.number(1, 100), "1e1"),
        ("is not a number; use 1 to 100, such as 1.25", readers.number(1, 100), "nan"),
        ("is not a number; use 1 to 100, such as 1.25", readers.number(1, 100), "-2"),
        ("is out of range; use 1 to 100", readers.number(1, 100), "0.99"),
        ("is out of range; use 1 to 100", readers.number(1, 100), "100.01"),
        ("is neither true nor false; write true or false", readers.flag, "1"),
        ("unknown word; did you mean apple?", readers.one_of(("apple", "b"), "word"), "aple"),
        ("is out of range; use 1 to 9, or auto", readers.auto_or(readers.integer(1, 9)), "10"),
        ("has no value; write one, or take the key out", readers.auto_or(readers.integer(1, 9)), None),
        (NO_USER, readers.user, "no-such-user"),
        (NO_USER, readers.user, "root:root"),
        (NO_USER, readers.user, "4294967294"),
        (NO_USER, readers.user, "9999999999"),
        (NO_USER, readers.user, "1" * 5000),
        ("has spaces around it; take them out", readers.user, "root "),
        ("is empty; take the key out, or write what it is to hold", readers.at_least_one, []),
        ("is empty; write one, or take the key out", readers.line, " "),
        ("has spaces around it; take them out", readers.line, "a "),
        ("is out of range; use 1B/s or more, or off", readers.byte_rate, "0B/s"),
        ("is out of range; use 1/h to 1000000/s", readers.rate, "0.9/h"),
        ("is out of range; use 1/h to 1000000/s", readers.rate, "1000001/s"),
        ("has a control character; take it out", readers.line, "a\r\nb"),
    ],
)
def test_a_wrong_value_says_what_to_write(expected: str, read: Read, value: object) -> None:
    assert expected == fault(read, value)
