"""Stickiness on the wire: an answer brings a cookie, the cookie brings the client back, and nothing else does."""

import re
from collections.abc import Callable

import pytest

from steelyard import errors
from steelyard.core.spec import RetrySpec, RouteSpec, StickySpec
from tests.fakes import Peer, World, answer, forwarded, head, ok, refused, request

Make = Callable[..., World]

STICKY = StickySpec("lb", "a secret")
GET = request()


def sticking(make: Make, hosts: str = "ab", **settings: object) -> World:
    return make(hosts, sticky=STICKY, **settings)


def line_of(world: World, host: str) -> str:
    """The Set-Cookie line that brings a client to this backend."""
    (backend,) = [backend for backend in world.pool.backends if backend.host == host]
    assert world.pool.sticky is not None
    return f"Set-Cookie: {world.pool.sticky.lines[backend]}"


def cookie_of(world: World, host: str) -> str:
    """What a client makes of that line."""
    return line_of(world, host).removeprefix("Set-Cookie: ").partition(";")[0]


def ask(world: World, client: Peer, *fields: str) -> Peer:
    """Send a request and accept it wherever it goes; the backend, which has got it."""
    client >> request("GET / HTTP/1.1", *fields)
    backend = world.accept(world.dialled[0])
    backend << forwarded(kept=fields)
    return backend


def host(backend: Peer) -> str:
    return backend.name.removeprefix("backend ")


def reply(backend: Peer) -> None:
    backend >> answer("HTTP/1.1 200 OK", "Connection: close", "Content-Length: 0")


def test_an_answer_to_a_stranger_brings_a_cookie_behind_the_backends_own(make: Make) -> None:
    world = sticking(make)
    client = world.client()
    backend = ask(world, client)
    backend >> ok(b"", "Set-Cookie: session=1", "Set-Cookie: lb=theirs")
    got = client.take()
    expected = head("HTTP/1.1 200 OK", "Set-Cookie: session=1", "Set-Cookie: lb=theirs", line_of(world, "a"))
    assert got == expected[:-2] + b"Content-Length: 0\r\n\r\n"
    assert re.fullmatch(r"Set-Cookie: lb=[\w-]{22}; Path=/; HttpOnly; SameSite=Lax", line_of(world, "a"))


@pytest.mark.parametrize("wanted", ["a", "b"])
def test_a_client_that_brings_its_cookie_goes_where_it_was_and_gets_no_other(make: Make, wanted: str) -> None:
    world = sticking(make)
    client = world.client()
    for _ in range(3):
        backend = ask(world, client, f"Cookie: x=y; {cookie_of(world, wanted)}")
        assert wanted == host(backend)
        reply(backend)
        client << ok(b"")


def stale(world: World) -> str:
    """Of a backend that was removed."""
    return cookie_of(World("ac", sticky=STICKY), "c")


def of_another_secret(world: World) -> str:
    return cookie_of(World("ab", sticky=StickySpec("lb", "another")), "b")


NOT_OURS: dict[str, Callable[[World], str]] = {
    "stale": stale,
    "of another secret": of_another_secret,
    "forged": lambda world: "lb=forged",
    "as long": lambda world: "lb=" + "A" * 22,
    "empty": lambda world: "lb=",
    "an address": lambda world: "lb=b:80",
    "cut": lambda world: cookie_of(world, "b")[:-1],
    "longer": lambda world: cookie_of(world, "b") + "A",
    "quoted": lambda world: cookie_of(world, "b").replace("lb=", 'lb="') + '"',
    "of another name": lambda world: cookie_of(world, "b").replace("lb=", "LB="),
    "behind a forged one": lambda world: "lb=forged; " + cookie_of(world, "b"),
    "huge": lambda world: "lb=" + "x" * 30000,
    "many": lambda world: "; ".join(f"c{n}=1" for n in range(3000)),
    "beyond ascii": lambda world: "lb=\xff\xfe",
    "no pairs": lambda world: ";;;=;lb",
}


@pytest.mark.parametrize("make_cookie", NOT_OURS.values(), ids=NOT_OURS)
def test_a_cookie_that_is_none_of_ours_is_no_cookie(make: Make, make_cookie: Callable[[World], str]) -> None:
    """The rotation's next is a, and the answer brings a's cookie."""
    world = sticking(make)
    client = world.client()
    backend = ask(world, client, f"Cookie: {make_cookie(world)}")
    assert "a" == host(backend)
    reply(backend)
    assert line_of(world, "a").encode() in client.take()


def test_of_two_cookies_the_first_counts(make: Make) -> None:
    world = sticking(make)
    client = world.client()
    backend = ask(world, client, f"Cookie: {cookie_of(world, 'b')}; {cookie_of(world, 'a')}", "Cookie: lb=forged")
    assert "b" == host(backend)
    reply(backend)
    client << ok(b"")


