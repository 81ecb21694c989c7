"""Pools that look into bodies: a request waits for its body before a backend is chosen, then goes on as any other."""

from collections.abc import Callable

import pytest

from steelyard import errors
from steelyard.core.spec import ListenerTimeouts, PoolTimeouts, RespondSpec, RetrySpec, RouteSpec
from steelyard.core.stable import stable_hash
from steelyard.proxy.body_start import MAX_BYTES
from tests.fakes import Peer, World, answer, chunks, forwarded, ok, refused, request

Make = Callable[..., World]

JSON = "Content-Type: application/json"
LINE = "POST / HTTP/1.1"
CHUNKED = "Transfer-Encoding: chunked"
EXPECT = "Expect: 100-continue"
BODY = b'{"user": {"id": "u1"}}'


def looking(make: Make, hosts: str = "a", **settings: object) -> World:
    return make(hosts, policy="hash", key="body:user.id", **settings)


def posted(body: bytes, *fields: str, length: int | None = None) -> bytes:
    return request(LINE, JSON, *fields, f"Content-Length: {len(body) if length is None else length}", body=body)


def got(body: bytes, *fields: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return forwarded(LINE, f"Content-Length: {size}", kept=(JSON, *fields), body=body)


def host_of(user: str, hosts: str) -> str:
    """Where the policy sends that user."""
    return hosts[stable_hash(user) % len(hosts)]


def served(world: World, client: Peer, host: str, expected: bytes) -> None:
    backend = world.accept(host)
    backend << expected
    backend >> ok()
    client << ok()


@pytest.mark.parametrize("user", ["u1", "u2", "u3", "u4", "u5"])
def test_the_body_says_where_a_request_goes(make: Make, user: str) -> None:
    world = looking(make, "abc")
    body = b'{"user": {"id": "%b"}}' % user.encode()
    client = world.client()
    client >> posted(body)
    served(world, client, host_of(user, "abc"), got(body))


@pytest.mark.parametrize("user", ["u1", "u2", "u3", "u4"])
def test_no_backend_is_chosen_before_the_body_is_whole(make: Make, user: str) -> None:
    world = looking(make, "abc")
    body = b'{"user": {"id": "%b"}}' % user.encode()
    client = world.client()
    client >> posted(body[:5], length=len(body))
    for at in range(5, len(body)):
        assert ([], {}) == (world.dialled, world.in_flight)
        assert 0 == client.unread
        client >> body[at : at + 1]
    served(world, client, host_of(user, "abc"), got(body))
    assert [len(body)] == [record.received for record in world.records]


@pytest.mark.parametrize("pieces", [1, 7, 1000])
@pytest.mark.parametrize("trailer", [b"", b"X-Sum: 1\r\n"])
def test_a_chunked_body_is_read_through_its_framing_and_sent_on_with_it(
    make: Make, pieces: int, trailer: bytes
) -> None:
    world = looking(make, "abc")
    body = b"5;ext=1\r\n" + BODY[:5] + b"\r\n" + chunks(BODY[5:], end=False) + b"0\r\n" + trailer + b"\r\n"
    sent = request(LINE, JSON, CHUNKED) + body
    client = world.client()
    for at in range(0, len(sent), pieces):
        assert [] == world.dialled
        client >> sent[at : at + pieces]
    served(world, client, host_of("u1", "abc"), forwarded(LINE, CHUNKED, kept=(JSON,), body=body))


def test_a_kept_connection_gets_head_and_body_in_one_write(make: Make) -> None:
    world = looking(make)
    client = world.client()
    client >> posted(BODY)
    backend = world.accept("a")
    backend << got(BODY)
    backend >> ok()
    client << ok()
    writes = backend.transport.writes
    client >> posted(b"", length=len(BODY)) >> BODY
    assert writes + 1 == backend.transport.writes
    backend << got(BODY)
    backend >> ok()
    client << ok()


def test_pipelined_requests_wait_for_their_bodies_one_after_the_other(make: Make) -> None:
    world = looking(make)
    client = world.client()
    client >> posted(BODY) + posted(BODY) + posted(BODY[:4], length=len(BODY))
    backend = world.accept("a")
    for _ in range(2):
        backend << got(BODY)
        backend >> ok()
        client << ok()
    backend << b""
    client >> BODY[4:]
    backend << got(BODY)
    backend >> ok()
    client << ok()
    assert "open" == client.end


def test_a_client_that_was_held_back_while_it_was_ahead_is_read_again(make: Make) -> None:
    """Nobody else would: there is no backend yet whose connection could ask for more."""
    world = make(
        policy="hash", key="body:user.id", routes=(RouteSpec("/x", respond=RespondSpec(204)), RouteSpec(pool="web"))
    )
    client = world.client()
    many = request("GET /x HTTP/1.1") * 33  # more than are worked through in one turn
    client >> many + posted(BODY[:4], length=len(BODY))
    client >> BODY[4:]
    client << answer("HTTP/1.1 204 No Content") * 33
    served(world, client, "a", got(BODY))


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Type: text/plain", "Content-Length: 99"),
        ("Content-Length: 99",),
        (JSON, "Content-Encoding: gzip", "Content-Length: 99"),
        (JSON, f"Content-Length: {MAX_BYTES + 1}"),
    ],
)
def test_a_body_that_will_tell_nothing_is_not_waited_for(make: Make, fields: tuple[str, ...]) -> None:
    world = looking(make)
    client = world.client()
    client >> request(LINE, *fields, body=b"{")
    backend = world.accept("a")
    backend << forwarded(LINE, fields[-1], kept=fields[:-1], body=b"{")
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 0")
    client << answer("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close")


