"""A UDP listener: a session for each client address, and what of it all workers share.

Each worker has a socket of its own on the address (SO_REUSEPORT): the kernel deals datagrams out by the addresses and
ports of both sides, so that a client's all come to one worker, as long as there are as many sockets. All sessions of a
listener are heard by one epoll of its own, which the event loop looks at as at one descriptor: a session costs no
handle in the loop, and one look finds all that have an answer.

A datagram that is not passed on is dropped and counted, and its sender hears nothing: what is not answered cannot be
used to flood somebody whose address was forged.
Measured against uvloop's datagram transports: docs/design/024-udp.md.
"""

import logging
import select
import socket
from asyncio import AbstractEventLoop, Task
from collections.abc import Sequence
from errno import EBADF, EMFILE, ENFILE
from math import inf
from typing import Any, Final

from steelyard import errors
from steelyard.core.backend import Backend
from steelyard.core.router import Router
from steelyard.core.spec import ListenerSpec
from steelyard.errors import Kind
from steelyard.observe.counters import DATAGRAMS_DROPPED
from steelyard.proxy.acceptor import Capacity
from steelyard.proxy.bind import Address, SocketFile, address_of, bind
from steelyard.proxy.call import Call
from steelyard.proxy.connections import PoolConnections
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.datagram import (
    CONTROL_BYTES,
    ROOM_BYTES,
    Control,
    Overflow,
    answer_from,
    client_of,
    is_for_all,
    is_ours,
    prepare,
)
from steelyard.proxy.dial import SAY_EVERY_S, no_files, why
from steelyard.proxy.late import Late, LateSocket
from steelyard.proxy.names import Names
from steelyard.proxy.one_way import OneWay, send_one_way
from steelyard.proxy.session import ANY_NUMBER, Session
from steelyard.wire.peer import Network

# Datagrams of clients, and looks at the sessions, before it is the others' turn.
AT_ONCE: Final = 64
LOOKS: Final = 4
LOOK_SESSIONS: Final = 256

_log = logging.getLogger("steelyard")


