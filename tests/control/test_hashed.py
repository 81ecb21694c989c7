"""Keys, tables and options of policies are read, or answered with what to write instead."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.control import hashed
from steelyard.control.fault import Fault, Faults
from tests.control.said import fault

Read = Callable[[Any], object]


@pytest.mark.parametrize(
    ("expected", "read", "value"),
    [
        ("client_ip", hashed.key, "client_ip"),
        ("path", hashed.key, "path"),
        ("url", hashed.key, "url"),
        ("header:x-user", hashed.key, "header:X-User"),
        ("cookie:Session", hashed.key, "cookie:Session"),
        ("query:user[id]", hashed.key, "query:user[id]"),
        ("body:model", hashed.key, "body:model"),
        ("body:messages.0.content", hashed.key, "body:messages.0.content"),
        ("body:messages.0.content[:256]", hashed.key, "body:messages.0.content[:256]"),
        ("lb", hashed.cookie_name, "lb"),
        (2, hashed.table_size, 2),
        (65537, hashed.table_size, "65537"),
        (5_000_011, hashed.table_size, "5000011"),
        ((), hashed.options, {}),
        ((("a", "1"), ("b", "true")), hashed.options, {"a": 1, "b": True}),
    ],
)
def test_a_right_value_is_read(expected: object, read: Read, value: object) -> None:
    assert (expected, type(expected)) == (read(value), type(read(value)))


HEADER = "does not name a header; write header:NAME, such as header:X-User"
COOKIE = "does not name a cookie; write cookie:NAME, such as cookie:session"
QUERY = "does not name a parameter of the query; write query:NAME, such as query:user"
FIELD = "does not name a field of a JSON body; write body:FIELD, such as body:messages.0.content[:256]"
BRACKETS = "has brackets that are not [:N], the first N characters; "


@pytest.mark.parametrize(
    ("expected", "read", "value"),
    [
        ("unknown key; did you mean client_ip?", hashed.key, "clientip"),
        ("unknown key; did you mean header:NAME?", hashed.key, "header"),
        ("unknown key; did you mean cookie:NAME?", hashed.key, "cookie"),
        (
            "unknown key; known: client_ip, path, url, header:NAME, cookie:NAME, query:NAME, body:FIELD",
            hashed.key,
            "zone:1",
        ),
        (HEADER, hashed.key, "header:"),
        (HEADER, hashed.key, "header:a b"),
        (COOKIE, hashed.key, "cookie:"),
        (COOKIE, hashed.key, "cookie:a=b"),
        (QUERY, hashed.key, "query:"),
        (QUERY, hashed.key, "query:a b"),
        (QUERY, hashed.key, "query:a=b"),
        (FIELD, hashed.key, "body:"),
        (FIELD, hashed.key, "body:a..b"),
        (FIELD, hashed.key, "body:.a"),
        (FIELD, hashed.key, "body:a."),
        (FIELD, hashed.key, "body:[:3]"),
        (FIELD, hashed.key, "body:a]"),
        (BRACKETS + "write body:a[:256]", hashed.key, "body:a[:0]"),
        (BRACKETS + "write body:a[:256]", hashed.key, "body:a[:]"),
        (BRACKETS + "write body:a[:256]", hashed.key, "body:a[1:2]"),
        (BRACKETS + "write body:a[:256]", hashed.key, "body:a[:3].b"),
        (BRACKETS + "write body:a[:256]", hashed.key, "body:a[:1234567]"),
        (BRACKETS + "write body:messages.0.content", hashed.key, "body:messages[0].content"),
        ("is not a cookie's name; use letters, digits, '-' and '_'", hashed.cookie_name, "a;b"),
        ("is not a cookie's name; use letters, digits, '-' and '_'", hashed.cookie_name, ""),
        ("is not a prime; write 13", hashed.table_size, 12),
        ("is not a prime; write 11", hashed.table_size, 10),
        ("is not a prime; write 7", hashed.table_size, 8),
        ("is not a prime; write 5000011", hashed.table_size, 5_000_010),
        ("is out of range; use 2 to 5000011", hashed.table_size, 5_000_012),
        (HEADER, hashed.limit_key, "header:"),
        (
            "unknown key; known: client_ip, path, url, header:NAME, cookie:NAME, query:NAME, host, method, global",
            hashed.limit_key,
            "x",
        ),
        ("unknown key; did you mean global?", hashed.limit_key, "globl"),
        ("must be a mapping of names to texts; write {NAME: TEXT}", hashed.options, ["a"]),
    ],
)
def test_a_wrong_value_says_what_to_write(expected: str, read: Read, value: object) -> None:
    assert expected == fault(read, value)


def test_every_wrong_option_is_named() -> None:
    with pytest.raises(Faults) as caught:
        hashed.options({"a": [], "b": "1", "c": None})
    assert [(("a",), "must be one value, not a list"), (("c",), "has no value")] == [
        (found.at, found.message) for found in caught.value.faults
    ]


def test_primes_are_the_ones_that_nothing_divides() -> None:
    primes = [n for n in range(2000) if n > 1 and not any(n % divisor == 0 for divisor in range(2, n))]
    assert primes == [n for n in range(2000) if hashed.is_prime(n)]


@given(st.integers(2, hashed.LARGEST_TABLE))
def test_no_prime_is_nearer_than_the_nearest(number: int) -> None:
    found = hashed.nearest_prime(number)
    assert hashed.is_prime(found)
    nearer = range(max(2, number - abs(found - number) + 1), min(number + abs(found - number), hashed.LARGEST_TABLE))
    assert not [other for other in nearer if hashed.is_prime(other) and other != found]


@given(st.text() | st.text("abc.:[]0123456789 ").map("body:".__add__))
def test_any_key_is_read_as_itself_or_a_fault(text: str) -> None:
    with suppress(Fault):
        assert hashed.key(text).lower() == text.lower()


@pytest.mark.parametrize(
    ("expected", "name"),
    [("__Host-", "__Host-lb"), ("__Secure-", "__Secure-lb"), ("__host-", "__host-lb")],
)
def test_a_cookie_that_browsers_take_over_tls_alone_is_refused(expected: str, name: str) -> None:
    message = f"begins with {expected}, which browsers take over TLS alone, and there is none yet; write lb"
    assert message == fault(hashed.cookie_name, name)
    assert "__lb" == hashed.cookie_name("__lb")
    assert fault(hashed.cookie_name, "__Host-").endswith("write steelyard")