def test_a_request_without_a_body_waits_for_nothing(make: Make) -> None:
    world = looking(make)
    client = world.client()
    client >> request("GET / HTTP/1.1", JSON)
    served(world, client, "a", forwarded("GET / HTTP/1.1", kept=(JSON,)))


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"user": {"id": null}}', b'{"user": "u1"}', b"\xff" * 9, b"[" * 60000])
def test_a_body_that_says_nothing_is_no_error(make: Make, body: bytes) -> None:
    world = looking(make)
    client = world.client()
    client >> posted(body)
    served(world, client, "a", got(body))


def test_a_chunked_body_that_grows_too_long_goes_on_as_soon_as_that_is_known(make: Make) -> None:
    world = looking(make)
    client = world.client()
    first = chunks(b'{"user": "' + b"x" * (MAX_BYTES - 10), end=False)
    client >> request(LINE, JSON, CHUNKED) + first
    assert [] == world.dialled
    client >> chunks(b"y", end=False)
    backend = world.accept("a")
    backend << forwarded(LINE, CHUNKED, kept=(JSON,), body=first + chunks(b"y", end=False))
    client >> chunks(b'"}')
    backend << chunks(b'"}')
    backend >> ok()
    client << ok()


# Expect: 100-continue. No backend can say it, since none is chosen.


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_client_that_waits_for_100_gets_ours_and_the_backends_is_swallowed(make: Make, framing: str) -> None:
    world = looking(make)
    client = world.client()
    body = BODY if framing == "length" else chunks(BODY)
    field = f"Content-Length: {len(BODY)}" if framing == "length" else CHUNKED
    client >> request(LINE, JSON, EXPECT, field)
    client << answer("HTTP/1.1 100 Continue")
    client >> body
    backend = world.accept("a")
    backend << forwarded(LINE, field, kept=(JSON, EXPECT), body=body)
    backend >> answer("HTTP/1.1 103 Early Hints", "Link: x") + answer("HTTP/1.1 100 Continue") + ok()
    client << answer("HTTP/1.1 103 Early Hints", "Link: x") + ok()


def test_a_client_that_did_not_wait_is_not_told_to_go_on(make: Make) -> None:
    world = looking(make)
    client = world.client()
    client >> posted(BODY[:1], EXPECT, length=len(BODY))
    client << b""
    client >> BODY[1:]
    backend = world.accept("a")
    backend << got(BODY, EXPECT)
    backend >> answer("HTTP/1.1 100 Continue") + ok()
    client << answer("HTTP/1.1 100 Continue") + ok()


def test_where_nobody_looks_into_the_body_the_backend_says_it(make: Make) -> None:
    world = looking(make)
    client = world.client()
    client >> request(LINE, EXPECT, "Content-Length: 2")
    client << b""
    backend = world.accept("a")
    backend << forwarded(LINE, "Content-Length: 2", kept=(EXPECT,))
    backend >> answer("HTTP/1.1 100 Continue")
    client << answer("HTTP/1.1 100 Continue")
    client >> b"ok"
    backend << b"ok"
    backend >> ok()
    client << ok()


# What ends the waiting.


