"""proxy/acceptor.py: what there is no room for waits, and is not refused."""

import errno
import logging
import resource
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from steelyard.core.door import WAITS, Door
from steelyard.core.table import Table
from steelyard.proxy import acceptor, dial
from steelyard.proxy.acceptor import LEAST, RESERVE, Acceptor, Capacity, most_connections
from steelyard.proxy.bind import bind
from steelyard.proxy.downstream import Downstream
from tests.fakes import World

Make = Callable[..., World]


class Gate:
    """An acceptor over a fake loop, on a real socket, and its clients. doors: what other workers count at."""

    def __init__(self, world: World, most: int | None, room: int = 10**6, backlog: int = 5) -> None:
        self.world = world
        buffer = bytearray(Table.size_bytes(1, 3))
        self.doors = [Door(Table(buffer, 1, 3, worker), 0) for worker in range(3)]
        world.context.count_at(self.doors[0])
        self.spec = replace(world.listener, host="127.0.0.1", port=0, max_connections=most, backlog=backlog)
        self.socks = bind(replace(self.spec, backlog=100))
        capacity = Capacity(lambda: self.acceptor.clients(), room)
        loop: Any = world.loop
        self.acceptor = Acceptor(loop, self.spec, world.context, Downstream, capacity)
        self.clients: list[socket.socket] = []
        loop.create_task(self.acceptor.start(tuple(self.socks)))
        loop.settle()

    def connect(self, count: int = 1) -> None:
        address = self.socks[0].getsockname()
        self.clients += [socket.create_connection(address, timeout=50.0) for _ in range(count)]

    def rounds(self) -> None:
        """Have the loop see who waits."""
        for callback in list(self.world.loop.readers.values()):
            callback()
        self.world.loop.settle()

    def open(self) -> int:
        return len(self.world.context.downstreams)

    def leave(self) -> None:
        """One of ours goes."""
        transport = next(iter(self.world.context.downstreams)).transport
        transport.abort()
        self.world.loop.settle()

    def end(self) -> None:
        self.acceptor.stop()
        for downstream in list(self.world.context.downstreams):
            downstream.cut()
        self.world.loop.settle()
        for sock in (*self.socks, *self.clients):
            sock.close()
        for server in self.world.loop.servers:
            server.sock.close()


@pytest.fixture
def gate(make: Make) -> Iterator[Callable[..., Gate]]:
    made: list[Gate] = []

    def build(*args: Any, **more: Any) -> Gate:
        made.append(Gate(make(), *args, **more))
        return made[-1]

    yield build
    for one in made:
        one.end()


def test_while_there_is_plenty_the_loop_accepts(gate: Callable[..., Gate]) -> None:
    """On a duplicate, so that its end is not the end of listening."""
    for one in (gate(None), gate(1000)):
        (server,) = one.world.loop.servers
        assert ({}, one.socks[0].getsockname()) == (one.world.loop.readers, server.sock.getsockname())
        assert server.sock.fileno() != one.socks[0].fileno()


def test_a_full_queue_holds_one_more_than_its_backlog_and_all_of_it_has_room(gate: Callable[..., Gate]) -> None:
    """Of three workers, with a backlog of 3."""
    assert [1, 0] == [len(gate(most, backlog=3).world.loop.servers) for most in (12, 11)]


def test_near_the_limit_each_is_counted_before_the_next_and_at_it_the_others_wait(gate: Callable[..., Gate]) -> None:
    one = gate(2)
    assert [] == one.world.loop.servers
    one.connect(3)
    one.rounds()
    assert (2, 2, {}) == (one.open(), one.doors[1].connections(), one.world.loop.readers)
    one.world.turn(1.0)
    assert 2 == one.open()
    assert 1 == one.doors[0].table.mine(0, WAITS)
    one.leave()
    one.rounds()
    assert (2, 0) == (one.open(), one.doors[0].table.mine(0, WAITS))


def test_places_that_other_workers_leave_are_seen_at_the_next_look(gate: Callable[..., Gate]) -> None:
    one = gate(2)
    one.doors[1].enter()
    one.doors[2].enter()
    one.connect()
    one.rounds()
    assert 0 == one.open()
    one.world.turn(1.0)
    one.doors[1].leave()
    one.world.turn(acceptor.LOOK_S * 1.1)
    one.rounds()
    assert 1 == one.open()


def test_a_place_is_left_to_a_worker_that_has_fewer_and_whose_clients_wait(gate: Callable[..., Gate]) -> None:
    one = gate(3)
    one.connect(4)
    one.rounds()
    one.doors[1].set_waits(True)
    one.leave()
    one.rounds()
    assert 2 == one.open()
    one.doors[1].enter()
    one.doors[1].set_waits(False)
    one.world.turn(1.0)
    one.rounds()
    assert 2 == one.open()
    one.leave()
    one.rounds()
    assert 2 == one.open()


