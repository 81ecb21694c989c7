"""Kept connections: who gets which, how many are kept, and for how long."""

from collections.abc import Callable

import pytest

from steelyard.core.spec import PoolTimeouts
from tests.fakes import Peer, World, forwarded, ok, request

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
