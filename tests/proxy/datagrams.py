"""A UDP listener over a fake loop, with real sockets on loopback: a datagram is there as soon as it was sent.

The clock is turned by hand, and `pump` has the loop look at its descriptors until none has anything.
"""

import select
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Final, Self

from steelyard.control.ledger import Ledger
from steelyard.core.door import CONNECTIONS, Door
from steelyard.core.door import IN_FLIGHT as DOOR_IN_FLIGHT
from steelyard.core.pool import Pool
from steelyard.core.router import Router
from steelyard.core.spec import BackendSpec, ListenerSpec, PolicySpec, PoolSpec, RouteSpec, Spec
from steelyard.core.table import FIRST_ROW, IN_FLIGHT, Table
from steelyard.observe.accesslog import Record
from steelyard.observe.counters import NAMES, Counters
from steelyard.proxy.acceptor import Capacity
from steelyard.proxy.clock import Wheel
from steelyard.proxy.connections import PoolConnections
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.udp import UdpListener
from tests.fakes import FakeLoop

HOST: Final = "127.0.0.1"
ROUNDS: Final = 100_000

Place = tuple[Any, ...]


class End:
    """The socket of a client or of a backend. None of its calls waits."""

    def __init__(self, host: str = HOST, to: Place | None = None) -> None:
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind((host, 0))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.place: Place = self.sock.getsockname()
        self.port: int = self.place[1]
        if to is not None:
            self.sock.connect(to)

    def __rshift__(self, datagram: bytes) -> Self:
        """A client sends it."""
        self.sock.send(datagram)
        return self

    def take(self) -> list[tuple[bytes, Place]]:
        """All that has come, and from whom."""
        found: list[tuple[bytes, Place]] = []
        while True:
            try:
                datagram, place = self.sock.recvfrom(70_000)
            except (BlockingIOError, ConnectionRefusedError):
                return found
            found.append((datagram, place))

    def got(self) -> list[bytes]:
        """The same without senders."""
        return [datagram for datagram, _ in self.take()]

    def close(self) -> None:
        self.sock.close()