def test_the_loop_stops_accepting_when_plenty_becomes_little_and_goes_on_when_there_is_plenty(
    gate: Callable[..., Gate],
) -> None:
    one = gate(40)
    (server,) = one.world.loop.servers
    for _ in range(30):
        one.doors[1].enter()
    server.factory()
    one.world.loop.settle()
    assert (True, 1) == (server.closed, len(one.world.loop.readers))
    for _ in range(30):
        one.doors[1].leave()
    one.connect()
    one.rounds()
    assert (2, {}) == (len(one.world.loop.servers), one.world.loop.readers)


def test_a_limit_that_is_lowered_or_raised_holds_at_once(gate: Callable[..., Gate]) -> None:
    one = gate(None)
    one.acceptor.adopt(replace(one.spec, max_connections=1))
    assert 1 == len(one.world.loop.readers)
    one.connect(2)
    one.rounds()
    assert 1 == one.open()
    one.acceptor.adopt(replace(one.spec, max_connections=2))
    one.world.turn(acceptor.LOOK_S * 1.1)
    one.rounds()
    assert 2 == one.open()


def test_what_the_descriptors_allow_is_a_limit_too_and_both_are_said_once_a_minute(
    gate: Callable[..., Gate], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        by_files, by_limit = gate(None, room=1), gate(1)
        for one in (by_files, by_limit):
            one.connect(3)
            one.rounds()
            assert 1 == one.open()
            one.leave()
            one.rounds()
            assert 1 == one.open()
    assert [
        "1 clients are connected, for more there are no descriptors",
        "1 connections are open, as max_connections",
    ] == [
        record.getMessage().partition(": ")[2].partition(" (")[0].partition(" allows")[0] for record in caplog.records
    ]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_without_descriptors_accepting_pauses_and_is_tried_again(
    gate: Callable[..., Gate], number: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "no_files", dial.NoFiles())
    one = gate(5)
    one.connect()

    class Out:
        tries = 0

        def accept(self) -> Any:
            Out.tries += 1
            raise OSError(number, "none left")

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            one.acceptor._accept(Out())  # type: ignore[arg-type]
            assert {} == one.world.loop.readers
            one.world.turn(acceptor.LOOK_S * 1.1)
            assert 1 == len(one.world.loop.readers)
    assert 3 == Out.tries
    assert 1 == caplog.text.count("clients wait to be accepted")
    one.rounds()
    assert 1 == one.open()


def test_one_that_has_gone_while_it_waited_keeps_nobody_waiting(gate: Callable[..., Gate]) -> None:
    one = gate(5)

    class Gone:
        tries = 0

        def accept(self) -> Any:
            Gone.tries += 1
            raise ConnectionAbortedError(errno.ECONNABORTED, "gone") if Gone.tries < 3 else BlockingIOError

    one.acceptor._accept(Gone())  # type: ignore[arg-type]
    assert (3, 0, 1) == (Gone.tries, one.open(), len(one.world.loop.readers))


def test_one_that_cannot_be_let_in_counts_no_more(gate: Callable[..., Gate], monkeypatch: pytest.MonkeyPatch) -> None:
    one = gate(5)

    async def fails(*_: object) -> None:
        raise OSError(errno.ENOTCONN, "gone")

    monkeypatch.setattr(one.world.loop, "connect_accepted_socket", fails)
    one.connect()
    one.rounds()
    assert (0, 0, 0) == (one.open(), one.doors[0].connections(), one.acceptor.clients())


def test_a_stop_lets_in_only_as_many_as_there_is_room_for(gate: Callable[..., Gate]) -> None:
    one = gate(2)
    one.connect(4)
    one.acceptor.stop()
    one.world.loop.settle()
    assert (2, {}) == (one.open(), one.world.loop.readers)
    one.acceptor.narrow()
    assert {} == one.world.loop.readers


def test_a_stop_while_nobody_is_accepted_leaves_no_timer(gate: Callable[..., Gate]) -> None:
    one = gate(1)
    one.connect(2)
    one.rounds()
    one.acceptor.stop()
    assert one.world.context.on_leave is None
    assert [] == [
        timer for timer in one.world.loop.timers if not timer.cancelled and timer.callback == one.acceptor._look
    ]


def test_half_of_the_descriptors_are_for_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    def having(soft: int) -> int:
        monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
        return most_connections()

    assert [(1024 - RESERVE) // 2, LEAST] == [having(1024), having(70)]
    assert having(resource.RLIM_INFINITY) > 10**9