def test_two_balancers_with_the_same_secret_agree_whatever_else_they_know(make: Make) -> None:
    one, other = sticking(make, "abc"), sticking(make, "dcb")
    assert [cookie_of(one, name) for name in "bc"] == [cookie_of(other, name) for name in "bc"]
    client = other.client()
    backend = ask(other, client, f"Cookie: {cookie_of(one, 'b')}")
    assert "b" == host(backend)
    reply(backend)
    client << ok(b"")


@pytest.mark.parametrize("why", ["down", "draining", "weight 0"])
def test_the_client_of_a_backend_that_takes_nobody_moves_and_gets_a_new_cookie(make: Make, why: str) -> None:
    world = sticking(make)
    b = world.pool.backends[1]
    {"down": lambda: b.set_healthy(False), "draining": lambda: b.set_draining(True)}.get(why, lambda: b.set_weight(0))()
    client = world.client()
    for _ in range(2):
        backend = ask(world, client, f"Cookie: {cookie_of(world, 'b')}")
        assert "a" == host(backend)
        reply(backend)
        client << head("HTTP/1.1 200 OK", line_of(world, "a"))[:-2] + b"Content-Length: 0\r\n\r\n"


def test_a_client_whose_backend_fails_is_moved_within_its_request(make: Make) -> None:
    world = sticking(make)
    client = world.client()
    client >> request("GET / HTTP/1.1", f"Cookie: {cookie_of(world, 'b')}")
    world.refuse("b")
    backend = world.accept("a")
    backend << forwarded(kept=(f"Cookie: {cookie_of(world, 'b')}",))
    reply(backend)
    assert line_of(world, "a").encode() in client.take()


def test_an_error_brings_no_cookie_passed_on_or_not(make: Make) -> None:
    """Or a client would be kept where its first request failed."""
    world = sticking(make, retry=RetrySpec(on_status=(503,)))
    client = world.client()
    for name in "ab":
        if name == "a":
            client >> GET
        backend = world.accept(name)
        backend << forwarded()
        backend >> answer("HTTP/1.1 503 Busy", "Content-Length: 0")
    client << head("HTTP/1.1 503 Busy")[:-2] + b"Content-Length: 0\r\n\r\n"


def test_an_interim_head_brings_none(make: Make) -> None:
    world = sticking(make)
    client = world.client()
    backend = ask(world, client)
    backend >> answer("HTTP/1.1 103 Early Hints", "Link: x")
    client << answer("HTTP/1.1 103 Early Hints", "Link: x")
    reply(backend)
    assert 1 == client.take().count(b"Set-Cookie")


def test_nor_does_a_refusal_or_a_fixed_answer_of_ours(make: Make) -> None:
    world = sticking(make, "a")
    world.pool.backends[0].set_healthy(False)
    client = world.client()
    client >> GET
    client << refused(errors.NONE_UP)


def test_an_upgraded_connection_brings_a_cookie_too(make: Make) -> None:
    """So that a WebSocket client comes back to where it was."""
    wish = ("Connection: Upgrade", "Upgrade: websocket")
    world = sticking(make)
    client = world.client()
    client >> request("GET / HTTP/1.1", *wish)
    backend = world.accept("a")
    backend << forwarded("GET / HTTP/1.1", *wish)
    backend >> head("HTTP/1.1 101 Switching Protocols", *wish, body=b"hello")
    client << head("HTTP/1.1 101 Switching Protocols", line_of(world, "a"), *wish, body=b"hello")
    client.eof()
    backend.eof()
    backend.take()


def test_an_upgraded_connection_of_a_pool_without_stickiness_brings_none(make: Make) -> None:
    wish = ("Connection: Upgrade", "Upgrade: websocket")
    world = make()
    client = world.client()
    client >> request("GET / HTTP/1.1", *wish)
    backend = world.accept("a")
    backend << forwarded("GET / HTTP/1.1", *wish)
    backend >> head("HTTP/1.1 101 Switching Protocols", *wish)
    client << head("HTTP/1.1 101 Switching Protocols", *wish)


def test_a_client_of_http_1_0_gets_one_too(make: Make) -> None:
    world = sticking(make)
    client = world.client()
    client >> request("GET / HTTP/1.0")
    backend = world.accept("a")
    backend << forwarded(via="1.0")
    backend >> ok()
    client << head("HTTP/1.1 200 OK", line_of(world, "a"), "Content-Length: 2", "Connection: close", body=b"ok")


def test_a_pool_without_stickiness_reads_no_cookies_and_sets_none(make: Make) -> None:
    world = make("ab", routes=(RouteSpec(pool="web"),))
    client = world.client()
    backend = ask(world, client, f"Cookie: {cookie_of(sticking(make), 'b')}")
    assert "a" == host(backend)
    reply(backend)
    client << ok(b"")
