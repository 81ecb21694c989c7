"""TCP passed on, with fake transports: what comes from one side leaves to the other, and so does each way to end."""

from collections.abc import Callable, Iterator
from socket import socket
from typing import Any

import pytest

from steelyard.core.router import Router
from steelyard.core.spec import EjectionSpec, PoolTimeouts, RespondSpec, RouteSpec
from steelyard.proxy.tcp import TcpDownstream
from tests.fakes import FakeTransport, Peer, World

Make = Callable[..., World]


def connect(world: World) -> Peer:
    """A client of TCP, for whom a backend is being dialled."""
    client = world.client(speaks=TcpDownstream)
    world.loop.settle()
    return client


def linked(world: World, host: str = "a") -> tuple[Peer, Peer]:
    """A client, and the backend that it was connected to."""
    client = connect(world)
    return client, world.accept(host)


def test_what_one_side_sends_leaves_to_the_other(world: World) -> None:
    client, backend = linked(world)
    client >> b"to be"
    backend << b"to be"
    backend >> b"or not"
    client << b"or not"
    assert {"a": 1} == world.in_flight
    client.eof()
    assert ("eof", "open") == (backend.end, client.end)
    backend >> b"that is"
    backend.eof()
    client << b"that is"
    assert ("closed", "closed") == (backend.end, client.end)
    assert {} == world.in_flight
    (record,) = world.records
    assert ("-", 5, 13, 1, "a:80", "front") == (
        record.word, record.received, record.sent, record.tries, record.backend, record.listener,
    )  # fmt: skip


def test_the_backend_may_end_first_and_still_be_spoken_to(world: World) -> None:
    client, backend = linked(world)
    backend >> b"all that I have"
    backend.eof()
    client << b"all that I have"
    assert "eof" == client.end
    client >> b"thanks"
    backend << b"thanks"
    client.eof()
    assert ("closed", "closed") == (backend.end, client.end)
    assert [(0, "-")] == world.outcomes


def test_what_comes_before_the_backend_is_there_waits_and_its_end_behind_it(world: World) -> None:
    client = connect(world)
    client >> b"early"
    client >> b"later"
    assert 5 == client.unread, "one read is taken in, and no more"
    client.eof()
    backend = world.accept("a")
    backend << b"earlylater"
    assert "eof" == backend.end
    backend >> b"answer"
    backend.eof()
    client << b"answer"
    assert [(0, "-")] == world.outcomes


def test_an_end_that_comes_before_the_backend_is_passed_on(world: World) -> None:
    client = connect(world)
    client.eof()
    backend = world.accept("a")
    assert "eof" == backend.end
    backend >> b"hello"
    client << b"hello"


def test_a_client_that_leaves_while_we_connect_leaves_nothing_behind(world: World) -> None:
    connect(world).reset()
    assert ([], {}) == (world.dialled, world.in_flight)
    assert [(0, "client_gone")] == world.outcomes


class Hasty(World):
    """Whose backends speak before the event loop has come round to telling that they are there."""

    said = b""
    ends = False
    then: Callable[[], object] = staticmethod(lambda: None)

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        connected = self.loop.create_connection

        async def create_connection(factory: Callable[[], Any], sock: socket) -> tuple[FakeTransport, Any]:
            transport, protocol = await connected(factory, sock)
            if self.said:
                protocol.data_received(self.said)
            if self.ends:
                transport.eof_arriving = transport.eof_arrived = True
                assert protocol.eof_received()
            self.then()
            return transport, protocol

        self.loop.create_connection = create_connection  # type: ignore[method-assign]


@pytest.fixture
def hasty() -> Iterator[Hasty]:
    world = Hasty()
    yield world
    world.over()


@pytest.mark.parametrize("asks", [b"", b"early"])
def test_a_backend_that_ends_at_once_is_ended_politely(hasty: Hasty, asks: bytes) -> None:
    hasty.said, hasty.ends = b"220 ready", True
    client = connect(hasty)
    if asks:
        client >> asks
    client.eof()
    backend = hasty.accept("a")
    backend << asks
    client << b"220 ready"
    assert ("closed", "closed") == (client.end, backend.end)
    assert [(0, "-")] == hasty.outcomes