def test_a_client_that_takes_too_long_is_told_so(make: Make) -> None:
    world = looking(make, client_timeouts=ListenerTimeouts(body_s=10.0))
    client = world.client()
    client >> posted(b"{", length=9)
    for _ in range(3):
        world.turn(9.0)
        client >> b" "
    world.turn(10.1)
    client << refused(errors.REQUEST_TIMEOUT, close=True)
    assert [(408, "request_timeout")] == world.outcomes
    assert [0] == [backend.requests for backend in world.pool.backends]


def test_the_whole_exchange_has_its_time(make: Make) -> None:
    world = looking(make, timeouts=PoolTimeouts(total_s=5.0))
    client = world.client()
    client >> posted(b"{", length=9)
    world.turn(5.1)
    client << refused(errors.REQUEST_TIMEOUT, close=True)  # it is the client who is late


@pytest.mark.parametrize("rudely", [False, True])
def test_a_client_that_goes_leaves_nothing(make: Make, rudely: bool) -> None:
    world = looking(make)
    client = world.client()
    client >> posted(b"{", length=9)
    client.reset() if rudely else client.eof()
    assert [] == world.dialled
    assert [(0, "client_gone")] == world.outcomes


def test_a_body_that_grows_too_large_for_its_route_is_refused(make: Make) -> None:
    world = looking(make, routes=(RouteSpec(pool="web", max_body_bytes=5),))
    client = world.client()
    client >> request(LINE, JSON, CHUNKED, EXPECT)
    client << answer("HTTP/1.1 100 Continue")
    client >> chunks(b'{"user"', end=False)
    client << refused(errors.BODY_TOO_LARGE, close=True)
    assert [] == world.dialled


def test_one_that_is_announced_too_large_is_not_asked_for(make: Make) -> None:
    world = looking(make, routes=(RouteSpec(pool="web", max_body_bytes=5),))
    client = world.client()
    client >> posted(b"", EXPECT, length=6)
    client << refused(errors.BODY_TOO_LARGE, close=True)


def test_broken_framing_is_refused_while_waiting(make: Make) -> None:
    world = looking(make)
    client = world.client()
    client >> request(LINE, JSON, CHUNKED, body=b"2\r\n{}")
    client >> b"}"
    client << refused(errors.BAD_REQUEST, close=True)
    assert [] == world.dialled


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_refusal_after_the_waiting_leaves_the_client_its_connection(make: Make, framing: str) -> None:
    """The body has come whole: the next request is where it should be."""
    world = looking(make)
    (backend,) = world.pool.backends
    backend.set_healthy(False)
    client = world.client()
    sent = posted(BODY) if framing == "length" else request(LINE, JSON, CHUNKED, body=chunks(BODY))
    client >> sent[:-5]
    client >> sent[-5:] + posted(BODY)[:40]
    client << refused(errors.NONE_UP)
    assert "open" == client.end
    backend.set_healthy(True)
    client >> posted(BODY)[40:]
    served(world, client, "a", got(BODY))
    assert [(503, "none_up"), (200, "-")] == world.outcomes


def test_a_refusal_of_a_body_that_is_too_long_and_came_whole(make: Make) -> None:
    world = looking(make)
    world.pool.backends[0].set_healthy(False)
    client = world.client()
    client >> request(LINE, JSON, CHUNKED)
    client >> chunks(b"x" * (MAX_BYTES + 1)) + posted(BODY)
    client << refused(errors.NONE_UP) * 2
    assert "open" == client.end


# Tries.


def test_a_body_that_was_waited_for_is_held_for_another_try_as_any_other(make: Make) -> None:
    world = looking(make, "ab")
    first, other = ("a", "b") if host_of("u1", "ab") == "a" else ("b", "a")
    client = world.client()
    client >> request("PUT / HTTP/1.1", JSON, CHUNKED)
    client >> chunks(BODY)
    expected = forwarded("PUT / HTTP/1.1", CHUNKED, kept=(JSON,), body=chunks(BODY))
    backend = world.accept(first)
    backend << expected
    backend.reset()
    served(world, client, other, expected)
    assert [2] == [record.tries for record in world.records]


def test_one_that_is_longer_than_what_is_held_is_sent_once(make: Make) -> None:
    world = looking(make, "ab", retry=RetrySpec(hold_body_bytes=4))
    first = host_of("u1", "ab")
    client = world.client()
    client >> request("PUT / HTTP/1.1", JSON, CHUNKED)
    client >> chunks(BODY)
    backend = world.accept(first)
    backend << forwarded("PUT / HTTP/1.1", CHUNKED, kept=(JSON,), body=chunks(BODY))
    backend.reset()
    client << refused(errors.CLOSED_EARLY)
    assert [] == world.dialled
