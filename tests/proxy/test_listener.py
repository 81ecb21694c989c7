"""Listening: what is bound, what is said when it cannot be, and the drain of what was accepted."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from steelyard.core.spec import ListenerSpec
from steelyard.errors import ListenError
from steelyard.proxy.listener import Address, Listener, bind
from tests.fakes import World, answer, forwarded, request


def a_spec(host: str = "127.0.0.1", port: int = 0) -> ListenerSpec:
    return ListenerSpec("web", host, port, (), backlog=7)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of 127.0.0.1 that somebody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


@pytest.mark.parametrize(("host", "text"), [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("name", "name:80")])
def test_an_address_is_written_so_that_it_can_be_read_again(host: str, text: str) -> None:
    assert text == str(Address(host, 80))


def test_port_0_is_a_free_port() -> None:
    with bind(a_spec()) as sock:
        host, port = sock.getsockname()
        assert ("127.0.0.1", True) == (host, port > 0)
        assert not sock.getblocking()
        assert 1 == sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert 1 == sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


@pytest.mark.parametrize(("host", "only"), [("::", 0), ("::1", 1)])
def test_all_addresses_of_ipv6_are_all_of_ipv4_too_and_a_single_one_is_not(host: str, only: int) -> None:
    if not socket.has_ipv6:
        pytest.skip("needs IPv6")
    with bind(a_spec(host)) as sock:
        assert only == sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_a_port_in_use_is_said_with_the_mend(taken: int) -> None:
    with pytest.raises(ListenError) as failed:
        bind(a_spec(port=taken))
    assert f"listener 'web': 127.0.0.1:{taken}: the port is in use; " in str(failed.value)
    assert f"sport = :{taken}" in str(failed.value)


def test_an_address_of_another_machine_is_said_with_the_mend() -> None:
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:80.*no such address; bind 0\.0\.0\.0"):
        bind(a_spec("192.0.2.1", 80))


def test_a_name_that_is_none_is_said_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ListenError, match=r"nowhere:80: no such address .*; bind an IP address"):
        bind(a_spec("nowhere", 80))


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EACCES, "CAP_NET_BIND_SERVICE"), (errno.EMFILE, r"cannot listen \(Too many open files\)")],
)
def test_other_failures_are_said_too_and_leave_no_socket_open(
    monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    closed = []

    class Refusing(socket.socket):
        def bind(self, address: object) -> None:
            raise OSError(number, "Too many open files")

        def close(self) -> None:
            closed.append(self)
            super().close()

    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(ListenError, match=words):
        bind(a_spec(port=80))
    assert 1 == len(closed)


def run(world: World, listener: Listener) -> None:
    """Start the listener on the fake loop."""
    start = listener.start()
    with pytest.raises(StopIteration):
        start.send(None)
    world.loop.settle()


def a_listener(world: World) -> Listener:
    spec = replace(world.listener, host="127.0.0.1", port=0, backlog=7)
    return Listener(world.loop, spec, world.context)  # type: ignore[arg-type]


def test_a_started_listener_knows_its_real_port_and_makes_a_downstream_for_each_connection(world: World) -> None:
    listener = a_listener(world)
    run(world, listener)
    (server,) = world.loop.servers
    assert server.sock.getsockname() == tuple(listener.address)
    assert str(listener.address) == world.context.local
    assert 7 == server.backlog
    first, second = server.factory(), server.factory()
    assert first is not second
    assert world.context is first.context
    listener.stop_accepting()


def test_a_stop_accepts_nothing_more_and_lets_what_is_in_flight_finish(world: World) -> None:
    listener = a_listener(world)
    run(world, listener)
    idle, busy = world.client(), world.client()
    busy >> request()
    backend = world.accept("a")
    backend << forwarded()
    listener.stop_accepting()
    listener.stop_accepting()
    world.loop.settle()
    assert world.loop.servers[0].closed
    assert ("closed", "open") == (idle.end, busy.end)
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 0")
    busy << answer("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close")
    assert set() == world.context.downstreams


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
    reader, writer = await asyncio.open_connection(*listener.address)
    writer.write(b"GET / HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 404 ")
    writer.close()
    await writer.wait_closed()
    listener.stop_accepting()
    listener.drop()
    for _ in range(5):  # rounds in which the transports tell their protocols
        await asyncio.sleep(0)
