"""An event loop, transports and a whole balancer for protocol tests: no sockets, no sleeping, a clock that is turned.

`World` builds what a worker builds, over a `FakeLoop`. Its `Peer`s are the other ends: clients, and backends that
accepted. A test is a script of what arrives and what must leave:

    client >> request("GET / HTTP/1.1")         # arrives from the client
    backend = world.accept("a")                 # the balancer dialled backend a, which accepts
    backend << forwarded("GET / HTTP/1.1")      # exactly this must have left to the backend since the last look
    backend >> answer("HTTP/1.1 200 OK", "Content-Length: 2", body=b"ok")
    client << answer("HTTP/1.1 200 OK", "Content-Length: 2", body=b"ok")

After each step the loop runs until nothing is ready. `world.over()` ends everybody and checks what must hold after any
test: nothing in flight, no byte that nobody looked at, no failed callback, no timer left behind.

The transports do as those of asyncio and uvloop do: write to the peer at once while it reads, else hold the bytes and
call pause_writing; a read that is paused leaves bytes with the sender; connection_lost comes in a later round.
Source: uvicorn's `MockTransport` and `MockLoop`, mitmproxy's Playbook (`>>`, `<<`).
"""

import difflib
import struct
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import ip_network
from random import Random
from socket import AF_INET, SO_LINGER, SOCK_STREAM, SOL_SOCKET, socket
from typing import Any, Final, Self

from steelyard.control.ledger import Ledger
from steelyard.core.backend import Backend
from steelyard.core.door import IN_FLIGHT as DOOR_IN_FLIGHT
from steelyard.core.pool import Pool
from steelyard.core.router import Router
from steelyard.core.spec import (
    BackendSpec,
    EjectionSpec,
    HealthCheckSpec,
    ListenerSpec,
    ListenerTimeouts,
    PolicySpec,
    PoolSpec,
    PoolTimeouts,
    RetrySpec,
    RouteSpec,
    Spec,
    StickySpec,
)
from steelyard.core.table import CIRCUIT_BITS, FIRST_ROW, IN_FLIGHT, TRYING, Table
from steelyard.errors import Kind
from steelyard.observe.accesslog import Record
from steelyard.observe.counters import OUTCOMES, Counters
from steelyard.proxy.clock import Wheel
from steelyard.proxy.connections import PoolConnections
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.downstream import Downstream
from steelyard.wire.answers import refusal

CLIENT: Final = "192.0.2.7"
READ_BYTES: Final = 256_000  # the most that uvloop hands over in one read
# Time goes on a little while a callback runs; without it a deadline that is a rounding error away never comes.
CALLBACK_S: Final = 1e-6
# More rounds than any script needs: two callbacks that keep waking each other.
MAX_ROUNDS: Final = 100_000


