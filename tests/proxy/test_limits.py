"""Limits of a listener and of its routes, as a client meets them."""

from collections.abc import Callable

import pytest

from steelyard import errors
from steelyard.core.crowd import Crowd, crowd_cells
from steelyard.core.door import CONNECTIONS, CROWDED, IN_FLIGHT, LIMITED, OVER, OVERLOADED
from steelyard.core.ratelimit import RateLimit
from steelyard.core.spec import ListenerTimeouts, PoolTimeouts, RateLimitSpec, RespondSpec, RouteSpec
from steelyard.core.table import Table
from tests.fakes import CLIENT, World, forwarded, ok, refused, request

Make = Callable[..., World]
ROW = 1


def a_limit(world: World, **spec: object) -> RateLimit:
    """On the first route, two requests at once and one every 2 s."""
    table = Table(bytearray(Table.size_bytes(2, 1)), 2)
    limit = RateLimit(RateLimitSpec(0.5, 2, **spec), table, ROW)  # type: ignore[arg-type]
    world.context.router.routes[0].limit = limit
    return limit


# Rate limits.


def test_what_comes_too_soon_is_refused_at_once_and_the_connection_stays_open(make: Make) -> None:
    world = make(routes=(RouteSpec(respond=RespondSpec(204)),))
    limit = a_limit(world)
    client = world.client()
    for _ in range(2):
        client >> request()
        assert client.take().startswith(b"HTTP/1.1 204 ")
    client >> request()
    client << refused(errors.RATE_LIMITED, retry_after_s=2)
    assert "open" == client.end
    world.turn(1.5)
    client >> request()
    client << refused(errors.RATE_LIMITED, retry_after_s=1)
    world.turn(0.5)
    client >> request()
    assert client.take().startswith(b"HTTP/1.1 204 ")
    assert [(429, "rate_limited")] * 2 == [outcome for outcome in world.outcomes if outcome[0] != 204]
    assert 2 == limit.table.total(ROW, LIMITED)


def test_no_backend_hears_of_what_is_refused_and_a_body_that_is_whole_closes_nothing(make: Make) -> None:
    world = make()
    a_limit(world)
    client = world.client()
    client >> request()
    backend = world.accept("a")
    for again in (True, False):
        backend << forwarded()
        backend >> ok()
        client << ok()
        if again:
            client >> request()
    client >> request("POST / HTTP/1.1", "Content-Length: 3", body=b"abc")
    client << refused(errors.RATE_LIMITED, retry_after_s=2)
    assert ("open", b"", {}) == (client.end, backend.take(), world.in_flight)
    client >> request("POST / HTTP/1.1", "Content-Length: 3", body=b"a")
    client << refused(errors.RATE_LIMITED, close=True, retry_after_s=2)
    assert "eof" == client.end


def test_dry_it_only_counts(make: Make) -> None:
    world = make(routes=(RouteSpec(respond=RespondSpec(204)),))
    limit = a_limit(world, dry_run=True)
    client = world.client()
    for _ in range(5):
        client >> request()
        assert client.take().startswith(b"HTTP/1.1 204 ")
    assert (0, 3) == (limit.table.total(ROW, LIMITED), limit.table.total(ROW, OVER))


def test_a_client_behind_a_trusted_proxy_is_whom_that_names(make: Make) -> None:
    world = make(routes=(RouteSpec(respond=RespondSpec(204)),), trusted=(CLIENT,))
    a_limit(world)
    client = world.client()
    statuses = []
    for address in ("10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.1"):
        client >> request("GET / HTTP/1.1", f"X-Forwarded-For: {address}")
        statuses.append(client.take()[9:12])
    assert [b"204", b"204", b"204", b"429"] == statuses


# Requests in flight.


def test_more_requests_than_may_be_in_flight_are_refused_at_once(make: Make) -> None:
    world = make(listener={"max_in_flight": 1})
    table = world.context.door.table
    first, second = world.client(), world.client()
    first >> request()
    backend = world.accept("a")
    backend << forwarded()
    second >> request()
    second << refused(errors.OVERLOADED)
    assert "open" == second.end
    assert (1, 1) == (table.total(0, IN_FLIGHT), table.total(0, OVERLOADED))
    backend >> ok()
    first << ok()
    assert 0 == table.total(0, IN_FLIGHT)
    second >> request()
    backend << forwarded()
    second.reset()
    assert 0 == table.total(0, IN_FLIGHT)
    assert (503, "overloaded") in world.outcomes


def test_fixed_answers_are_given_all_the_same(make: Make) -> None:
    world = make(
        routes=(RouteSpec(path="/up", respond=RespondSpec(204)), RouteSpec(pool="web")), listener={"max_in_flight": 1}
    )
    busy, other = world.client(), world.client()
    busy >> request()
    world.accept("a").take()
    other >> request("GET /up HTTP/1.1")
    assert other.take().startswith(b"HTTP/1.1 204 ")


def test_without_a_limit_none_are_counted(world: World) -> None:
    client = world.client()
    client >> request()
    world.accept("a").take()
    assert 0 == world.context.door.table.total(0, IN_FLIGHT)


# Connections of one client.


def with_crowd(world: World, most: int) -> World:
    door = world.context.door
    cells = memoryview(bytearray(8 * crowd_cells(8))).cast("q")
    world.context.crowd = Crowd(door.table, door.row, cells, 0, len(cells), most)
    return world


