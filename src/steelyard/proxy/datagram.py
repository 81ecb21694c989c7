"""A datagram on a listening socket: what it may hold, which of our addresses it came to, who sent it.

An answer must leave from the address that its client has sent to: from another one the client takes none. A socket that
is bound to one address sees to that by itself. One that is bound to all of the machine's is told for each datagram
where it came to (IP_PKTINFO), and tells the kernel the same for each answer.
Source: ip(7) and ipv6(7); nginx's ngx_event_udp.c does likewise.
"""

import logging
import socket
import struct
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from steelyard.observe.counters import DATAGRAMS_LOST, Counters
from steelyard.proxy.bind import WILDCARDS
from steelyard.proxy.clock import Timed, Wheel

# One byte more than the longest datagram there can be (65,507 bytes over IPv4, 65,527 over IPv6): none is ever cut.
ROOM_BYTES: Final = 65_528
# What comes while we do something else waits here, and is lost where it is full. A small datagram takes 768 bytes of
# it: 5,000 of them, and twice that since Linux doubles what it is asked for.
RECEIVE_BYTES: Final = 4 * 1024 * 1024
CONTROL_BYTES: Final = 64
LOOK_S: Final = 1.0  # between two looks at what was lost

IP_PKTINFO: Final = 8  # of linux/in.h; Python has no name for it before 3.14
SO_MEMINFO: Final = 55  # of asm-generic/socket.h
_MEMINFO: Final = struct.Struct("9I")  # the last of them counts what was lost for want of room
_PKTINFO4: Final = struct.Struct("=i4s4s")  # interface, our address, the address it was sent to
_PKTINFO6: Final = struct.Struct("=16sI")

# As `sendmsg` takes it: (level, type, data) of each piece.
Control = list[tuple[int, int, bytes]]

_log = logging.getLogger("steelyard")


def client_of(address: tuple[Any, ...]) -> str:
    """The IP address of a client as text: an IPv4 one has the same wherever it comes in."""
    host: str = address[0]
    if host.startswith("::ffff:") and "." in host:
        return host.removeprefix("::ffff:")
    return host


def is_for_all(sock: socket.socket) -> bool:
    """Whether it is bound to all of the machine's addresses."""
    return sock.getsockname()[0] in WILDCARDS


def prepare(sock: socket.socket, listener: str) -> None:
    """Make a bound socket one to receive on. Says once where the system grants it less room than that takes."""
    if is_for_all(sock):
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    if granted < RECEIVE_BYTES:
        _log.warning(
            "listener %s: the system lets %d KiB of datagrams wait, which is less than the %d KiB that are wanted: "
            "a burst may be lost; raise sysctl net.core.rmem_max",
            listener,
            granted // 1024,
            RECEIVE_BYTES // 1024,
        )


def is_ours(address: tuple[Any, ...]) -> bool:
    """Whether this client's address is one of the machine's: what goes there leaves from that very address.

    Answered for what comes from our own port alone: it takes a socket.
    """
    host = client_of(address)
    if ip_address(host.partition("%")[0]).is_loopback:
        return True
    place = (host, *address[1:]) if ":" in host else (host, address[1])
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(place)
            return bool(sock.getsockname()[0] == host)
    except OSError:  # no way leads there
        return False


def answer_from(came: Control) -> Control:
    """What an answer is sent with, from what its datagram came with: from our address, over whichever interface.

    The kernel chooses where a datagram was sent to many (a multicast group is no sender), and where nothing is known.
    An address that only means something on its own link stays with its interface.
    """
    for level, kind, data in came:
        if level == socket.IPPROTO_IP and kind == IP_PKTINFO and len(data) == _PKTINFO4.size:
            _, ours, _ = _PKTINFO4.unpack(data)
            return [(level, kind, _PKTINFO4.pack(0, ours, bytes(4)))]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(data) == _PKTINFO6.size:
            packed, interface = _PKTINFO6.unpack(data)
            address = IPv6Address(packed)
            if address.is_multicast:
                return []
            return [(level, kind, _PKTINFO6.pack(packed, interface if address.is_link_local else 0))]
    return []


class Overflow(Timed):
    """Counts what the kernel throws away of a socket's datagrams, since there is no room for them to wait in."""

    def __init__(self, sock: socket.socket, wheel: Wheel, counters: Counters) -> None:
        super().__init__()
        self.sock = sock
        self.wheel = wheel
        self.counters = counters
        self.lost = self._lost()  # before we had it
        wheel.expect(self, wheel.now() + LOOK_S)

    def on_deadline(self, now: float) -> None:
        """Look again."""
        self.look()
        self.wheel.expect(self, now + LOOK_S)

    def look(self) -> None:
        """Count what was lost since the last look."""
        lost = self._lost()
        self.counters.add_many(DATAGRAMS_LOST, lost - self.lost & 0xFFFF_FFFF)  # the kernel's has 32 bits
        self.lost = lost

    def close(self) -> None:
        """The last look, while the socket is open."""
        self.look()
        self.wheel.forget(self)

    def _lost(self) -> int:
        found: int = _MEMINFO.unpack(self.sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size))[-1]
        return found
