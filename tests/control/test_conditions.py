"""What a request is matched with, and what an answer is made of, is read or answered with what to write instead."""

from collections.abc import Callable
from typing import Any

import pytest

from steelyard.control import conditions
from steelyard.control.fault import Faults
from tests.control.said import fault

Read = Callable[[Any], object]


@pytest.mark.parametrize(
    ("expected", "read", "value"),
    [
        ("a.org", conditions.host_pattern, "A.org"),
        ("/status?full=1", conditions.check_path, "/status?full=1"),
        ("/", conditions.route_path, "/"),
        ("/*", conditions.route_path, "/*"),
        ("/static/*", conditions.route_path, "/static/*"),
        ("/.*", conditions.route_path, "/.*"),
        ("/a/..b", conditions.route_path, "/a/..b"),
        ("/%2F..", conditions.route_path, "/%2F.."),
        ("GET", conditions.method, "get"),
        ((("x-a", "1"), ("x-b", "*")), conditions.headers, {"X-A": 1, "x-b": "*"}),
        ("image/*", conditions.media_range, "Image/*"),
        ("application/json", conditions.media_range, "application/json"),
        ("text/plain; charset=utf-8", conditions.content_type, "text/plain; charset=utf-8"),
        ((200, 200), conditions.statuses, 200),
        ((200, 299), conditions.statuses, "2xx"),
        ((500, 599), conditions.statuses, "5XX"),
        ((100, 599), conditions.statuses, "100-599"),
        ((200, 399), conditions.statuses, "200-399"),
        (503, conditions.retry_status, "503"),
    ],
)
def test_a_right_value_is_read(expected: object, read: Read, value: object) -> None:
    assert (expected, type(expected)) == (read(value), type(read(value)))


@pytest.mark.parametrize(
    ("expected", "read", "value"),
    [
        ("does not begin with '/'; write /status", conditions.check_path, "status"),
        ("does not begin with '/'; write /api/*", conditions.route_path, "api/*"),
        ("does not begin with '/'; write /*, or take the key out", conditions.route_path, "*"),
        ("has a '*' before its end; write /a/*", conditions.route_path, "/a/*/b"),
        ("has a '*' before its end; write /*", conditions.route_path, "/**"),
        ("has a query, which is no part of the path; write /a", conditions.route_path, "/a?b=1"),
        ("has a fragment, which is no part of the path; write /a", conditions.route_path, "/a#b"),
        (
            "can match nothing: paths are compared in their normal form; write /b",
            conditions.route_path,
            "/a/../b",
        ),
        (
            "can match nothing: paths are compared in their normal form; write /a/b/c*",
            conditions.route_path,
            "/a//b/c*",
        ),
        ("can match nothing: paths are compared in their normal form; write /a/", conditions.route_path, "/a/."),
        ("can match nothing: paths are compared in their normal form; write /", conditions.route_path, "/%2e%2e"),
        ("has a character that no request line may have; write /a%20b%23%C3%A9", conditions.check_path, "/a b#é"),
        ("is not a content type; write type/subtype, such as text/plain", conditions.content_type, "text/é"),
        ("is not a method; write GET, POST, ...", conditions.method, "GET,POST"),
        (
            "must be a mapping of header names to values; write {X-Name: value}; the value '*' takes any",
            conditions.headers,
            "a",
        ),
        (
            "must be a mapping of header names to values; write {X-Name: value}; the value '*' takes any",
            conditions.headers,
            {},
        ),
        ("is not a content type; write type/subtype or type/*", conditions.media_range, "image"),
        ("is not a content type; write type/subtype or type/*", conditions.media_range, "*/*"),
        ("is not a content type; write type/subtype or type/*", conditions.media_range, "text/plain; charset=utf-8"),
        ("has a '*' beside other text; write image/*", conditions.media_range, "image/p*"),
        ("is not a content type; write type/subtype, such as text/plain", conditions.content_type, "text"),
        ("is not a content type; write type/subtype, such as text/plain", conditions.content_type, "text/*; a=b"),
        ("is not a status; write 200, 2xx or 200-299", conditions.statuses, "ok"),
        ("is not a status; write 200, 2xx or 200-299", conditions.statuses, "6xx"),
        ("is not a range of statuses; use 100 to 599, the lower one first", conditions.statuses, "299-200"),
        ("is not a range of statuses; use 100 to 599, the lower one first", conditions.statuses, "099"),
        ("is not a range of statuses; use 100 to 599, the lower one first", conditions.statuses, "600"),
        ("is not a status that can be retried; use 502, 503 or 504", conditions.retry_status, "500"),
    ],
)
def test_a_wrong_value_says_what_to_write(expected: str, read: Read, value: object) -> None:
    assert expected == fault(read, value)


def test_every_wrong_header_is_named() -> None:
    with pytest.raises(Faults) as caught:
        conditions.headers({"a b": "1", "X": "1", "x": "2", "y": "", "z": ["1"]})
    assert [
        (("a b",), "is not a header's name", "'a b'"),
        (("x",), "is written twice, as upper and lower case are one", "x"),
        (("y",), "is empty", None),
        (("z",), "must be one value, not a list", None),
    ] == [(fault.at, fault.message, fault.value) for fault in caught.value.faults]
    assert str(caught.value).startswith("is not a header's name; is written twice")
