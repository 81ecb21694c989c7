"""Listening: what is accepted, on which socket, and the drain of it."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steelyard.core.router import Router
from steelyard.core.spec import ListenerSpec, RespondSpec, RouteSpec
from steelyard.proxy.bind import Address, address_of, bind
from steelyard.proxy.listener import FAREWELL_S, Listener
from tests.fakes import FakeTransport, Peer, World, answer, forwarded, request


def a_spec(host: str = "127.0.0.1", port: int = 0) -> ListenerSpec:
    return ListenerSpec("web", host, port, (), backlog=7)


def run(world: World, listener: Listener) -> None:
    """Start the listener on the fake loop."""
    start = listener.start()
    with pytest.raises(StopIteration):
        start.send(None)
    world.loop.settle()


def a_listener(world: World, socks: list[socket.socket] | None = None, path: Path | None = None) -> Listener:
    spec = replace(world.listener, host="127.0.0.1", port=0, backlog=7)
    if path is not None:
        spec = replace(spec, host="", path=str(path))
    return Listener(world.loop, spec, world.context, socks)  # type: ignore[arg-type]


def test_a_started_listener_knows_its_real_port_and_makes_a_downstream_for_each_connection(world: World) -> None:
    listener = a_listener(world)
    run(world, listener)
    (server,) = world.loop.servers
    assert Address(*server.sock.getsockname()) == listener.address
    assert str(listener.address) == world.context.local
    assert 7 == server.backlog
    first, second = server.factory(), server.factory()
    assert first is not second
    assert world.context is first.context
    listener.stop_accepting()


def test_a_socket_that_somebody_else_has_bound_is_taken_as_it_is(world: World) -> None:
    (sock,) = bind(replace(world.listener, host="127.0.0.1", port=0))
    listener = a_listener(world, [sock])
    run(world, listener)
    assert sock.getsockname() == world.loop.servers[0].sock.getsockname()
    assert Address(*sock.getsockname()) == listener.address
    listener.stop_accepting()
    assert -1 == sock.fileno()


@pytest.mark.parametrize(("host", "called"), [("0.0.0.0", "localhost"), ("127.0.0.1", "127.0.0.1")])
def test_an_address_that_means_all_is_called_localhost(world: World, host: str, called: str) -> None:
    (sock,) = bind(replace(world.listener, host=host, port=0))
    listener = a_listener(world, [sock])
    run(world, listener)
    assert f"{called}:{listener.address.port}" == world.context.local
    listener.stop_accepting()
    sock.close()


def test_a_unix_socket_is_called_localhost_and_its_file_goes_when_nothing_more_is_accepted(
    world: World, tmp_path: Path
) -> None:
    path = tmp_path / "lb.sock"
    listener = a_listener(world, path=path)
    run(world, listener)
    assert (f"unix:{path}", "localhost", True) == (str(listener.address), world.context.local, path.is_socket())
    listener.stop_accepting()
    listener.stop_accepting()
    assert not path.exists()
    world.loop.servers[0].sock.close()


def test_the_file_of_a_unix_socket_that_somebody_else_has_bound_stays(world: World, tmp_path: Path) -> None:
    path = tmp_path / "lb.sock"
    (sock,) = bind(replace(world.listener, host="", port=0, path=str(path)))
    listener = a_listener(world, [sock], path)
    run(world, listener)
    listener.stop_accepting()
    assert path.is_socket()
    sock.close()


def test_a_stop_accepts_nothing_more_and_lets_what_is_in_flight_finish(world: World) -> None:
    listener = a_listener(world)
    run(world, listener)
    idle, busy = world.client(), world.client()
    busy >> request()
    backend = world.accept("a")
    backend << forwarded()
    listener.stop_accepting()
    listener.stop_accepting()
    world.turn(FAREWELL_S)
    assert world.loop.servers[0].closed
    assert ("closed", "open") == (idle.end, busy.end)
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 0")
    busy << answer("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close")
    assert set() == world.context.downstreams


def test_a_request_that_was_on_its_way_when_it_stopped_is_answered_as_the_last(world: World) -> None:
    """Its client could not know: an idle connection that is closed at once would reset it."""
    listener = a_listener(world)
    run(world, listener)
    client = world.client()
    listener.stop_accepting()
    world.turn(FAREWELL_S / 2)
    assert "open" == client.end
    client >> request()
    backend = world.accept("a")
    backend << forwarded()
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 0")
    client << answer("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close")
    assert "closed" == client.end
    assert set() == world.context.downstreams


@pytest.mark.real
async def test_who_is_let_in_at_the_stop_is_a_client_already(make: object) -> None:
    """A drain that does not count them would be over before they have been heard."""
    world = make(routes=())  # type: ignore[operator]
    world.context.on_record = None
    listener = Listener(asyncio.get_running_loop(), a_spec(), world.context)
    await listener.start()
    with socket.create_connection((listener.address.host, listener.address.port)):
        assert 0 == listener.clients()
        listener.stop_accepting()
        assert 1 == listener.clients()
        for _ in range(5):
            await asyncio.sleep(0)
        assert (1, set()) == (listener.clients(), listener.arriving)
        listener.drop()
        for _ in range(5):
            await asyncio.sleep(0)
        assert 0 == listener.clients()


def test_a_drop_closes_everything_at_once(world: World) -> None:
    listener = a_listener(world)
    run(world, listener)
    clients = [world.client(), world.client()]
    clients[0] >> request()
    listener.stop_accepting()
    listener.drop()
    world.loop.settle()
    assert all(client.transport.lost for client in clients)
    assert set() == world.context.downstreams
    assert [] == world.dialled


# Several sockets: one for each process that there was before there were fewer.


def test_it_accepts_on_every_socket_that_it_is_given(world: World) -> None:
    first = bind(replace(world.listener, host="127.0.0.1", port=0), 2)
    listener = a_listener(world, first)
    run(world, listener)
    assert [sock.getsockname() for sock in first] == [server.sock.getsockname() for server in world.loop.servers]
    assert address_of(first[0]) == listener.address
    assert {world.context} == {server.factory().context for server in world.loop.servers}
    listener.stop_accepting()
    assert [-1, -1] == [sock.fileno() for sock in first]


# Another configuration, and the end.


def test_another_configuration_of_the_same_address_is_served_without_a_new_socket(world: World) -> None:
    listener = a_listener(world)
    run(world, listener)
    client = world.client()
    spec = replace(listener.spec, name="other", routes=(RouteSpec(respond=RespondSpec(204)),))
    router = Router(spec.routes)
    router.routes[0].respond = spec.routes[0].respond
    listener.adopt(spec, router, ())
    client >> request()
    assert client.take().startswith(b"HTTP/1.1 204 ")
    assert ("other", "other", 1) == (listener.spec.name, world.context.name, len(world.loop.servers))
    listener.stop_accepting()


def waiting_at(listener: Listener, count: int) -> list[socket.socket]:
    """Clients whose connections are open, as far as they know, and which nobody has accepted."""
    address = (listener.address.host, listener.address.port)
    return [socket.create_connection(address, timeout=50.0) for _ in range(count)]


def test_who_waits_to_be_accepted_is_let_in_when_it_stops_and_is_served_once(world: World) -> None:
    listener = a_listener(world)
    run(world, listener)
    clients = waiting_at(listener, 3)
    listener.stop_accepting()
    assert 3 == listener.clients()
    world.loop.settle()
    assert (3, 3, set()) == (listener.clients(), len(world.context.downstreams), listener.arriving)
    peer = Peer("the client", world, world.loop.made[0])
    peer >> request()
    backend = world.accept("a")
    backend.take()
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 0")
    peer << answer("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close")
    listener.drop()
    world.loop.settle()
    assert 0 == listener.clients()
    for client in clients:
        client.close()


def test_who_is_being_let_in_when_all_is_closed_is_closed_too(world: World) -> None:
    """Nobody would look after it any more."""
    listener = a_listener(world)
    run(world, listener)
    clients = waiting_at(listener, 2)
    listener.stop_accepting()
    listener.drop()
    world.loop.settle()
    assert (0, []) == (listener.clients(), world.loop.made)
    assert [b"", b""] == [client.recv(1) for client in clients]
    for client in clients:
        client.close()


def test_who_has_half_way_been_let_in_when_all_is_closed_is_closed_too(world: World) -> None:
    listener = a_listener(world)
    run(world, listener)
    (client,) = waiting_at(listener, 1)
    connect = world.loop.connect_accepted_socket

    async def meanwhile(factory: Callable[[], Any], sock: socket.socket) -> tuple[FakeTransport, Any]:
        listener.drop()
        return await connect(factory, sock)

    world.loop.connect_accepted_socket = meanwhile  # type: ignore[method-assign]
    listener.stop_accepting()
    world.loop.settle()
    assert (0, True) == (listener.clients(), world.loop.made[0].lost)
    client.close()


def test_where_no_more_can_be_accepted_the_stop_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = a_listener(world)
    run(world, listener)
    (client,) = waiting_at(listener, 1)

    def too_many(_: socket.socket) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket.socket, "accept", too_many)
    listener.stop_accepting()
    assert world.loop.servers[0].closed
    client.close()


@pytest.mark.real
async def test_a_request_that_came_before_its_connection_was_accepted_is_answered(make: object) -> None:
    world = make(routes=())  # type: ignore[operator]
    world.context.on_record = None
    listener = Listener(asyncio.get_running_loop(), a_spec(), world.context)
    await listener.start()
    (client,) = waiting_at(listener, 1)
    client.setblocking(False)
    client.send(b"GET / HTTP/1.1\r\nHost: site\r\n\r\n")
    listener.stop_accepting()
    reader, writer = await asyncio.open_connection(sock=client)
    answered = await reader.read()
    assert answered.startswith(b"HTTP/1.1 404 ")
    assert b"Connection: close\r\n" in answered
    writer.close()
    await writer.wait_closed()
    for _ in range(5):
        await asyncio.sleep(0)
    assert 0 == listener.clients()


@pytest.mark.real
async def test_a_real_loop_accepts_on_it(make: object) -> None:
    """The same on the real event loop, once: accept, answer, stop."""
    world = make(routes=())  # type: ignore[operator]
    world.context.on_record = None
    listener = Listener(asyncio.get_running_loop(), a_spec(), world.context)
    await listener.start()
    reader, writer = await asyncio.open_connection(listener.address.host, listener.address.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 404 ")
    writer.close()
    await writer.wait_closed()
    listener.stop_accepting()
    listener.drop()
    for _ in range(5):  # rounds in which the transports tell their protocols
        await asyncio.sleep(0)
