"""Kept connections: who gets which, how many are kept, and for how long."""

from collections.abc import Callable

import pytest

from steelyard import errors
from steelyard.core.spec import PolicySpec, PoolTimeouts, RetrySpec, StickySpec
from tests.fakes import Peer, World, answer, forwarded, ok, refused, request

Make = Callable[..., World]

GET = request()
GOT = forwarded()


def keep(world: World, count: int) -> tuple[list[Peer], list[Peer]]:
    """So many connections to backend a that are idle, given back in order, a second apart."""
    clients = [world.client() for _ in range(count)]
    backends = []
    for client in clients:
        client >> GET
        backends.append(world.accept("a"))
    for client, backend in zip(clients, backends, strict=True):
        world.turn(1.0)
        backend << GOT
        backend >> ok()
        client << ok()
    return clients, backends


def test_the_connection_used_last_is_taken_first_so_that_the_others_grow_old(world: World) -> None:
    clients, backends = keep(world, 3)
    for _ in range(4):
        world.turn(10.0)
        clients[0] >> GET
        backends[2] << GOT
        backends[2] >> ok()
        clients[0] << ok()
    assert ["aborted", "aborted", "open"] == [backend.end for backend in backends]
    assert ["a"] == world.idle


def test_no_more_than_so_many_are_kept(make: Make) -> None:
    world = make(max_idle=2)
    _, backends = keep(world, 3)
    assert ["open", "open", "aborted"] == [backend.end for backend in backends]
    assert ["a", "a"] == world.idle


def test_none_at_all_are_kept_if_so_wished(make: Make) -> None:
    world = make(max_idle=0)
    _, (backend,) = keep(world, 1)
    assert "aborted" == backend.end


def test_those_that_the_backend_closed_unseen_are_passed_over(world: World) -> None:
    clients, backends = keep(world, 3)
    world.turn(1.0)
    for backend in backends[1:]:
        backend.transport.protocol.sock.in_kernel = b""
    clients[0] >> GET
    backends[0] << GOT
    assert ["open", "aborted", "aborted"] == [backend.end for backend in backends]
    assert [] == world.idle
    backends[0] >> ok()
    clients[0] << ok()


def test_a_connection_in_use_does_not_grow_old(make: Make) -> None:
    world = make(timeouts=PoolTimeouts(idle_s=10.0, response_s=60.0))
    (client,), (backend,) = keep(world, 1)
    world.turn(9.0)
    client >> GET
    backend << GOT
    world.turn(30.0)
    backend >> ok()
    client << ok()
    assert "open" == backend.end


def test_kept_connections_belong_to_their_backend(make: Make) -> None:
    world = make("ab")
    client = world.client()
    peers = {}
    for host in "ab":
        client >> GET
        peers[host] = world.accept(host)
        peers[host] << GOT
        peers[host] >> ok()
        client << ok()
    for host in "abab":
        client >> GET
        peers[host] << GOT
        peers[host] >> ok()
        client << ok()
    assert ["a", "b"] == world.idle


def test_closing_a_pools_connections_closes_the_idle_and_keeps_none_of_the_busy(world: World) -> None:
    clients, backends = keep(world, 2)
    clients[0] >> GET
    backends[1] << GOT
    world.connections.close()
    assert ["aborted", "open"] == [backend.end for backend in backends]
    backends[1] >> ok()
    clients[0] << ok()
    assert "aborted" == backends[1].end
    assert [] == world.idle


@pytest.mark.parametrize("rudely", [False, True])
def test_one_that_the_backend_closes_while_idle_is_no_failure(world: World, rudely: bool) -> None:
    _, (backend,) = keep(world, 1)
    backend.reset() if rudely else backend.eof()
    assert [] == world.idle
    assert [0] == [backend.failures for backend in world.pool.backends]


# Another configuration.