def test_a_client_that_has_too_many_connections_is_told_and_the_new_one_closed(make: Make) -> None:
    world = with_crowd(make(), 2)
    table = world.context.door.table
    first, _ = world.client(), world.client()
    third = world.client()
    world.loop.settle()
    third << refused(errors.CROWDED, close=True)
    assert "closed" == third.end
    other = world.client("192.0.2.8")
    world.loop.settle()
    assert (b"", 3, 1) == (other.take(), table.total(0, CONNECTIONS), table.total(0, CROWDED))
    assert [(429, "crowded")] == world.outcomes
    first.reset()
    again = world.client()
    world.loop.settle()
    assert (b"", "open") == (again.take(), again.end)


def test_the_addresses_of_one_ipv6_network_are_one_client(make: Make) -> None:
    world = with_crowd(make(), 1)
    first = world.client("2001:db8::1")
    second = world.client("2001:db8::2")
    world.loop.settle()
    second << refused(errors.CROWDED, close=True)
    assert ["open", "open"] == [first.end, world.client("2001:db8:0:1::1").end]
    first.reset()
    assert "open" == world.client("2001:db8::3").end


def test_a_trusted_proxy_and_a_unix_socket_are_not_one_client(make: Make) -> None:
    world = with_crowd(make(trusted=("192.0.2.9",)), 1)
    for _ in range(3):
        assert "open" == world.client("192.0.2.9").end
        assert "open" == world.client("", on_unix=True).end


def test_connections_are_counted_until_they_are_closed(world: World) -> None:
    table = world.context.door.table
    clients = [world.client() for _ in range(3)]
    assert 3 == table.total(0, CONNECTIONS)
    clients[0].reset()
    clients[1].eof()
    world.loop.settle()
    assert 1 == table.total(0, CONNECTIONS)


# Slow bodies.


def an_upload(world: World) -> tuple[object, object]:
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 100000")
    backend = world.accept("a")
    backend.take()
    return client, backend


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_trickles_is_given_up_and_one_at_the_least_rate_is_not(make: Make, chunked: bool) -> None:
    world = make(client_timeouts=ListenerTimeouts(body_s=10.0), listener={"min_body_rate": 100})
    slow, steady = world.client(), world.client()
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 100000"
    for client in (slow, steady):
        client >> request("POST / HTTP/1.1", framing)
        world.accept("a").take()
    for _ in range(10):
        world.turn(1.0)
        slow >> (b"1\r\nx\r\n" if chunked else b"x")
        steady >> (b"64\r\n" + b"y" * 100 + b"\r\n" if chunked else b"y" * 100)
    world.turn(1.0)
    slow << refused(errors.REQUEST_TIMEOUT, close=True)
    for _ in range(20):
        world.turn(1.0)
        steady >> (b"64\r\n" + b"y" * 100 + b"\r\n" if chunked else b"y" * 100)
    assert ("open", [(408, "request_timeout")]) == (steady.end, world.outcomes)
    for peer in world.peers:
        peer.take()


def test_time_in_which_we_hold_the_client_back_does_not_count(make: Make) -> None:
    world = make(client_timeouts=ListenerTimeouts(body_s=10.0), listener={"min_body_rate": 100})
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 100000", body=b"x" * 100)
    backend = world.accept("a")
    backend.stop_reading()
    client >> b"y" * 1000
    world.turn(50.0)
    assert "open" == client.end
    backend.read()
    world.turn(9.0)
    client >> b"y"
    world.turn(9.0)
    client >> b"y"
    world.turn(2.9)
    assert "open" == client.end  # ten seconds of grace and eleven for what has come
    world.turn(0.3)
    client << refused(errors.REQUEST_TIMEOUT, close=True)
    backend.take()


def test_off_it_may_take_for_ever_as_long_as_something_comes(make: Make) -> None:
    world = make(client_timeouts=ListenerTimeouts(body_s=10.0), listener={"min_body_rate": None})
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Length: 100")
    backend = world.accept("a")
    for _ in range(50):
        world.turn(9.0)
        client >> b"x"
    assert "open" == client.end
    backend.take()


@pytest.mark.parametrize("ahead", [False, True])
def test_a_body_that_was_held_back_before_it_began_has_no_more_time_than_another(make: Make, ahead: bool) -> None:
    """Its client is far ahead of its answers, so that we do not read when the body begins."""
    world = make(
        client_timeouts=ListenerTimeouts(body_s=60.0),
        listener={"min_body_rate": 100},
        timeouts=PoolTimeouts(response_s=1e6),
    )
    client = world.client()
    if ahead:
        client >> request()
        world.accept("a").take()
    client >> request("POST / HTTP/1.1", "Content-Length: 1000000", body=b"x" * 70_000)
    if ahead:
        assert not client.transport.reading
        world.peers[1] >> ok()
        client << ok()
    else:
        world.accept("a").take()
    began = world.loop.time()
    while client.end == "open" and world.loop.time() < began + 5000:
        world.turn(50.0)
        if client.end == "open":
            client >> b"x"
    client.take()
    for peer in world.peers:
        peer.take()
    assert 700 <= world.loop.time() - began <= 900  # 60 s and 70,000 bytes at 100 a second