def test_a_backend_that_floods_at_once_is_held_back_at_once(hasty: Hasty) -> None:
    hasty.said = b"f" * 100
    client = connect(hasty).stop_reading(10)
    backend = hasty.accept("a")
    assert not backend.transport.reading
    client.read()
    client << b"f" * 100
    backend >> b"more"
    client << b"more"


def test_one_that_was_held_back_is_read_when_its_client_has_read_by_then(hasty: Hasty) -> None:
    hasty.said = b"f" * 100
    client = connect(hasty).stop_reading(10)
    hasty.then = client.read
    backend = hasty.accept("a")
    client << b"f" * 100
    backend >> b"more"
    client << b"more"


def test_a_backend_that_speaks_when_its_client_has_just_gone_is_not_heard(hasty: Hasty) -> None:
    client = connect(hasty)
    upstream = client.transport.protocol.dial.upstream

    def goes() -> None:
        client.reset()
        assert 0 == len(hasty.in_flight)
        upstream.data_received(b"220 ready")  # the task of the dial is ended in a later round

    hasty.then = goes
    hasty.accept("a")
    assert [(0, "client_gone")] == hasty.outcomes


def test_a_backend_that_has_spoken_is_not_left_for_another_one(hasty: Hasty) -> None:
    """Its time to accept is over just when it has: the client has its first words already."""
    hasty.said = b"220 ready"
    client = connect(hasty)
    dial = client.transport.protocol.dial
    hasty.then = lambda: dial.on_deadline(hasty.loop.time())
    backend = hasty.accept("a")
    client << b"220 ready" >> b"HELO"
    backend << b"HELO"


def test_a_reset_of_the_client_is_one_for_the_backend(world: World) -> None:
    client, backend = linked(world)
    client.reset()
    assert "reset" == backend.end
    assert [(0, "client_gone")] == world.outcomes


@pytest.mark.parametrize(("said", "word"), [(b"", "closed_early"), (b"half", "truncated")])
def test_a_reset_of_the_backend_is_one_for_the_client(world: World, said: bytes, word: str) -> None:
    client, backend = linked(world)
    client >> b"ask"
    backend << b"ask"
    if said:
        backend >> said
        client << said
    backend.reset()
    assert "reset" == client.end
    assert [(0, word)] == world.outcomes


@pytest.mark.parametrize("said", [b"", b"half"])
def test_a_backend_that_resets_before_it_has_said_anything_has_failed(make: Make, said: bytes) -> None:
    world = make("ab", ejection=EjectionSpec(errors=1), policy="first")
    _, backend = linked(world)
    if said:
        backend >> said
        world.clients[0] << said
    backend.reset()
    connect(world)
    world.accept("a" if said else "b")
    assert (not said) == (world.pool.backends[0].ejected_until_ms() > 0)


def test_who_reads_slowly_holds_the_other_side_back(world: World) -> None:
    client, backend = linked(world)
    client.stop_reading(10)
    backend >> b"x" * 600_000
    assert (10, 600_000 - 256_000) == (len(client.take()), backend.unread)
    client.read()
    assert 599_990 == len(client.take())
    backend.stop_reading(10)
    client >> b"y" * 600_000
    assert (10, 600_000 - 256_000) == (len(backend.take()), client.unread)
    backend.read()
    assert 599_990 == len(backend.take())


def test_a_side_that_has_ended_is_not_read_again_when_the_other_reads_on(world: World) -> None:
    client, backend = linked(world)
    backend.stop_reading(10)
    client >> b"z" * 100
    client.eof()
    backend.read()
    backend << b"z" * 100
    assert "eof" == backend.end
    client.stop_reading(1)
    backend >> b"zz"
    backend.eof()
    client.read()
    client << b"zz"
    assert "closed" == client.end


