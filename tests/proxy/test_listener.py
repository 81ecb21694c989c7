"""Listening: what is accepted, on which socket, and the drain of it."""

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from steelyard.core.spec import ListenerSpec
from steelyard.proxy.bind import Address, bind
from steelyard.proxy.listener import FAREWELL_S, Listener
from tests.fakes import World, answer, forwarded, request


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
    assert sock is world.loop.servers[0].sock
    assert Address(*sock.getsockname()) == listener.address
    listener.stop_accepting()
    sock.close()


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
