"""A client's connection that is not HTTP: counted at the door and in the crowd, from its first moment to its last.

What is spoken on it is a subclass's: a stream that is passed on (tcp.py), or a task (task.py).

Compiled; not a subclass of asyncio.Protocol, since an extension type cannot be one.
"""

from asyncio import Transport
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from typing import Final

from steelyard import errors
from steelyard.core.clients import client_key
from steelyard.core.crowd import Crowd
from steelyard.errors import Kind
from steelyard.observe.accesslog import refused_record
from steelyard.proxy.clock import Timed
from steelyard.proxy.context import ListenerContext
from steelyard.wire.peer import UNIX_CLIENT

# struct linger: on, for 0 seconds. Without it the kernel closes politely, whatever is unread or unsent.
RESET_ON_CLOSE: Final = pack("ii", 1, 0)


def reset(transport: Transport | None) -> int:
    """Close at once, so that the other end sees that something was cut off. Returns 0."""
    if transport is not None:
        sock = transport.get_extra_info("socket")
        # One that is closing, and has not sent all, is open still; any other that is closing may be closed.
        if sock is not None and (not transport.is_closing() or transport.get_write_buffer_size()):
            sock.setsockopt(SOL_SOCKET, SO_LINGER, RESET_ON_CLOSE)
        transport.abort()
    return 0


class Guest(Timed):
    """A client's connection. client: its address as text. counted: the listener's door knows of it."""

    def __init__(self, context: ListenerContext) -> None:
        self.receive_at(context)

    def receive_at(self, context: ListenerContext) -> None:
        """Begin. Subclasses call it in place of super().__init__(), which costs more."""
        self.untimed()
        self.context = context
        self.transport: Transport | None = None
        self.client = "-"
        self.counted = False
        self.crowd: Crowd | None = None
        self.crowd_key = 0

    def arrive(self, transport: Transport) -> bool:
        """The connection is open; False where its client has too many, and it is closed again."""
        self.transport = transport
        # What does not go out at once holds its sender back at once: at most one read is in our hands.
        transport.set_write_buffer_limits(0)
        context = self.context
        address = transport.get_extra_info("peername")
        peer = None
        if isinstance(address, str):
            self.client = UNIX_CLIENT
        else:
            peer = context.peer_of(address[0] if address else "unknown")
            self.client = peer.address
        context.downstreams.add(self)
        if not self.counted:
            self.counted = True
            context.door.enter()
        if context.crowd is None or peer is None:
            return True
        crowd: Crowd = context.crowd
        self.crowd_key = client_key(peer.address)
        if crowd.enter(self.crowd_key):
            self.crowd = crowd
            return True
        context.door.count_crowded()
        self.note_refused(errors.CROWDED)
        self.crowded()
        return False

    def crowded(self) -> None:
        """Its client has too many connections: close this one."""
        reset(self.transport)

    def note_refused(self, kind: Kind) -> int:
        """Count and record what never became anything. Returns 0."""
        context = self.context
        context.counters.ended(kind)
        if context.on_record is not None:
            context.on_record(refused_record(context.wheel.now(), self.client, context.name, kind, 0))
        return 0

    def depart(self) -> int:
        """The connection is closed: nothing holds on to it. Returns 0."""
        context = self.context
        context.wheel.forget(self)
        context.downstreams.discard(self)
        self.transport = None
        self.uncount()
        return 0

    def uncount(self) -> None:
        """The listener has a connection less."""
        crowd = self.crowd
        self.crowd = None
        if crowd is not None:
            crowd.leave(self.crowd_key)
        if self.counted:
            self.counted = False
            self.context.door.leave()
            if self.context.on_leave is not None:
                self.context.on_leave()

    def meet_again(self) -> None:
        """Whom the listener trusts may have changed: nobody is trusted here with another one's address."""

    def retire(self, now: float) -> None:
        """The balancer stops: what is under way has the drain's time to end."""

    def cut(self) -> None:
        """The balancer stops now: close whatever is going on."""
        raise NotImplementedError