def test_kept_connections_of_a_backend_that_stays_survive(make: Make) -> None:
    world = make()
    (client,), (backend,) = keep(world, 1)
    world.reload("ba", max_idle=7)
    assert ["a"] == world.idle
    while not backend.transport.sent:
        client >> GET
        if world.dialled:
            other = world.accept("b")
            other << GOT
            other >> ok()
            client << ok()
    backend << GOT
    backend >> ok()
    client << ok()


def test_kept_connections_to_a_backend_that_has_left_are_closed(make: Make) -> None:
    world = make()
    (client,), (backend,) = keep(world, 1)
    world.reload("b")
    assert ("aborted", []) == (backend.end, world.idle)
    client >> GET
    other = world.accept("b")
    other << GOT
    other >> ok()
    client << ok()


def test_an_answer_of_a_backend_that_has_left_still_comes_and_its_connection_is_not_kept(make: Make) -> None:
    world = make()
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    world.reload("b")
    backend >> ok()
    client << ok()
    assert ("aborted", "open", []) == (backend.end, client.end, world.idle)
    assert [(200, "-")] == world.outcomes


def test_a_backend_that_has_left_and_comes_back_keeps_its_connections_anew(make: Make) -> None:
    world = make()
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    world.reload("b")
    world.reload("a")
    backend >> ok()
    client << ok()
    assert ("aborted", []) == (backend.end, world.idle)
    client >> GET
    again = world.accept("a")
    again << GOT
    again >> ok()
    client << ok()
    assert ["a"] == world.idle


def test_a_dial_to_a_backend_that_leaves_goes_on_for_who_waits_for_it(make: Make) -> None:
    world = make()
    client = world.client()
    client >> GET
    world.reload("b")
    backend = world.accept("a")
    backend << GOT
    backend >> ok()
    client << ok()
    assert "aborted" == backend.end


def test_a_request_that_fails_at_a_backend_that_has_left_is_tried_at_one_that_is_there(make: Make) -> None:
    world = make()
    client = world.client()
    client >> GET
    world.reload("b")
    world.refuse("a")
    backend = world.accept("b")
    backend << GOT
    backend >> ok()
    client << ok()


def test_a_kept_connection_that_was_stale_is_replaced_also_where_its_backend_has_left(make: Make) -> None:
    world = make()
    (client,), (backend,) = keep(world, 1)
    client >> GET
    backend << GOT
    world.reload("b")
    backend.eof()
    again = world.accept("a")
    again << GOT
    again >> ok()
    client << ok()
    assert "aborted" == again.end


@pytest.mark.parametrize("hosts", ["b", ""])
def test_one_more_try_at_a_backend_that_has_left_goes_there(make: Make, hosts: str) -> None:
    world = make(retry=RetrySpec(same_backend=1))
    client = world.client()
    client >> GET
    world.refuse("a")
    world.reload(hosts)
    world.turn(1.0)
    backend = world.accept("a")
    backend << GOT
    backend >> ok()
    client << ok()


def test_a_request_whose_pool_has_lost_every_backend_is_refused(make: Make) -> None:
    world = make()
    client = world.client()
    client >> GET
    world.reload("")
    world.refuse("a")
    client << refused(errors.CONNECT_FAILED)
    client >> GET
    client << refused(errors.NONE_UP)


def test_a_request_that_waits_for_its_body_goes_by_the_configuration_of_then(make: Make) -> None:
    world = make(policy="hash", key="body:id")
    client = world.client()
    client >> request("POST / HTTP/1.1", "Content-Type: application/json", "Content-Length: 8", body=b'{"id"')
    assert [] == world.dialled
    world.reload("b", policy=PolicySpec())
    client >> b":1}"
    backend = world.accept("b")
    backend << forwarded("POST / HTTP/1.1", "Content-Length: 8", kept=("Content-Type: application/json",)) + b'{"id":1}'
    backend.reset()
    client.take()


def test_an_answer_of_a_backend_that_has_left_brings_no_cookie_and_breaks_nothing(make: Make) -> None:
    world = make(sticky=StickySpec("lb", "a secret"))
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    world.reload("b")
    backend >> ok()
    client << ok()


