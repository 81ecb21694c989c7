"""What the core may ask of a request, by name."""

from ipaddress import ip_network

import pytest

from steelyard.core.approaches import APPROACH
from steelyard.errors import ProtocolError
from steelyard.proxy.body_start import BodyStart
from steelyard.proxy.request import Request
from steelyard.wire.http1 import scan_request
from steelyard.wire.peer import Peer
from tests.fakes import head


def a_request(*lines: str, trusted: bool = False) -> Request:
    scanned = scan_request(head(*lines), 0, 65536, 100, trusted, False)
    assert scanned is not None
    networks = (ip_network("192.0.2.0/24"),) if trusted else ()
    return Request(scanned, Peer("192.0.2.7", "http", networks, "192.0.2.1:80"), lambda n: n - 1, 5.0)


ASKED = ("GET /a/b?c=d HTTP/1.1", "Host: Site:80", "Content-Type: image/png", "X-Key: one", "x-key: two")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("path", "/a/b?c=d"),
        ("host", "Site:80"),
        ("method", "GET"),
        ("client_ip", "192.0.2.7"),
        ("content_type", "image/png"),
        ("header:x-key", "one, two"),
        ("header:X-KEY", "one, two"),
        ("header:host", "Site:80"),
        ("header:other", None),
        ("header:", None),
    ],
)
def test_a_part_is_found_by_its_name(name: str, expected: str | None) -> None:
    assert expected == a_request(*ASKED).get(name)


@pytest.mark.parametrize("name", ["X-Real-IP", "X-Forwarded-For", "X-Forwarded-Host", "Proxy", "X-Hop", "X_Y"])
def test_a_field_that_no_backend_is_told_of_is_not_found_either(name: str) -> None:
    """A route that believed it would be led by what a client claims."""
    request = a_request("GET / HTTP/1.1", "Host: a", "Connection: X-Hop", f"{name}: 10.0.0.1")
    assert request.get(f"header:{name}") is None


def test_parts_that_a_request_does_not_have_are_none() -> None:
    request = a_request("GET / HTTP/1.0")
    assert [None, None, None] == [request.get(name) for name in ("host", "content_type", "header:x")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cookie:id", "1"),
        ("cookie:last", 'b"\xff'),
        ("cookie:ID", None),
        ("cookie:", None),
        ("query:q", "a b\xfc"),
        ("query:other", None),
        ("query:", None),
    ],
)
def test_a_cookie_is_as_it_was_sent_and_a_query_value_is_decoded(name: str, expected: str | None) -> None:
    request = a_request("GET /?q=a+b%C3%BC&q=2 HTTP/1.1", "Host: a", "Cookie: id=1; x=2", 'COOKIE: last=b"\xff; id=3')
    assert expected == request.get(name)


def test_cookies_are_never_joined_by_commas() -> None:
    request = a_request("GET / HTTP/1.1", "Host: a", "Cookie: a=1", "Cookie: b=2")
    assert ("1", "2") == (request.get("cookie:a"), request.get("cookie:b"))


def test_a_field_is_not_found_by_the_name_of_another_part() -> None:
    request = a_request("GET / HTTP/1.1", "Host: a", "Cookie: a=1", "query: a=1", "a: 1")
    assert [None] * 4 == [request.get(name) for name in ("query:a", "cookie:query", "body:a", "body:")]


def test_a_body_is_seen_only_where_the_pool_looks_and_when_it_is_whole() -> None:
    request = a_request("POST / HTTP/1.1", "Host: a", "Content-Type: application/json", "Content-Length: 14")
    assert request.get("body:a") is None
    request.body = BodyStart(request.head)
    request.body.take(b'{"a": ["one"]}')
    assert request.get("body:a.0") is None
    request.body.end()
    assert ("one", "on", None) == tuple(request.get(f"body:{name}") for name in ("a.0", "a.0[:2]", "a"))


def test_bytes_beyond_ascii_become_text_one_by_one() -> None:
    request = a_request("GET / HTTP/1.1", "Host: a", "X: \xfc\xff")
    assert "\xfc\xff" == request.get("header:x")


def test_the_client_is_whom_a_trusted_proxy_names() -> None:
    request = a_request("GET / HTTP/1.1", "Host: a", "X-Forwarded-For: 203.0.113.9, 198.51.100.1", trusted=True)
    assert "198.51.100.1" == request.get("client_ip")


def test_an_unknown_peer_names_nobody() -> None:
    request = a_request("GET / HTTP/1.1", "Host: a", "X-Forwarded-For: 203.0.113.9")
    assert "192.0.2.7" == request.get("client_ip")


def test_a_new_request_has_tried_nobody_and_has_no_key() -> None:
    request = a_request(*ASKED)
    assert (0, None, 5.0, 2) == (request.key, request.tried, request.now, request.below(3))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("header:x-key", None),
        ("header:X-KEY", None),
        ("header:content-type", "image/png"),
        ("header:host", "Site"),
        ("header:other", None),
        ("cookie:a", None),
        ("cookie:b", None),
        ("cookie:c", "3"),
        ("cookie:d", None),
        ("query:a", None),
        ("query:b", "2"),
        ("query:c", None),
        ("path", "/?a=1&%61=1&b=2"),
        ("client_ip", "192.0.2.7"),
    ],
)
def test_what_was_sent_twice_is_nothing_to_who_asks_for_one(name: str, expected: str | None) -> None:
    request = a_request(
        "GET /?a=1&%61=1&b=2 HTTP/1.1",
        "Host: Site",
        "Content-Type: image/png",
        "X-Key: one",
        "Cookie: a=1; b=2; a=1",
        "x-key: one",
        "Cookie: b=1; c=3",
    )
    assert expected == request.one(name)


@pytest.mark.parametrize("field", ["approach: random", ":approach: random", "header: random"])
def test_a_client_of_http_cannot_name_an_approach(field: str) -> None:
    assert a_request(*ASKED[:2]).get(APPROACH) is None
    try:
        request = a_request(*ASKED[:2], field)
    except ProtocolError:
        assert field.startswith(":")
    else:
        assert request.get(APPROACH) is None
