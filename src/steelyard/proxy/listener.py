"""A listening address: accepts, and drains its connections when it is to be no more."""

import socket
from asyncio import AbstractEventLoop, Server, Task
from collections.abc import Sequence
from typing import Final

from steelyard.core.router import Router
from steelyard.core.spec import ListenerSpec
from steelyard.proxy.bind import WILDCARDS, Address, SocketFile, address_of, bind
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.downstream import Downstream
from steelyard.wire.peer import Network

# What an idle connection gets before it is closed: a request may have left its client already, and would be reset. So
# long takes the longest round trip, or a short one of which a packet was lost.
FAREWELL_S: Final = 1.0


class Listener:
    """Accepts connections on bound sockets and gives each a `Downstream`.

    socks: those that somebody else has bound, ours from now on; None: one is bound here, at the start.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        spec: ListenerSpec,
        context: ListenerContext,
        socks: Sequence[socket.socket] | None = None,
    ) -> None:
        self.loop = loop
        self.spec = spec
        self.context = context
        self.socks = socks
        self.servers: list[Server] = []
        self.arriving: set[Task[None]] = set()
        self.dropped = False
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
        for sock in self.socks:
            # Takes a unix socket as well, on both loops; create_unix_server would remove its file, as of Python 3.13.
            server = await self.loop.create_server(
                self._downstream,  # type: ignore[arg-type]
                sock=sock,
                backlog=self.spec.backlog,
            )
            self.servers.append(server)

    def _downstream(self) -> Downstream:
        return Downstream(self.context)

    def adopt(self, spec: ListenerSpec, router: Router, networks: tuple[Network, ...]) -> None:
        """Serve by another specification of the same address from the next request on."""
        if spec.backlog != self.spec.backlog:
            for sock in self.socks or ():
                sock.listen(spec.backlog)
        self.spec = spec
        self.context.adopt(spec, router, networks)

    def stop_accepting(self) -> None:
        """Accept nothing more; connections close after their next answer, idle ones after FAREWELL_S.

        Who waits to be accepted is let in before: its connection is open, as far as it knows, and a request may be
        on its way.
        """
        self.context.stopping = True
        if self.file is not None:
            self.file.remove()
            self.file = None
        servers, self.servers = self.servers, []
        if servers:
            for sock in self.socks or ():
                self._let_in(sock)
        for server in servers:
            server.close()
        self.loop.call_later(FAREWELL_S, self._retire)

    def _retire(self) -> None:
        """Who asks nothing has had its time; who is answered goes when that is done."""
        now = self.context.wheel.now()
        for downstream in list(self.context.downstreams):
            downstream.retire(now)

    def _let_in(self, sock: socket.socket) -> None:
        """Accept all that wait."""
        while True:
            try:
                waiting, _ = sock.accept()
            except OSError:  # nobody (BlockingIOError), or no more can be taken
                return
            waiting.setblocking(False)
            task = self.loop.create_task(self._welcome(waiting))
            self.arriving.add(task)
            task.add_done_callback(self.arriving.discard)

    async def _welcome(self, waiting: socket.socket) -> None:
        if self.dropped:
            waiting.close()
            return
        await self.loop.connect_accepted_socket(self._downstream, waiting)  # type: ignore[type-var]
        if self.dropped:
            self.drop()

    def clients(self) -> int:
        """How many connections are open; who is being let in has one."""
        return len(self.context.downstreams) + len(self.arriving)

    def drop(self) -> None:
        """Close all connections at once, also those that are being let in."""
        self.dropped = True
        for downstream in list(self.context.downstreams):
            downstream.cut()


def _called(address: Address) -> str:
    """What backends are told as Host where an HTTP/1.0 client names none: a path or a wildcard would be no host."""
    if address.path is not None:
        return "localhost"
    return str(Address("localhost", address.port)) if address.host in WILDCARDS else str(address)