class Datagrams:
    """A started listener `front` of a pool `web`.

    backends: how many, or the names of hosts, to be known to the loop. bind: the listener's host. answers,
    session_timeout_s, max_sessions: the listener's; all else is the pool's.
    """

    def __init__(
        self,
        backends: int | Sequence[str] = 1,
        *,
        bind: str = HOST,
        answers: int | None = None,
        session_timeout_s: float = 60.0,
        max_sessions: int = 100,
        most: int = 1000,
        policy: str = "round_robin",
        **settings: Any,
    ) -> None:
        self.loop = FakeLoop()
        loop: Any = self.loop
        hosts = [HOST] * backends if isinstance(backends, int) else list(backends)
        self.backends = [End() for _ in hosts]
        members = tuple(BackendSpec(host, end.port) for host, end in zip(hosts, self.backends, strict=True))
        settings = {"health_check": None, "ejection": None, **settings}
        self.pool_spec = PoolSpec("web", members, PolicySpec(policy), **settings)
        rows = FIRST_ROW + 3 * Pool.rows_needed(self.pool_spec) + 10
        self.ledger = Ledger(Table(bytearray(Table.size_bytes(rows, 1)), rows))
        plan = self.ledger.plan(Spec((), (self.pool_spec,)))
        self.pool = Pool(self.pool_spec, self.ledger.table, plan["web"], fresh=False)
        self.ledger.settle(Spec((), (self.pool_spec,)), plan)
        self.wheel = Wheel(loop, self.loop.time)
        self.counters = Counters()
        self.changes: list[tuple[str, bool]] = []
        self.connections = PoolConnections(loop, self.wheel, self.pool, self._on_change, self.counters)
        self.spec = ListenerSpec(
            "front",
            bind,
            0,
            (RouteSpec(pool="web"),),
            protocol="udp",
            answers=answers,
            session_timeout_s=session_timeout_s,
            max_sessions=max_sessions,
        )
        self.records: list[Record] = []
        self.context = ListenerContext(
            loop, self.wheel, self.spec, self.router(), (), Random(7).randrange, self.records.append, lambda: b""
        )
        self.context.count_at(Door(Table(bytearray(Table.size_bytes(1, 1)), 1), 0))
        self.context.counters = self.counters
        self.listener = UdpListener(
            loop, self.spec, self.context, None, Capacity(lambda: self.listener.clients(), most)
        )
        start = self.listener.start()
        try:
            start.send(None)
        except StopIteration:
            pass
        else:
            raise AssertionError("it waits for something")
        self.place: Place = self.listener.own
        self.clients: list[End] = []

    def router(self) -> Router:
        router = Router((RouteSpec(pool="web"),))
        router.routes[0].pool = self.connections
        return router

    def _on_change(self, pool: Pool, backend: Any, up: bool, detail: str) -> None:
        self.changes.append((backend.label, up))

    def client(self, host: str = HOST, to: str = "") -> End:
        """A client, which knows the listener by this address of it."""
        there = (to or self.listener.own[0], self.listener.own[1])
        client = End(host, there)
        self.clients.append(client)
        return client

    def ask(self, client: End, *datagrams: bytes) -> None:
        """A client sends these, and the balancer does what there is to be done."""
        for datagram in datagrams:
            client >> datagram
        self.pump()

    def answer(self, backend: End, datagram: bytes, to: Place) -> None:
        """A backend sends this to who has asked it."""
        backend.sock.sendto(datagram, to)
        self.pump()

    def asked(self, backend: int = 0) -> tuple[bytes, Place]:
        """The one datagram that has come to a backend, and from where."""
        (found,) = self.backends[backend].take()
        return found

    def echo(self) -> None:
        """Every backend that lives sends everything back."""
        for backend in self.backends:
            if backend.sock.fileno() >= 0:
                for datagram, place in backend.take():
                    backend.sock.sendto(datagram, place)
        self.pump()

    def pump(self) -> None:
        """Look at all descriptors until none has anything."""
        for _ in range(ROUNDS):
            self.loop.settle()
            poll = select.poll()
            for descriptor in self.loop.readers:
                poll.register(descriptor, select.POLLIN)
            ready = poll.poll(0)
            if not ready:
                return
            for descriptor, _ in ready:
                if descriptor in self.loop.readers:
                    self.loop.readers[descriptor]()
        raise AssertionError("there is always something more")

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.loop.turn(seconds)
        self.pump()

    def adopt(self, **changed: Any) -> None:
        """The listener gets another specification."""
        self.spec = replace(self.spec, **changed)
        self.listener.adopt(self.spec, self.router(), ())

    def reload(self, *places: tuple[str, int], **settings: Any) -> None:
        """The pool gets these backends."""
        self.pool_spec = replace(
            self.pool_spec, backends=tuple(BackendSpec(host, port) for host, port in places), **settings
        )
        plan = self.ledger.plan(Spec((), (self.pool_spec,)))
        draft = self.pool.draft(self.pool_spec, plan["web"])
        while draft.advance(10):
            pass
        self.pool.adopt(draft)
        self.connections.adopt()
        self.ledger.settle(Spec((), (self.pool_spec,)), plan)
        self.adopt()

    def in_flight(self) -> list[int]:
        """Of each backend."""
        return [backend.in_flight for backend in self.pool.backends]

    def words(self) -> list[str]:
        """How each session ended."""
        return [record.word for record in self.records]

    def counted(self) -> dict[str, int]:
        """All counters that are not 0."""
        return {name: count for name, count in self.counters.read().items() if count}

    def over(self) -> None:
        """End all, and check what must hold whatever went before."""
        self.listener.stop_accepting()
        self.listener.drop()
        self.listener.drop()
        self.loop.settle()
        self.connections.close()
        table = self.ledger.table
        assert [] == [row for row in range(FIRST_ROW, table.rows) if table.total(row, IN_FLIGHT)]
        door = self.context.door
        assert 0 == door.table.total(door.row, DOOR_IN_FLIGHT)
        assert 0 == door.table.total(door.row, CONNECTIONS)
        assert {} == self.listener.sessions
        assert {} == self.listener.hearing
        assert {} == self.loop.readers
        assert [] == self.loop.failures
        assert all(sock.fileno() < 0 for sock in self.listener.socks or ())
        for end in (*self.backends, *self.clients):
            end.close()
        self.loop.turn(4000.0)
        assert [] == self.loop.timers, "a timer goes on for nobody"
        assert set(self.counted()) <= set(NAMES)


# What the fixture `datagrams` is.
Make = Callable[..., Datagrams]
