"""A session: the datagrams of one client address to one backend, and the answers back.

    open -> (the backend's name is known) -> connect -> pass_on ... receive ... -> end
      ^                                                   |
      +------------- refused before any answer -----------+

Its socket is connected to the backend: the kernel lets in nobody else's datagrams, and says when there is nobody there
(ICMP). A session that is refused before any answer begins once more elsewhere, with the datagram that came last, if
that is short enough to have been kept. One that had an answer ends, and the next datagram of its client opens another.

When it is over: after as many answers as are expected (so many for each datagram), or when nothing has come for its
time. Where answers are expected, or a circuit waits for one, the client's own datagrams do not give it more time: they
would keep a session for ever at a backend that is silent.
In flight at its backend is a session from `acquire` to `end`, where it is given back exactly once.
Source: nginx's ngx_stream_proxy_module (proxy_responses, proxy_timeout), Envoy's UDP proxy (sessions, idle time).
"""

from socket import SO_RCVBUF, SOCK_DGRAM, SOCK_NONBLOCK, SOL_SOCKET, socket
from typing import TYPE_CHECKING, Any, Final

from steelyard import errors
from steelyard.core.backend import Backend
from steelyard.core.policy import UNKNOWN_S
from steelyard.errors import Kind
from steelyard.observe.counters import DATAGRAMS_DROPPED, RETRIES
from steelyard.proxy.call import Call
from steelyard.proxy.clock import Timed
from steelyard.proxy.connections import PoolConnections
from steelyard.proxy.datagram import Control
from steelyard.proxy.dial import why
from steelyard.proxy.names import Name, Place
from steelyard.proxy.refused import LOCAL, acquire_other, hold_against, no_socket
from steelyard.proxy.totals import Totals, note_end

if TYPE_CHECKING:
    from steelyard.proxy.udp import UdpListener

ANY_NUMBER: Final = -1
NO_STATUS: Final = 0
# A datagram that fits into one Ethernet frame is kept until the first answer, for another backend.
HELD_BYTES: Final = 1_472
# What a client sends while its backend's name is looked up waits for that.
AHEAD_BYTES: Final = 16 * 1024
# Answers that come faster than they are passed on wait in the kernel: 1,200 small ones, twice that since Linux doubles
# it; with what it gives by itself that would be 256.
ANSWERS_BYTES: Final = 1024 * 1024
# After a stop: how long answers may still follow the last one, where nobody knows how many there will be.
FAREWELL_S: Final = 1.0