class UdpListener:
    """Receives datagrams on bound sockets, and has a session for each client address.

    socks: those that somebody else has bound, ours from now on; None: one is bound here, at the start.
    capacity: of the process, where there are more listeners. room: where each datagram is read to.
    answers: how many are expected for a datagram, or ANY_NUMBER. own: a client with this address is ourselves.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        spec: ListenerSpec,
        context: ListenerContext,
        socks: Sequence[socket.socket] | None = None,
        capacity: Capacity | None = None,
    ) -> None:
        self.loop = loop
        self.spec = spec
        self.context = context
        self.socks = socks
        self.capacity = Capacity(self.clients) if capacity is None else capacity
        self.address = Address(spec.host, spec.port, spec.path)
        self.file: SocketFile | None = None  # as other listeners have where they are a unix socket
        self.room = memoryview(bytearray(ROOM_BYTES))
        self.sessions: dict[object, Session] = {}
        self.ways: dict[Backend, OneWay] = {}
        self.hearing: dict[int, Session | OneWay | LateSocket] = {}
        self.late = Late(self)
        self.epoll: select.epoll | None = None
        self.names = Names(loop)
        self.for_all = False
        self.own: tuple[Any, ...] = ()
        self.overflows: list[Overflow] = []
        self.stopping = False
        self.reading = False
        self.say_at = -inf
        self._follow(spec)

    async def start(self) -> None:
        """Receive, and bind before that where it was not done. Raises ListenError."""
        if self.socks is None:
            self.socks = bind(self.spec)
        self.address = address_of(self.socks[0])
        self.own = self.socks[0].getsockname()
        self.for_all = is_for_all(self.socks[0])
        self.context.local = str(self.address)
        self.epoll = select.epoll()
        self.loop.add_reader(self.epoll.fileno(), self.on_answers)
        for sock in self.socks:
            prepare(sock, self.spec.name)
            self.overflows.append(Overflow(sock, self.context.wheel, self.context.counters))
            self.loop.add_reader(sock.fileno(), self.on_datagrams, sock)
        self.reading = True
        self._look_up()

    def adopt(self, spec: ListenerSpec, router: Router, networks: tuple[Network, ...]) -> None:
        """Serve by another specification of the same address. Sessions keep their backend; new ones go by it."""
        self.spec = spec
        self.context.adopt(spec, router, networks)
        self._follow(spec)
        backends = set(self.connections().pool.backends)
        for backend in [one for one in self.ways if one not in backends]:
            self.ways.pop(backend).close()
        self.names.keep({(backend.host, backend.port) for backend in backends})
        self._look_up()

    def _follow(self, spec: ListenerSpec) -> None:
        self.timeout_s = spec.session_timeout_s
        self.answers = ANY_NUMBER if spec.answers is None else spec.answers
        self.context.door.most_in_flight = spec.max_sessions

    def _look_up(self) -> None:
        """Names that will be needed: the first datagram should not wait."""
        now = self.now()
        for backend in self.connections().pool.backends:
            self.names.of(backend.host, backend.port, now)

    def stop_accepting(self) -> None:
        """Receive nothing more of clients. Sessions end that owe no answer; the others go on until they have it."""
        if self.stopping:
            return
        self.stopping = True
        self.context.stopping = True
        self._read_no_more()
        now = self.now()
        for session in list(self.sessions.values()):
            session.retire(now)
        self._close_when_done()

    def answer_beside(self, socks: Sequence[socket.socket]) -> None:
        """Another listener receives on this address: answer from its sockets, as what comes to ours is not read."""
        if not socks or address_of(socks[0]) != self.address:  # any free port would do, and this is another one
            return
        for sock in self.socks or ():
            sock.close()
        front = socks[0].dup()
        front.setblocking(False)  # where its descriptor was handed over, `dup` has taken it for one that waits
        self.socks = (front,)
        for session in self.sessions.values():
            session.front = front

    def drop(self) -> None:
        """End all sessions at once."""
        self.stopping = True
        self._read_no_more()
        now = self.now()
        for session in list(self.sessions.values()):
            session.end(errors.STOPPING if session.owed else None, False, now)
        self._close_when_done()

    def clients(self) -> int:
        """How many sessions there are."""
        return len(self.sessions)

    @property
    def arriving(self) -> "set[Task[None]]":
        """Lookups that go on."""
        return self.names.tasks

    def now(self) -> float:
        """Monotonic seconds."""
        return self.context.wheel.now()

    def connections(self) -> PoolConnections:
        """The pool that all its datagrams go to."""
        pool = self.context.router.routes[0].pool
        assert isinstance(pool, PoolConnections)
        return pool

    def _read_no_more(self) -> None:
        if self.reading:
            self.reading = False
            for sock in self.socks or ():
                self.loop.remove_reader(sock.fileno())
            for overflow in self.overflows:
                overflow.close()

    def _close_when_done(self) -> None:
        """Close the sockets when the last answer has gone out on them."""
        if self.sessions:
            return
        for way in self.ways.values():
            way.close()
        self.late.close()
        self.names.close()
        if self.epoll is not None:
            self.loop.remove_reader(self.epoll.fileno())
            self.epoll.close()
            self.epoll = None
        for sock in self.socks or ():
            sock.close()

    # What comes.

    def on_datagrams(self, sock: socket.socket) -> None:
        """Clients have sent something."""
        now = self.now()
        for _ in range(AT_ONCE):
            control: Control = []
            try:
                if self.for_all:
                    size, control, _, address = sock.recvmsg_into([self.room], CONTROL_BYTES)
                else:
                    size, address = sock.recvfrom_into(self.room)
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno == EBADF:
                    raise  # a bug of ours, which would come again and again
                continue
            # To another of our addresses it is another conversation, which is answered from there.
            key = (address, *control) if control else address
            session = self.sessions.get(key)
            datagram = self.room[:size]
            if session is None or not session.pass_on(datagram, now):
                self._begin(key, address, sock, control, datagram, now)

    def on_answers(self) -> None:
        """Backends have sent something."""
        assert self.epoll is not None
        now = self.now()
        hearing = self.hearing
        for _ in range(LOOKS):
            found = self.epoll.poll(0, LOOK_SESSIONS)
            for descriptor, _ in found:
                heard = hearing.get(descriptor)
                if heard is not None:
                    heard.receive(now)
            if not found or self.epoll is None:
                return

    def _begin(
        self,
        key: object,
        address: tuple[Any, ...],
        sock: socket.socket,
        control: Control,
        datagram: memoryview,
        now: float,
    ) -> None:
        """The first datagram of a session."""
        # An answer to port 0 cannot be sent, and one to ourselves would come back as a datagram, round and round.
        if address[1] == 0 or (address[1] == self.own[1] and self._is_own(address)):
            self.count(DATAGRAMS_DROPPED)
            return
        context = self.context
        request = Call(client_of(address), context.below, now)
        connections = self.connections()
        if self.answers == 0:
            kind = send_one_way(self, request, connections, datagram)
            if kind is not None:
                self._turn_away(kind, now)
            return
        if not self._has_room(now):
            return
        chosen = connections.pool.acquire(request)
        if not isinstance(chosen, Backend):
            context.door.end()
            self._turn_away(chosen.kind, now)
            return
        if connections.probes is not None:
            connections.probes.wake(now)
        session = Session(self, key, address, sock, answer_from(control) if control else None, request, connections)
        self.sessions[key] = session
        context.door.enter()
        context.wheel.expect(session, now + self.timeout_s)
        session.begin(chosen, datagram, now)

    def _is_own(self, address: tuple[Any, ...]) -> bool:
        """Whether a datagram from our port comes from our address, or from one of all of ours."""
        return is_ours(address) if self.for_all else bool(address[0] == self.own[0])

    def _has_room(self, now: float) -> bool:
        """Whether there may be one session more; it is counted then."""
        self.late.make_room()
        if self.capacity.room() <= 0:
            self.no_socket(OSError(EMFILE, ""), now)
            self._turn_away(errors.NO_FILES, now)
            return False
        if self.context.door.begin():
            return True
        self._turn_away(errors.OVERLOADED, now)
        return False

    def _turn_away(self, kind: Kind, now: float) -> None:
        """There is no session for a datagram, which is dropped."""
        self.context.counters.ended(kind)
        self.count(DATAGRAMS_DROPPED)
        if now >= self.say_at:
            self.say_at = now + SAY_EVERY_S
            sessions = self.context.door.connections()
            what = "datagrams of new clients are dropped"
            _log.warning("listener %s: %s (%s): %d sessions are open", self.spec.name, what, kind.word, sessions)

    # For sessions and ways.

    def hear(self, descriptor: int, who: Session | OneWay) -> None:
        """Tell who has this socket when something has come. Raises OSError."""
        assert self.epoll is not None
        self.epoll.register(descriptor, select.EPOLLIN)
        self.hearing[descriptor] = who

    def hear_no_more(self, descriptor: int) -> None:
        """It is going to be closed, which takes it out of the epoll."""
        self.hearing.pop(descriptor, None)

    def way_to(self, backend: Backend) -> OneWay:
        """The way to this backend, for datagrams without answers."""
        way = self.ways.get(backend)
        if way is None:
            way = self.ways[backend] = OneWay(self, backend)
        return way

    def no_socket(self, exc: OSError, now: float) -> None:
        """There is none left for a session: say so once a minute."""
        if exc.errno in (EMFILE, ENFILE):
            no_files.say(exc.errno, now, "datagrams of new clients are dropped")
        elif now >= self.say_at:
            self.say_at = now + SAY_EVERY_S
            mend = "raise sysctl net.ipv4.ip_local_port_range, or lower session_timeout"
            _log.error("listener %s: no port is left for a session (%s); %s", self.spec.name, why(exc), mend)

    def leave(self, session: Session) -> None:
        """A session is over."""
        self.sessions.pop(session.key, None)
        self.context.door.leave()
        self.context.door.end()
        if self.stopping:
            self._close_when_done()

    def count(self, place: int) -> None:
        """Count one of these events."""
        self.context.counters.add(place)
