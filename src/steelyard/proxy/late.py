"""Sockets of sessions that ended without an answer that was owed: kept for a while, so that it reaches nobody else.

The port of a closed socket is free for the next session, maybe to the same backend, and what the backend then sends
late to one client would be taken for the answer to another. A backend that is slower than `session_timeout`, with
thousands of sessions, makes that one late answer in ten. So the socket is kept for as long again, and what comes is
dropped. They take no place from sessions: there are a quarter as many at most, fewer where descriptors are scarce, and
none where those or the ports have run out.
"""

from socket import socket
from typing import TYPE_CHECKING, Final

from steelyard.observe.counters import DATAGRAMS_DROPPED
from steelyard.proxy.clock import Timed

if TYPE_CHECKING:
    from steelyard.proxy.udp import UdpListener

SHARE: Final = 4  # so many sessions there may be for each of them


class LateSocket(Timed):
    """One of them."""

    def __init__(self, late: "Late", sock: socket) -> None:
        super().__init__()
        self.late = late
        self.sock = sock

    def receive(self, now: float) -> None:
        """The answer has come after all, or there is nobody who would send one."""
        listener = self.late.listener
        try:
            self.sock.recv_into(listener.room)
        except BlockingIOError:
            return
        except OSError:
            self.close()
        else:
            listener.count(DATAGRAMS_DROPPED)

    def on_deadline(self, now: float) -> None:
        """It has had its time."""
        self.close()

    def close(self) -> None:
        """Its port is free."""
        self.late.held.pop(self)
        self.late.listener.context.wheel.forget(self)
        self.late.listener.hear_no_more(self.sock.fileno())
        self.sock.close()


class Late:
    """All of a listener's, the oldest first."""

    def __init__(self, listener: "UdpListener") -> None:
        self.listener = listener
        self.held: dict[LateSocket, None] = {}

    def keep(self, sock: socket, now: float) -> None:
        """Keep the socket of a session that ends, which is heard here from now on."""
        one = LateSocket(self, sock)
        self.held[one] = None
        self.listener.hearing[sock.fileno()] = one
        self.listener.context.wheel.expect(one, now + self.listener.timeout_s)
        self.make_room()

    def make_room(self) -> None:
        """Close the oldest of those that are too many."""
        if self.held:
            listener = self.listener
            share = listener.spec.max_sessions // (SHARE * listener.context.door.table.workers)
            most = min(share, listener.capacity.room())
            while len(self.held) > max(most, 0):
                next(iter(self.held)).close()

    def close(self) -> bool:
        """Close all; False where there are none."""
        held = list(self.held)
        for one in held:
            one.close()
        return bool(held)