class FakeTimer:
    """What call_later returns."""

    def __init__(self, due: float, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.due = due
        self.callback = callback
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Waiting:
    """Something a coroutine awaits, until the test says how it ends."""

    def __init__(self, what: tuple[Any, ...]) -> None:
        self.what = what
        self.task: FakeTask | None = None
        self.over = False
        self.exc: BaseException | None = None

    def __await__(self) -> Generator["Waiting", None, None]:
        if not self.over:
            yield self
        if self.exc is not None:
            raise self.exc

    def end(self, exc: BaseException | None = None) -> None:
        self.over = True
        self.exc = exc
        if self.task is not None:
            self.task.loop.call_soon(self.task.step)


class FakeTask:
    """Runs a coroutine as the loop's task does: in later rounds, cancelled in a later round too."""

    def __init__(self, loop: "FakeLoop", coroutine: Coroutine[Any, Any, Any]) -> None:
        self.loop = loop
        self.coroutine = coroutine
        self.finished = False
        self.cancelled = False
        self.waits_for: Waiting | None = None
        self.callbacks: list[Callable[[FakeTask], object]] = []
        loop.call_soon(self.step)

    def step(self) -> None:
        if self.finished:
            return
        if self.waits_for is not None and not self.waits_for.over and not self.cancelled:
            return
        try:
            if self.cancelled:
                self.waits_for = self.coroutine.throw(CancelledError())
            else:
                self.waits_for = self.coroutine.send(None)
        except StopIteration:
            self.finish()
        except BaseException as exc:
            self.finish()
            if not self.cancelled:
                raise AssertionError("a task failed, which asyncio would only log") from exc
        else:
            self.waits_for.task = self

    def finish(self) -> None:
        self.finished = True
        for callback in self.callbacks:
            self.loop.call_soon(callback, self)

    def add_done_callback(self, callback: "Callable[[FakeTask], object]") -> None:
        self.callbacks.append(callback)

    def done(self) -> bool:
        return self.finished

    def cancel(self) -> None:
        self.cancelled = True
        self.loop.call_soon(self.step)


class FakeSocket:
    """The socket under a transport, as far as anybody looks into it.

    in_kernel: the other side's close, or bytes of it, that the event loop has not come round to. resets: when closed.
    """

    def __init__(self) -> None:
        self.in_kernel: bytes | OSError | None = None
        self.resets = False

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        assert (SOL_SOCKET, SO_LINGER) == (level, option)
        self.resets = value == struct.pack("ii", 1, 0)

    def fileno(self) -> int:
        return -1

    def recv(self, size: int, flags: int = 0) -> bytes:
        if self.in_kernel is None:
            raise BlockingIOError
        if isinstance(self.in_kernel, OSError):
            raise self.in_kernel
        return self.in_kernel[:size]


class FakeServer:
    """What create_server returns."""

    def __init__(self, factory: Callable[[], Any], sock: socket, backlog: int) -> None:
        self.factory = factory
        self.sock = sock
        self.backlog = backlog
        self.closed = False

    def close(self) -> None:
        self.closed = True
        self.sock.close()


class FakeLoop:
    """An event loop whose rounds and clock the test turns. dials: connects that wait for their backend."""

    def __init__(self) -> None:
        self.clock = 1000.0
        self.ready: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self.timers: list[FakeTimer] = []
        self.tasks: list[FakeTask] = []
        self.dials: list[Waiting] = []
        self.failures: list[dict[str, Any]] = []
        self.made: list[FakeTransport] = []
        self.servers: list[FakeServer] = []
        self.unresolvable: set[str] = set()
        self.addresses: dict[str, list[str]] = {}
        self.readers: dict[int, Callable[[], object]] = {}

    # What the balancer calls.

    def time(self) -> float:
        return self.clock

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        self.ready.append((callback, args))

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> FakeTimer:
        timer = FakeTimer(self.clock + delay, callback, args)
        self.timers.append(timer)
        return timer

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        self.readers[fd] = partial(callback, *args)

    def remove_reader(self, fd: int) -> None:
        del self.readers[fd]

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> FakeTask:
        task = FakeTask(self, coroutine)
        self.tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failures.append(context)

    async def getaddrinfo(self, host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        if host in self.unresolvable:
            raise OSError(f"{host}: no such name")
        return [(AF_INET, SOCK_STREAM, 0, "", (name, port)) for name in self.addresses.get(host, [host])]

    async def sock_connect(self, sock: socket, address: tuple[str, int]) -> None:
        waiting = Waiting(address)
        self.dials.append(waiting)
        try:
            await waiting
        finally:
            if waiting in self.dials:
                self.dials.remove(waiting)

    async def create_connection(self, factory: Callable[[], Any], sock: socket) -> tuple["FakeTransport", Any]:
        sock.close()  # never connected: it only stood in until here
        protocol = factory()
        transport = FakeTransport(self, protocol, ("", 0))
        protocol.sock = transport.sock
        self.made.append(transport)
        protocol.connection_made(transport)
        return transport, protocol

    async def connect_accepted_socket(self, factory: Callable[[], Any], sock: socket) -> tuple["FakeTransport", Any]:
        address = sock.getpeername()
        sock.close()  # the test plays its client from here on
        protocol = factory()
        transport = FakeTransport(self, protocol, address)
        self.made.append(transport)
        protocol.connection_made(transport)
        return transport, protocol

    async def create_server(self, factory: Callable[[], Any], sock: socket, backlog: int) -> "FakeServer":
        self.servers.append(FakeServer(factory, sock, backlog))
        return self.servers[-1]

    # What the test calls.

    def settle(self) -> None:
        """Run rounds until nothing is ready."""
        for _ in range(MAX_ROUNDS):
            if not self.ready:
                return
            callback, args = self.ready.popleft()
            callback(*args)
        raise AssertionError("the loop never comes to rest")

    def turn(self, seconds: float) -> None:
        """Let time pass, with every timer that comes due on the way."""
        self.settle()
        until = self.clock + seconds
        for _ in range(MAX_ROUNDS):
            self.timers = [timer for timer in self.timers if not timer.cancelled]
            timer = min(self.timers, key=lambda timer: timer.due, default=None)
            if timer is None or timer.due > until:
                self.clock = max(self.clock, until)
                return
            self.timers.remove(timer)
            self.clock = max(self.clock, timer.due) + CALLBACK_S
            timer.callback(*timer.args)
            self.settle()
        raise AssertionError("the timers never come to rest")


class FakeTransport:
    """One connection as its protocol sees it, and the means to play the other end."""

    def __init__(self, loop: FakeLoop, protocol: Any, address: str | tuple[str, int]) -> None:
        self.loop = loop
        self.protocol = protocol
        self.address = address
        self.sock = FakeSocket()
        self.arriving: deque[bytes] = deque()
        self.eof_arriving = False
        self.eof_arrived = False
        self.sent = bytearray()
        self.written = 0
        self.writes = 0
        self.held = bytearray()
        self.most_held = 0
        self.room: int | None = None  # what the peer still takes, None for all
        self.high = 64 * 1024
        self.writing_paused = False
        self.reading = True
        self.eof_sent = False
        self.closing = False
        self.aborted = False
        self.gone = False  # the peer is, and the protocol has not heard of it yet
        self.lost = False

    # What the protocol calls.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": self.address, "socket": self.sock}.get(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = 64 * 1024 if high is None else high

    def get_write_buffer_size(self) -> int:
        return len(self.held)

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes), f"written: {data!r}"
        if self.eof_sent:
            raise RuntimeError("Cannot call write() after write_eof()")
        assert not self.closing, f"written to a connection that was closed: {data!r}"
        if self.gone:
            return
        self.writes += 1
        self.written += len(data)
        self.held += data
        self.push()
        self.most_held = max(self.most_held, len(self.held))
        if len(self.held) > self.high and not self.writing_paused:
            self.writing_paused = True
            self.protocol.pause_writing()

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.write(b"".join(pieces))

    def write_eof(self) -> None:
        assert not self.closing, "write_eof on a connection that was closed"
        if self.gone:
            raise OSError(107, "Transport endpoint is not connected")
        self.eof_sent = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        if not self.reading:
            self.reading = True
            self.loop.call_soon(self.deliver)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            if not self.held:
                self.loop.call_soon(self.lose, None)

    def abort(self) -> None:
        self.aborted = self.aborted or not self.closing
        self.closing = True
        self.held.clear()
        self.loop.call_soon(self.lose, None)

    # What the loop does.

    def deliver(self) -> None:
        """One read, as far as the protocol wants it."""
        if self.closing or self.gone or not self.reading:
            return
        if self.arriving:
            self.loop.call_soon(self.deliver)
            self.protocol.data_received(self.arriving.popleft())
        elif self.eof_arriving and not self.eof_arrived:
            self.eof_arrived = True
            if not self.protocol.eof_received():
                self.close()

    def push(self) -> None:
        size = len(self.held) if self.room is None else min(self.room, len(self.held))
        if self.room is not None:
            self.room -= size
        self.sent += self.held[:size]
        del self.held[:size]

    def lose(self, exc: Exception | None) -> None:
        if not self.lost:
            self.lost = self.closing = True
            self.held.clear()
            self.protocol.connection_lost(exc)

    def drain(self) -> None:
        """The peer has read."""
        if self.lost:
            return
        self.push()
        if self.writing_paused and not self.held:
            self.writing_paused = False
            self.protocol.resume_writing()
        if self.closing and not self.held:
            self.loop.call_soon(self.lose, None)


class Peer:
    """The other end of a connection: `peer >> bytes` arrives from it, `peer << bytes` must have left to it."""

    def __init__(self, name: str, world: "World", transport: FakeTransport) -> None:
        self.name = name
        self.world = world
        self.transport = transport

    def __rshift__(self, data: bytes) -> Self:
        for at in range(0, len(data), READ_BYTES):
            self.transport.arriving.append(data[at : at + READ_BYTES])
        self.transport.loop.call_soon(self.transport.deliver)
        self.world.loop.settle()
        return self

    def __lshift__(self, expected: bytes) -> Self:
        got = self.take()
        assert expected == got, f"to {self.name} there left\n{difference(expected, got)}"
        return self

    def take(self) -> bytes:
        """What has left to it since the last look."""
        got = bytes(self.transport.sent)
        self.transport.sent.clear()
        return got

    def eof(self) -> Self:
        """It sends no more, but still reads."""
        self.transport.eof_arriving = True
        self.transport.loop.call_soon(self.transport.deliver)
        self.world.loop.settle()
        return self

    def reset(self) -> Self:
        """It is gone, rudely."""
        self.transport.arriving.clear()
        self.transport.gone = True
        self.transport.loop.call_soon(self.transport.lose, ConnectionResetError(104, "Connection reset by peer"))
        self.world.loop.settle()
        return self

    def vanish(self) -> Self:
        """It is gone, and the event loop comes round to that only in a while."""
        self.transport.arriving.clear()
        self.transport.gone = True
        self.transport.loop.call_later(0.01, self.transport.lose, ConnectionResetError(104, "Connection reset by peer"))
        return self

    def stop_reading(self, room: int = 0) -> Self:
        """It reads no more than so many bytes from now on."""
        self.transport.room = room
        return self

    def read(self, room: int | None = None) -> Self:
        """It reads so many bytes, or all from now on."""
        self.transport.room = room
        self.transport.drain()
        self.world.loop.settle()
        return self

    @property
    def unread(self) -> int:
        """Bytes that it has sent and that the balancer has not read."""
        return sum(map(len, self.transport.arriving))

    @property
    def end(self) -> str:
        """What the balancer has done with it: `open`, `eof` (sends no more), `closed`, `aborted`, `reset` (aborted so
        that the other end must notice)."""
        if self.transport.closing:
            if not self.transport.aborted:
                return "closed"
            return "reset" if self.transport.sock.resets else "aborted"
        return "eof" if self.transport.eof_sent else "open"


class World:
    """A worker's objects over a fake loop: one listener, one pool `web` over the backends `a`, `b`...

    hosts: one backend for each (of "ab", one for each letter). routes: the listener's; all to the pool when not given.
    client_timeouts: the listener's. listener: its other fields. All else is as in core/spec.py, and the pool's.
    """

    def __init__(
        self,
        hosts: Sequence[str] = "a",
        *,
        routes: tuple[RouteSpec, ...] = (RouteSpec(pool="web"),),
        retry: RetrySpec | None = None,
        timeouts: PoolTimeouts | None = None,
        client_timeouts: ListenerTimeouts | None = None,
        check: HealthCheckSpec | None = None,
        trusted: tuple[str, ...] = (),
        max_connections: int | None = None,
        max_idle: int = 256,
        policy: str = "round_robin",
        key: str | None = None,
        sticky: StickySpec | None = None,
        listener: dict[str, Any] | None = None,
        ejection: EjectionSpec | None = None,
        workers: int = 1,
        **settings: Any,
    ) -> None:
        self.loop = FakeLoop()
        loop: Any = self.loop
        self.wheel = Wheel(loop, self.loop.time)
        spec = PoolSpec(
            "web",
            tuple(BackendSpec(host, 80, 1, max_connections) for host in hosts),
            PolicySpec(policy, key),
            check,
            retry or RetrySpec(),
            timeouts or PoolTimeouts(),
            max_idle,
            sticky=sticky,
            ejection=ejection,
            **settings,
        )
        self.listener = ListenerSpec(
            "front", "192.0.2.1", 8080, routes, trusted, client_timeouts or ListenerTimeouts(), **(listener or {})
        )
        rows = FIRST_ROW + 3 * Pool.rows_needed(spec) + 10  # room for other configurations
        self.memory = bytearray(Table.size_bytes(rows, workers))  # for the views of other workers
        self.ledger = Ledger(Table(self.memory, rows, workers))
        plan = self.ledger.plan(Spec((), (spec,)))
        self.pool = Pool(spec, self.ledger.table, plan["web"], fresh=False)
        self.ledger.settle(Spec((), (spec,)), plan)
        self.changes: list[tuple[str, bool]] = []
        self.counters = Counters(self.ledger.table)
        self.connections = PoolConnections(loop, self.wheel, self.pool, self._on_change, self.counters)
        router = Router(routes)
        for route in router.routes:
            if route.spec.pool is None:
                route.respond = route.spec.respond
            else:
                route.pool = self.connections
        self.records: list[Record] = []
        self.context = ListenerContext(
            loop,
            self.wheel,
            self.listener,
            router,
            tuple(ip_network(network) for network in trusted),
            Random(7).randrange,
            self.records.append,
            lambda: b"",  # no wall clock here: test_downstream.py turns one
        )
        self.context.counters = self.counters
        self.peers: list[Peer] = []
        self.clients: list[Peer] = []

    def _on_change(self, pool: Pool, backend: Backend, up: bool, detail: str) -> None:
        self.changes.append((backend.host, up))

    def reload(self, hosts: Sequence[str], **settings: Any) -> None:
        """The pool gets another configuration: these backends, and what else of a PoolSpec is another one."""
        backends = tuple(BackendSpec(host, 80) for host in hosts)
        spec = replace(self.pool.spec, backends=backends, **settings)
        plan = self.ledger.plan(Spec((), (spec,)))
        draft = self.pool.draft(spec, plan["web"])
        while draft.advance(10):
            pass
        self.pool.adopt(draft)
        self.connections.adopt()
        self.ledger.settle(Spec((), (spec,)), plan)

    def client(self, address: str = CLIENT, on_unix: bool = False, speaks: Callable[[Any], Any] = Downstream) -> Peer:
        """A client connects. on_unix: to a unix socket, where the address is its own path, or empty."""
        protocol: Any = speaks(self.context)
        transport = FakeTransport(self.loop, protocol, address if on_unix else (address, 40000))
        protocol.connection_made(transport)
        peer = Peer("the client", self, transport)
        self.clients.append(peer)
        self.peers.append(peer)
        return peer

    def accept(self, host: str) -> Peer:
        """The dial that waits longest, which must be to this backend, is accepted."""
        return self.accept_dial(self._dial(host))

    def accept_dial(self, dial: Waiting) -> Peer:
        """This dial is accepted."""
        before = len(self.loop.made)
        dial.end()
        self.loop.settle()
        assert before + 1 == len(self.loop.made)
        peer = Peer(f"backend {dial.what[0]}", self, self.loop.made[-1])
        self.peers.append(peer)
        return peer

    def refuse(self, host: str) -> None:
        """The dial that waits longest, which must be to this backend, is refused."""
        self._dial(host).end(ConnectionRefusedError(111, "Connection refused"))
        self.loop.settle()

    def _dial(self, host: str) -> Waiting:
        assert self.dialled, f"no dial, where one to {host} was expected"
        assert host == self.dialled[0]
        return self.loop.dials[0]

    @property
    def dialled(self) -> list[str]:
        """The backends that are being dialled."""
        return [dial.what[0] for dial in self.loop.dials]

    @property
    def in_flight(self) -> dict[str, int]:
        """Of each backend that has any."""
        return {backend.host: backend.in_flight for backend in self.pool.backends if backend.in_flight}

    @property
    def idle(self) -> list[str]:
        """The backends of the kept connections."""
        kept = self.connections.of_backend
        return [backend.host for backend in self.pool.backends for _ in kept[backend].idle]

    @property
    def outcomes(self) -> list[tuple[int, str]]:
        """Status and word of each exchange that has ended."""
        return [(record.status, record.word) for record in self.records]

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.loop.turn(seconds)

    def over(self) -> None:
        """End everybody, and check what must hold when all is over, whatever went before."""
        for peer in self.peers:
            if not peer.transport.lost:
                peer.reset()
        self.connections.close()
        self.loop.settle()
        assert {} == self.in_flight, "requests are in flight though all is over"
        table = self.pool.table
        counted = self.counters.read()
        if self.context.on_record is not None and self.context.counters is self.counters:
            assert len(self.records) == sum(counted[name] for name in OUTCOMES), "each exchange is counted once"
        assert [] == [row for row in range(FIRST_ROW, table.rows) if table.total(row, IN_FLIGHT)], (
            "nor is anything where it was"
        )
        door = self.context.door
        assert 0 == door.table.total(door.row, DOOR_IN_FLIGHT), "the listener counts one that has ended"
        queue = self.connections.queue
        assert queue is None or 0 == queue.room.waiting, "somebody waits, though all is over"
        circuits = [self.pool.circuit(), *[backend.circuit() for backend in self.pool.backends]]
        assert [] == [one for one in circuits if one & CIRCUIT_BITS == TRYING], "a trial was lost"
        assert [] == self.loop.failures, "a callback failed"
        assert [] == self.dialled, "a dial goes on for nobody"
        assert set() == self.context.downstreams
        for peer in self.peers:
            assert peer.transport.lost, f"{peer.name} was left open"
            assert b"" == peer.take(), f"{peer.name} was sent what no test looked at"
        for client in self.clients:
            assert getattr(client.transport.protocol, "exchange", None) is None
        assert all(task.finished for task in self.loop.tasks), "a task goes on for nobody"
        # Slots of the wheel may still come up; nothing may come of it.
        records = list(self.records)
        self.turn(4000.0)
        assert [] == self.loop.timers, "a timer goes on for nobody"
        assert records == self.records


def difference(expected: bytes, got: bytes) -> str:
    """Both as lines, with what is missing (-) and what is too much (+)."""
    before, after = ([repr(line)[2:-1] for line in data.splitlines(keepends=True)] for data in (expected, got))
    return "\n".join(difflib.ndiff(before, after)) or "nothing"


def head(*lines: str, body: bytes = b"") -> bytes:
    """A message of these lines."""
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def request(line: str = "GET / HTTP/1.1", *fields: str, body: bytes = b"") -> bytes:
    """A request as a client sends it, to the host `site`."""
    return head(line, "Host: site", *fields, body=body)


def forwarded(
    line: str = "GET / HTTP/1.1", *ours: str, kept: tuple[str, ...] = (), body: bytes = b"", via: str = "1.1"
) -> bytes:
    """The same as the backend must get it. kept: fields passed on; ours: framing and Connection, written anew."""
    vouched = (f"X-Forwarded-For: {CLIENT}", f"X-Real-IP: {CLIENT}", "X-Forwarded-Proto: http")
    lines = (line, "Host: site", "X-Forwarded-Host: site", *kept, *vouched, *ours, f"Via: {via} steelyard")
    return head(*lines, body=body)


def answer(line: str = "HTTP/1.1 200 OK", *fields: str, body: bytes = b"") -> bytes:
    """An answer with these fields."""
    return head(line, *fields, body=body)


def ok(body: bytes = b"ok", *fields: str) -> bytes:
    """An answer of a stated length, which looks the same on both sides."""
    return answer("HTTP/1.1 200 OK", *fields, f"Content-Length: {len(body)}", body=body)


def refused(kind: Kind, *, close: bool = False, to_head: bool = False, retry_after_s: int = 1) -> bytes:
    """The answer for a failure."""
    return refusal(kind, b"Connection: close\r\n" if close else b"", to_head, retry_after_s)


def chunks(*pieces: bytes, end: bool = True) -> bytes:
    """Pieces in chunked coding."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\n\r\n" if end else b"")
