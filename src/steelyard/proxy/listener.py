"""A listening address: accepts, and drains its connections when it is to be no more.

What is spoken on a connection is settled when it is accepted: a reload that changes that is for those who come after.
"""

import socket
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable, Sequence
from typing import Any, Final

from steelyard.core.router import Router
from steelyard.core.spec import HTTP, TASK, TCP, ListenerSpec
from steelyard.proxy.acceptor import Acceptor, Capacity
from steelyard.proxy.bind import WILDCARDS, Address, SocketFile, address_of, bind
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.downstream import Downstream
from steelyard.proxy.task import TaskDownstream
from steelyard.proxy.tcp import TcpDownstream
from steelyard.wire.peer import Network

# What an idle connection gets before it is closed: a request may have left its client already, and would be reset. So
# long takes the longest round trip, or a short one of which a packet was lost.
FAREWELL_S: Final = 1.0
# What a connection is to us, by what is spoken on it.
PROTOCOLS: Final[dict[str, Callable[[ListenerContext], Any]]] = {
    HTTP: Downstream,
    TCP: TcpDownstream,
    TASK: TaskDownstream,
}


class Listener:
    """Accepts connections on bound sockets and gives each a protocol object, such as a `Downstream`.

    socks: those that somebody else has bound, ours from now on; None: one is bound here, at the start.
    capacity: of the process, where there are more listeners.
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
        self.acceptor = Acceptor(loop, spec, context, PROTOCOLS[spec.protocol], capacity)
        self.address = Address(spec.host, spec.port, spec.path)
        # Of a unix socket that was bound here. Another one's file goes on to be used by others when we stop.
        self.file: SocketFile | None = None

    async def start(self) -> None:
        """Accept, and bind before that where it was not done. Raises ListenError."""
        if self.socks is None:
            self.socks = bind(self.spec)
            if self.spec.path is not None:
                self.file = SocketFile(self.spec.path)
        self.address = address_of(self.socks[0])
        self.context.local = _called(self.address)
        await self.acceptor.start(tuple(self.socks))

    def adopt(self, spec: ListenerSpec, router: Router, networks: tuple[Network, ...]) -> None:
        """Serve by another specification of the same address from the next request on."""
        if spec.backlog != self.spec.backlog:
            for sock in self.socks or ():
                sock.listen(spec.backlog)
        self.spec = spec
        self.acceptor.make = PROTOCOLS[spec.protocol]
        self.context.adopt(spec, router, networks)
        self.acceptor.adopt(spec)

    def stop_accepting(self) -> None:
        """Accept nothing more; connections close after their next answer, idle ones after FAREWELL_S.

        Who waits to be accepted is let in before, as far as there is room: its connection is open, as far as it knows,
        and a request may be on its way.
        """
        self.context.stopping = True
        if self.file is not None:
            self.file.remove()
            self.file = None
        self.acceptor.stop()
        for sock in self.socks or ():
            sock.close()
        self.loop.call_later(FAREWELL_S, self._retire)

    def _retire(self) -> None:
        """Who asks nothing has had its time; who is answered goes when that is done."""
        now = self.context.wheel.now()
        for downstream in list(self.context.downstreams):
            downstream.retire(now)

    @property
    def arriving(self) -> "set[Task[None]]":
        """Who is being let in."""
        return self.acceptor.arriving

    def clients(self) -> int:
        """How many connections are open; who is being let in has one."""
        return self.acceptor.clients()

    def drop(self) -> None:
        """Close all connections at once, also those that are being let in."""
        self.acceptor.drop()
        for downstream in list(self.context.downstreams):
            downstream.cut()


def _called(address: Address) -> str:
    """What backends are told as Host where an HTTP/1.0 client names none: a path or a wildcard would be no host."""
    if address.path is not None:
        return "localhost"
    return str(Address("localhost", address.port)) if address.host in WILDCARDS else str(address)