def test_where_nothing_passes_for_too_long_both_are_reset(make: Make) -> None:
    world = make(timeouts=PoolTimeouts(tunnel_s=10.0))
    client, backend = linked(world)
    for _ in range(3):
        world.turn(8.0)
        client >> b"."
        backend << b"."
        world.turn(8.0)
        backend >> b"."
        client << b"."
    assert ("open", "open") == (client.end, backend.end)
    world.turn(10.2)
    assert ("reset", "reset") == (client.end, backend.end)
    assert [(0, "idle")] == world.outcomes


def test_who_reads_slowly_is_not_idle(make: Make) -> None:
    world = make(timeouts=PoolTimeouts(tunnel_s=10.0))
    client, backend = linked(world)
    client.stop_reading()
    backend.stop_reading()
    backend >> b"x" * 30
    client >> b"y" * 30
    for _ in range(3):
        world.turn(9.0)
        client.read(5)
        world.turn(9.0)
        backend.read(5)
    assert ("open", "open") == (client.end, backend.end)
    client.read()
    backend.read()
    world.turn(9.0)
    assert ("open", 30, 30) == (client.end, len(client.take()), len(backend.take()))
    world.turn(1.2)
    assert ("reset", "reset") == (client.end, backend.end)
    assert [(0, "idle")] == world.outcomes


def test_the_last_bytes_go_out_as_long_as_they_are_read(world: World) -> None:
    client, backend = linked(world)
    client.stop_reading(1)
    client.eof()
    upstream = backend.transport.protocol
    upstream.data_received(b"abcdef")
    upstream.eof_received()
    for _ in range(4):
        world.turn(world.context.write_s - 1.0)
        client.read(1)
    assert (b"abcde", False) == (client.take(), client.transport.lost)
    world.turn(2 * world.context.write_s)
    assert (True, True) == (client.transport.sock.resets, client.transport.lost), "what is cut off does not look whole"


def test_the_last_bytes_get_the_write_timeout(world: World) -> None:
    client, backend = linked(world)
    client.stop_reading(3)
    client.eof()
    # In one round of the loop: uvloop tells us of the end before it has tried to write what was told before that.
    upstream = backend.transport.protocol
    upstream.data_received(b"abcdef")
    upstream.eof_received()
    assert ("closed", b"abc") == (client.end, client.take())
    assert not client.transport.lost
    world.turn(world.context.write_s + 1.0)
    assert (True, True) == (client.transport.sock.resets, client.transport.lost)
    assert [(0, "-")] == world.outcomes


def test_a_stop_waits_for_connections_and_then_cuts_them(world: World) -> None:
    client, backend = linked(world)
    protocol = client.transport.protocol
    protocol.retire(world.wheel.now())
    client >> b"still here"
    backend << b"still here"
    protocol.cut()
    world.loop.settle()
    assert ("reset", "reset") == (client.end, backend.end)
    assert [(0, "stopping")] == world.outcomes


def test_a_stop_while_we_connect(world: World) -> None:
    client = connect(world)
    client.transport.protocol.cut()
    world.loop.settle()
    assert ([], "reset") == (world.dialled, client.end)


def test_a_backend_that_is_gone_at_once_ends_it_too(world: World) -> None:
    """The connection is accepted, and reset before the event loop has told us of the one or the other."""
    client = connect(world)
    dial = world.loop.dials[0]
    dial.end()
    while not world.loop.made:
        callback, args = world.loop.ready.popleft()
        callback(*args)
    world.loop.made[-1].lose(ConnectionResetError(104, "Connection reset by peer"))
    world.loop.settle()
    assert ("reset", {}) == (client.end, world.in_flight)
    assert [(0, "closed_early")] == world.outcomes


@pytest.mark.parametrize("routes", [(RouteSpec(path="/a", pool="web"),), (RouteSpec(respond=RespondSpec(200, "hi")),)])
def test_one_that_was_coming_when_its_listener_became_one_of_http_is_reset(
    world: World, routes: tuple[RouteSpec, ...]
) -> None:
    world.context.adopt(world.listener, Router(routes), ())
    client = connect(world)
    assert ([], "reset") == (world.dialled, client.end)
    assert [(0, "stopping")] == world.outcomes