def test_what_a_retry_may_is_as_the_latest_configuration_says(make: Make) -> None:
    world = make("ab")
    client = world.client()
    client >> GET
    world.reload("ab", retry=RetrySpec(tries=1))
    world.refuse("a")
    client << refused(errors.CONNECT_FAILED)
    world.reload("ab", retry=RetrySpec(on_status=(503,)), timeouts=PoolTimeouts(response_s=7.0, total_s=9.0))
    connections = world.connections
    assert (3, (503,), 7.0, 9.0) == (
        connections.tries,
        connections.on_status,
        connections.response_s,
        connections.total_s,
    )


def test_how_many_are_kept_and_how_long_is_as_the_latest_configuration_says(make: Make) -> None:
    world = make()
    clients, backends = keep(world, 2)
    world.reload("a", max_idle=1, timeouts=PoolTimeouts(idle_s=5.0))
    clients[0] >> GET
    backends[1] << GOT
    backends[1] >> ok()
    clients[0] << ok()
    assert ["open", "aborted"] == [backend.end for backend in backends]


def test_a_tunnel_to_a_backend_that_has_left_goes_on(make: Make) -> None:
    fields = ("Connection: Upgrade", "Upgrade: raw")
    world = make(sticky=StickySpec("lb", "a secret"))
    client = world.client()
    client >> request("GET / HTTP/1.1", *fields)
    backend = world.accept("a")
    backend.take()
    world.reload("b")
    backend >> answer("HTTP/1.1 101 Switching Protocols", *fields)
    client << answer("HTTP/1.1 101 Switching Protocols", *fields)
    client >> b"ping"
    backend << b"ping"
    world.reload("c")
    backend >> b"pong"
    client << b"pong"


# How long they are kept.


def test_they_are_kept_for_less_long_than_the_backend_says_that_it_keeps_them(make: Make) -> None:
    world = make("a")
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    backend >> ok(b"ok", "Keep-Alive: timeout=5, max=100")
    client << ok()
    world.turn(4.4)
    assert ["a"] == world.idle
    world.turn(0.2)
    assert [] == world.idle
    assert "aborted" == backend.end


def test_they_are_kept_for_less_long_than_the_backend_has_kept_them_twice(make: Make) -> None:
    world = make("a")
    client = world.client()
    for _ in range(2):
        client >> GET
        backend = world.accept("a")
        backend << GOT
        backend >> ok()
        client << ok()
        world.turn(6.0)
        backend.eof()
        assert [] == world.idle
    client >> GET
    backend = world.accept("a")
    backend << GOT
    backend >> ok()
    client << ok()
    world.turn(5.3)
    assert ["a"] == world.idle
    world.turn(0.2)
    assert [] == world.idle


def test_one_that_was_seen_to_be_closed_when_it_was_wanted_teaches_too(make: Make) -> None:
    world = make("a")
    for _ in range(2):
        client = world.client()
        client >> GET
        backend = world.accept("a")
        backend << GOT
        backend >> ok()
        client << ok()
        world.turn(6.0)
        backend.transport.sock.in_kernel = b""
        client >> GET
        backend = world.accept("a")
        backend << GOT
        backend >> answer("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close")
        client << answer("HTTP/1.1 200 OK", "Content-Length: 0")
    kept = world.connections.of(world.pool.backends[0])
    assert 5.4 == round(kept.idle_s, 3)


def test_what_was_learnt_is_forgotten_by_and_by(make: Make) -> None:
    world = make("a")
    kept = world.connections.of(world.pool.backends[0])
    kept.told(b" timeout=5", world.wheel.now())
    assert 4.5 == kept.idle_s
    world.turn(601.0)
    client = world.client()
    client >> GET
    backend = world.accept("a")
    backend << GOT
    backend >> ok()
    client << ok()
    assert 30.0 == kept.idle_s
