"""core/router.py: the first route whose conditions hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.router import AMBIGUOUS, Router
from steelyard.core.spec import RespondSpec, RouteSpec
from tests.fakes_core import Ask


def pool_for(routes: tuple[RouteSpec, ...], **parts: str) -> str | None:
    """The pool that a request with these parts is sent to; `header_x_y` stands for the field `x-y`."""
    named = {
        f"header:{name[7:].replace('_', '-')}" if name.startswith("header_") else name: value
        for name, value in parts.items()
    }
    route = Router(routes).match(Ask(named))
    if route is None:
        return None
    if route is AMBIGUOUS:
        return "ambiguous"
    return route.spec.pool


def test_the_first_route_that_holds_is_taken() -> None:
    routes = (RouteSpec("/a/*", pool="one"), RouteSpec("/a/b", pool="two"), RouteSpec("/c", pool="three"))
    assert "one" == pool_for(routes, path="/a/b")
    assert "three" == pool_for(routes, path="/c?x=/a/")
    assert pool_for(routes, path="/d") is None
    assert pool_for((), path="/d") is None


def test_a_route_that_takes_everything_is_found_without_a_question() -> None:
    router = Router((RouteSpec(pool="all"), RouteSpec("/a", pool="hidden")))
    ask = Ask({"path": "/a"})
    assert router.only is router.routes[0] is router.match(ask)
    assert [] == ask.asked


def test_slash_star_takes_everything_too() -> None:
    router = Router((RouteSpec("/*", pool="all"),))
    assert router.only is router.routes[0]


def test_a_route_with_any_condition_does_not_take_everything() -> None:
    conditions = (
        RouteSpec("/a", pool="p"),
        RouteSpec("*", pool="p"),
        RouteSpec(hosts=("a",), pool="p"),
        RouteSpec(methods=("GET",), pool="p"),
        RouteSpec(headers=(("x", "*"),), pool="p"),
        RouteSpec(content_type="text/*", pool="p"),
    )
    assert [None] * 6 == [Router((spec,)).only for spec in conditions]
    assert Router(()).only is None


def test_only_what_a_condition_needs_is_asked_for() -> None:
    ask = Ask({"method": "GET"})
    Router((RouteSpec(methods=("PUT",), pool="one"), RouteSpec(pool="two"))).match(ask)
    assert ["method"] == ask.asked
    ask = Ask({"path": "/b", "host": "a"})
    Router((RouteSpec("/a", hosts=("a",), pool="one"), RouteSpec("/b", pool="two"))).match(ask)
    assert ["path"] == ask.asked


def test_a_request_without_a_path_takes_a_route_without_one() -> None:
    routes = (RouteSpec("/a", pool="one"), RouteSpec(pool="two"))
    assert "two" == pool_for(routes)


@pytest.mark.parametrize(
    ("pattern", "path", "holds"),
    [
        ("/health", "/health", True),
        ("/health", "/health?x=1", True),
        ("/health", "//./health", True),
        ("/health", "/%68ealth", True),
        ("/health", "/health/", False),
        ("/health", "/Health", False),
        ("/static/*", "/static/a/b", True),
        ("/static/*", "/static/", True),
        ("/static/*", "/static", False),
        ("/static/*", "/static/../secret", False),
        ("/static/*", "/a/../static/b", True),
        ("/st*", "/static", True),
        ("/caf%C3%A9", "/café", True),
        ("/café/*", "/caf%C3%A9/x", True),
        ("/.*", "/.git", True),
        ("/.*", "/git", False),
    ],
)
def test_paths_are_compared_in_their_normal_form(pattern: str, path: str, holds: bool) -> None:
    assert ("p" if holds else None) == pool_for((RouteSpec(pattern, pool="p"),), path=path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/public/a%2Fb", "public"),  # read either way, it is public
        ("/public/..%2Fadmin", "ambiguous"),
        ("/public/..%5Cadmin", "ambiguous"),
        ("/public/..\\admin", "ambiguous"),
        ("/public%2Fa", "ambiguous"),
        ("/public/%2e%2e/admin", "rest"),  # no doubt here: dots are dots
        ("/x%2Fy", "rest"),
        ("/x%5C..%2F..\\public/a", "ambiguous"),
    ],
)
def test_a_path_that_servers_read_differently_must_mean_one_route(path: str, expected: str) -> None:
    routes = (RouteSpec("/public/*", pool="public"), RouteSpec(pool="rest"))
    assert expected == pool_for(routes, path=path)


@pytest.mark.parametrize(
    ("wanted", "host", "holds"),
    [
        ("example.org", "example.org", True),
        ("example.org", "EXAMPLE.org:8080", True),
        ("Example.ORG", "example.org.", True),
        ("example.org", "example.org.:80", True),
        ("example.org", "example.org:", True),
        ("example.org", "a.example.org", False),
        ("example.org", "example.org:x", False),
        ("*.example.org", "a.example.org", True),
        ("*.example.org", "a.b.example.org:1", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", ".example.org", False),
        ("*.example.org", "badexample.org", False),
        ("[::1]", "[::1]:8080", True),
        ("[::1]", "[::1]", True),
        ("::1", "::1", True),
        ("::1", "::2", False),
        ("10.0.0.1", "10.0.0.1:80", True),
    ],
)
def test_hosts_without_case_and_port(wanted: str, host: str, holds: bool) -> None:
    assert ("p" if holds else None) == pool_for((RouteSpec(hosts=("other", wanted), pool="p"),), host=host)


def test_a_request_without_a_host_takes_no_route_that_names_one() -> None:
    assert pool_for((RouteSpec(hosts=("a",), pool="p"),)) is None


def test_methods_are_compared_exactly() -> None:
    routes = (RouteSpec(methods=("GET", "HEAD"), pool="read"), RouteSpec(methods=("POST",), pool="write"))
    assert ["read", "read", "write", None, None] == [
        pool_for(routes, method=method) for method in ("GET", "HEAD", "POST", "get", "PUT")
    ]


@pytest.mark.parametrize(
    ("wanted", "value", "holds"),
    [
        ("image/*", "image/png", True),
        ("image/*", "IMAGE/PNG; q=1", True),
        ("image/*", "imagex/png", False),
        ("text/plain", "text/plain;charset=utf-8", True),
        ("text/plain", " text/plain ; charset=utf-8", True),
        ("Text/Plain", "text/plain", True),
        ("text/plain", "text/plain2", False),
    ],
)
def test_content_types_without_parameters(wanted: str, value: str, holds: bool) -> None:
    assert ("p" if holds else None) == pool_for((RouteSpec(content_type=wanted, pool="p"),), content_type=value)


def test_a_request_without_a_content_type_takes_no_route_that_names_one() -> None:
    assert pool_for((RouteSpec(content_type="image/*", pool="p"),)) is None


def test_headers_by_value_and_by_presence() -> None:
    routes = (RouteSpec(headers=(("x-kind", "*"), ("x-beta", "yes")), pool="p"),)
    assert "p" == pool_for(routes, header_x_kind="any", header_x_beta="yes")
    assert pool_for(routes, header_x_kind="any", header_x_beta="no") is None
    assert pool_for(routes, header_x_beta="yes") is None


def test_every_condition_must_hold() -> None:
    parts = {"path": "/a", "host": "h", "method": "GET", "content_type": "text/x", "header_x": "1"}
    routes = (RouteSpec("/a", ("h",), ("GET",), (("x", "1"),), "text/x", pool="p"),)
    assert "p" == pool_for(routes, **parts)
    for name in parts:
        assert pool_for(routes, **{**parts, name: "other"}) is None


def test_a_route_carries_what_the_proxy_attaches() -> None:
    respond = RespondSpec(body="OK")
    routes = Router((RouteSpec("/a", respond=respond, max_body_bytes=0), RouteSpec("/b", pool="p"))).routes
    assert [0, -1] == [route.max_body_bytes for route in routes]
    assert [None, None] == [route.pool for route in routes]
    assert [respond, None] == [route.respond or route.spec.respond for route in routes]
    attached = object()
    routes[0].respond = routes[1].pool = attached
    routes[0].max_body_bytes = 5
    assert (attached, attached, 5) == (routes[0].respond, routes[1].pool, routes[0].max_body_bytes)


PIECES = st.sampled_from(["/", "..", ".", "%2F", "%2e", "%5C", "\\", "public", "admin"])


@given(st.lists(PIECES, max_size=10).map(lambda pieces: "/" + "".join(pieces)))
def test_no_reading_of_a_routed_path_belongs_to_another_route(path: str) -> None:
    """A server that takes every encoded and every back slash for a slash agrees with us, or we refused."""
    routes = (RouteSpec("/public/*", pool="public"), RouteSpec(pool="rest"))
    chosen = pool_for(routes, path=path)
    loose = path.replace("%2F", "/").replace("%5C", "/").replace("\\", "/")
    assert chosen in ("ambiguous", pool_for(routes, path=loose))