class Session(Timed):
    """One client address and its backend.

    key: under which the listener finds it. front: the socket that its datagrams come on, and answers leave from, with
    `control`. owed: answers that are still expected; where any number is, whether none has followed the last datagram.
    held: datagrams that may have to be sent (again). latency_s: to the first answer. received, sent: bytes from and to
    the client.
    """

    __slots__ = (
        "address",
        "asked_at",
        "at",
        "backend",
        "began_at",
        "connections",
        "control",
        "expected",
        "front",
        "held",
        "key",
        "last_at",
        "latency_s",
        "listener",
        "name",
        "owed",
        "places",
        "received",
        "request",
        "sent",
        "sock",
        "tries",
    )

    def __init__(
        self,
        listener: "UdpListener",
        key: object,
        address: tuple[Any, ...],
        front: socket,
        control: Control | None,
        request: Call,
        connections: PoolConnections,
    ) -> None:
        super().__init__()
        self.listener = listener
        self.key = key
        self.address = address
        self.front = front
        self.control = control
        self.request = request
        self.connections = connections
        self.backend: Backend | None = None
        self.name: Name | None = None
        self.places: tuple[Place, ...] = ()
        self.at = 0
        self.sock: socket | None = None
        self.expected = listener.answers
        self.owed = 0
        self.held: list[bytes] | None = None
        self.began_at = self.asked_at = self.last_at = request.now
        self.latency_s = UNKNOWN_S
        self.received = 0
        self.sent = 0
        self.tries = 0

    # Datagrams of the client.

    def begin(self, backend: Backend, datagram: memoryview, now: float) -> None:
        """The first one, to an acquired backend."""
        self.owed = self.expected if self.expected > 0 else 1
        self.held = [bytes(datagram)]
        self.received = len(datagram)
        self.open(backend, now)

    def pass_on(self, datagram: memoryview, now: float) -> bool:
        """Send one to the backend. False where the session has ended instead, and the datagram is for another one."""
        self.last_at = now
        self.received += len(datagram)
        if self.expected > 0:
            self.owed += self.expected
        else:
            self.owed = 1
            if self.request.trials is None:
                self.deadline = now + self.listener.timeout_s
        if self.sock is None:
            self._hold(datagram)
            return True
        if self.latency_s < 0.0:
            self.held = [bytes(datagram)] if len(datagram) <= HELD_BYTES else None
        return self._send(datagram, now)

    def _hold(self, datagram: memoryview) -> None:
        """The name of the backend is being looked up."""
        held = self.held = self.held or []
        if sum(map(len, held)) + len(datagram) > AHEAD_BYTES:
            self.listener.count(DATAGRAMS_DROPPED)
        else:
            held.append(bytes(datagram))

    def _send(self, datagram: memoryview | bytes, now: float) -> bool:
        assert self.sock is not None
        try:
            self.sock.send(datagram)
        except OSError as exc:
            if exc.errno in LOCAL:
                self.listener.count(DATAGRAMS_DROPPED)
                self._owe_nothing_for_one(now)
                return True
            answered = self.latency_s >= 0.0
            if answered:  # then it is not held, and not lost: the next session has it
                self.received -= len(datagram)
            self.on_failed(errors.CONNECT_FAILED, why(exc), now)
            return not answered
        return True

    def _owe_nothing_for_one(self, now: float) -> None:
        """A datagram has not left us: no answer follows, and that says nothing of the backend."""
        if self.expected > 0:
            self.owed -= self.expected
            if self.owed <= 0:
                self.end(None, False, now)

    # The backend.

    def open(self, backend: Backend, now: float) -> None:
        """Begin at an acquired backend; what is held goes there."""
        self.backend = backend
        self.asked_at = now
        self.tries += 1
        self.name = self.listener.names.of(backend.host, backend.port, now)
        self.places = self.name.places
        self.at = 0
        if self.places:
            self._connect(now)
        else:
            self.name.waiting.append(self._on_found)

    def _on_found(self) -> None:
        """The lookup of the backend's name is over."""
        name = self.name
        if self.backend is None or name is None or self.sock is not None:
            return
        now = self.listener.now()
        self.places = name.places
        if self.places:
            self._connect(now)
        else:
            self.on_failed(errors.CONNECT_FAILED, name.why, now)

    def _connect(self, now: float) -> None:
        family, place = self.places[self.at]
        sock: socket | None = None
        try:
            sock = socket(family, SOCK_DGRAM | SOCK_NONBLOCK)
            sock.setsockopt(SOL_SOCKET, SO_RCVBUF, ANSWERS_BYTES)
            sock.connect(place)
            self.listener.hear(sock.fileno(), self)
        except OSError as exc:
            if sock is not None:
                sock.close()
            kind = no_socket(exc)
            if kind is not None and self.listener.late.close():
                self._connect(now)
            elif kind is None:
                self.on_failed(errors.CONNECT_FAILED, why(exc), now)
            else:
                self.listener.no_socket(exc, now)
                self.listener.count(DATAGRAMS_DROPPED)
                self.end(kind, False, now)
            return
        self.sock = sock
        held = self.held or []
        # What another one has swallowed, and is not held, is answered by nobody.
        self.owed = len(held) * self.expected if self.expected > 0 else int(bool(held))
        if not held:
            self.listener.count(DATAGRAMS_DROPPED)
        if held and len(held[-1]) <= HELD_BYTES:
            self.held = held[-1:]
        else:
            self.held = None
        for datagram in held:
            if self.sock is sock:
                self._send(datagram, now)

    def receive(self, now: float) -> None:
        """The backend has sent something, or there is nobody there."""
        assert self.sock is not None
        listener = self.listener
        try:
            size = self.sock.recv_into(listener.room)
        except BlockingIOError:
            return
        except OSError as exc:
            self.on_failed(errors.CONNECT_FAILED, why(exc), now)
            return
        if self.latency_s < 0.0:
            self._on_first_answer(now)
        self.last_at = now
        self.deadline = now + listener.timeout_s
        try:
            if self.control is None:
                self.front.sendto(listener.room[:size], self.address)
            else:
                self.front.sendmsg([listener.room[:size]], self.control, 0, self.address)
        except OSError:  # whatever it is, the client is asked to send again by its own clock
            listener.count(DATAGRAMS_DROPPED)
        else:
            self.sent += size
        if self.expected > 0:
            self.owed -= 1
            if self.owed == 0:
                self.end(None, False, now)
        else:
            self.owed = 0
            if listener.stopping:
                self.retire(now)

    def _on_first_answer(self, now: float) -> None:
        assert self.backend is not None and self.name is not None
        pool = self.connections.pool
        self.latency_s = now - self.asked_at
        self.held = None
        if self.at:
            self.name.prefer(self.places[self.at])
        pool.answered_head(self.request, self.backend, False, self.latency_s, now)
        pool.answered(self.backend, now)

    # When there is nobody.

    def on_failed(self, kind: Kind, detail: str, now: float) -> None:
        """The backend takes no datagrams here: elsewhere, if none was answered yet."""
        backend = self.backend
        assert backend is not None
        self._hang_up()
        if self.latency_s < 0.0 and self.at + 1 < len(self.places):
            self.at += 1
            self._connect(now)
            return
        hold_against(self.connections, backend, detail, now)
        other = self._elsewhere(kind, now)
        if other is None:
            if self.latency_s < 0.0:
                self.listener.count(DATAGRAMS_DROPPED)
            self.end(kind, True, now)
            return
        self.listener.count(RETRIES)
        self._give_back(True, now, False)
        self.open(other, now)

    def _elsewhere(self, kind: Kind, now: float) -> Backend | None:
        """Another backend, acquired; None when something was answered, nothing is held, or no more try is allowed."""
        assert self.backend is not None
        if self.latency_s >= 0.0 or not self.held or self.tries >= self.connections.tries:
            return None
        return acquire_other(self.connections, self.request, self.backend, kind, now, self.listener.context.counters)

    def _hang_up(self) -> None:
        sock, self.sock = self.sock, None
        if sock is not None:
            self.listener.hear_no_more(sock.fileno())
            sock.close()

    # The end.

    def on_deadline(self, now: float) -> None:
        """Nothing has come for its time. Where answers were expected and none came, that is the backend's failure."""
        if self.sock is None:
            self.end(errors.CONNECT_TIMEOUT, False, now)  # a resolver's, and not held against the backend
            return
        if self.owed:  # it may come yet, and would reach whoever gets the port next
            sock, self.sock = self.sock, None
            self.listener.late.keep(sock, now)
        if self.expected > 0 and self.owed:
            self.end(errors.RESPONSE_TIMEOUT, self.latency_s < 0.0, now)
        else:
            self.end(None, False, now)

    def retire(self, now: float) -> None:
        """The listener stops: end soon, unless an answer is expected. Those have until the drain is over."""
        if self.owed == 0:
            self.listener.context.wheel.expect(self, now + FAREWELL_S)

    def end(self, kind: Kind | None, failed: bool, now: float) -> None:
        """The only exit. failed: that is held against the backend."""
        backend = self.backend
        if backend is None:
            return
        self.listener.context.wheel.forget(self)
        self._hang_up()
        self._give_back(failed, now, True)
        self.held = None
        self.listener.leave(self)
        pool, duration_s = self.connections.pool.name, self.last_at - self.began_at
        totals = Totals(pool, backend.label, self.tries, duration_s, self.received, self.sent)
        note_end(self.listener.context, self.request, kind, totals, now)

    def _give_back(self, failed: bool, now: float, final: bool) -> None:
        backend, self.backend = self.backend, None
        assert backend is not None
        self.connections.pool.release(self.request, backend, failed, now, self.latency_s, NO_STATUS, final)
        if self.connections.queue is not None:
            self.connections.queue.wake()
