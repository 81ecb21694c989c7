"""Datagrams that nobody answers (`answers: 0`): each is balanced by itself, and over when it is sent.

So no client has a session, and none needs a socket of its own: there is one to each backend. A backend that refuses is
heard of only afterwards (ICMP), when the datagram is gone. That is held against the next one's try there, which goes
elsewhere instead; whoever refuses again and again is ejected, or taken down where there are checks.
"""

from functools import partial
from socket import SOCK_DGRAM, SOCK_NONBLOCK, socket
from typing import TYPE_CHECKING

from steelyard import errors
from steelyard.core.backend import Backend
from steelyard.core.policy import UNKNOWN_S
from steelyard.errors import Kind
from steelyard.observe.counters import DATAGRAMS_DROPPED, RETRIES
from steelyard.proxy.call import Call
from steelyard.proxy.connections import PoolConnections
from steelyard.proxy.dial import why
from steelyard.proxy.names import Name, Place
from steelyard.proxy.refused import LOCAL, acquire_other, hold_against, no_socket
from steelyard.proxy.session import AHEAD_BYTES, NO_STATUS
from steelyard.proxy.totals import Totals, note_end

if TYPE_CHECKING:
    from steelyard.proxy.udp import UdpListener


class OneWay:
    """The way to one backend. ahead: what waits until its name is known. refusal: what was heard since the last try.

    at: which of the addresses of its name is used; the next one where that refuses, and when all have it is a refusal.
    """

    def __init__(self, listener: "UdpListener", backend: Backend) -> None:
        self.listener = listener
        self.backend = backend
        self.sock: socket | None = None
        self.places: tuple[Place, ...] = ()
        self.at = 0
        self.ahead: list[bytes] = []
        self.refusal: OSError | None = None

    def send(self, datagram: memoryview | bytes, now: float) -> bool:
        """Send one; False where it cannot leave us. Raises OSError where there is no backend to take it."""
        refusal, self.refusal = self.refusal, None
        if refusal is not None:
            raise refusal
        while True:
            try:
                sock = self.sock or self._connected(now)
                if sock is None:
                    return self._wait(datagram)
                sock.send(datagram)
            except OSError as exc:
                if self.sock is not None and exc.errno in LOCAL:
                    return False
                if not self._turn():
                    raise
            else:
                return True

    def _connected(self, now: float) -> socket | None:
        """None while the name is being looked up. Raises OSError."""
        name = self.listener.names.of(self.backend.host, self.backend.port, now)
        self.places = name.places
        if not self.places:
            if not self.ahead:
                name.waiting.append(partial(self._on_found, name))
            return None
        family, place = self.places[self.at % len(self.places)]
        sock = socket(family, SOCK_DGRAM | SOCK_NONBLOCK)
        try:
            sock.connect(place)
            self.listener.hear(sock.fileno(), self)
        except OSError:
            sock.close()
            raise
        self.sock = sock
        return sock

    def _wait(self, datagram: memoryview | bytes) -> bool:
        if sum(map(len, self.ahead)) + len(datagram) > AHEAD_BYTES:
            return False
        self.ahead.append(bytes(datagram))
        return True

    def _on_found(self, name: Name) -> None:
        """The lookup of the name is over."""
        ahead, self.ahead = self.ahead, []
        now = self.listener.now()
        if not name.places:
            self.refusal = OSError(name.why)
        for datagram in ahead:
            passed = False
            if self.refusal is None and not self.listener.stopping:
                try:
                    passed = self.send(datagram, now)
                except OSError as exc:
                    self.refusal = exc
            if not passed:
                self.listener.count(DATAGRAMS_DROPPED)
        if self.listener.ways.get(self.backend) is not self:  # a reload has taken it away meanwhile
            self.close()

    def receive(self, now: float) -> None:
        """The backend has sent something, which nobody wants, or there is nobody there."""
        assert self.sock is not None
        try:
            self.sock.recv_into(self.listener.room)
        except BlockingIOError:
            return
        except OSError as exc:
            if not self._turn():
                self.refusal = exc
        else:
            self.listener.count(DATAGRAMS_DROPPED)

    def _turn(self) -> bool:
        """Use the next address of the same name; False when all of them have had their turn."""
        self.close()
        self.at += 1
        return bool(self.places) and self.at % len(self.places) != 0

    def close(self) -> None:
        sock, self.sock = self.sock, None
        if sock is not None:
            self.listener.hear_no_more(sock.fileno())
            sock.close()


def send_one_way(
    listener: "UdpListener", request: Call, connections: PoolConnections, datagram: memoryview
) -> Kind | None:
    """Balance and send one datagram. Returns why no backend could be chosen, else None."""
    now = request.now
    pool = connections.pool
    chosen = pool.acquire(request)
    if not isinstance(chosen, Backend):
        return chosen.kind
    if connections.probes is not None:
        connections.probes.wake(now)
    backend = chosen
    tries = 0
    kind: Kind | None = None
    while True:
        tries += 1
        way = listener.way_to(backend)
        try:
            if not way.send(datagram, now):
                listener.count(DATAGRAMS_DROPPED)
        except OSError as exc:
            kind = no_socket(exc)
            if kind is not None:
                listener.no_socket(exc, now)
                break
            kind = errors.CONNECT_FAILED
            hold_against(connections, backend, why(exc), now)
            other = None
            if tries < connections.tries:
                other = acquire_other(connections, request, backend, kind, now, listener.context.counters)
            if other is None:
                break
            listener.count(RETRIES)
            _give_back(connections, request, backend, True, now, False)
            backend = other
        else:
            kind = None
            break
    _give_back(connections, request, backend, kind is errors.CONNECT_FAILED, now, True)
    if kind is not None:
        listener.count(DATAGRAMS_DROPPED)
    totals = Totals(pool.name, backend.label, tries, 0.0, len(datagram), 0)
    note_end(listener.context, request, kind, totals, now)
    return None


def _give_back(
    connections: PoolConnections, request: Call, backend: Backend, failed: bool, now: float, final: bool
) -> None:
    connections.pool.release(request, backend, failed, now, UNKNOWN_S, NO_STATUS, final)
    if connections.queue is not None:
        connections.queue.wake()
