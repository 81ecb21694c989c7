"""A listening address: accepts, and drains its connections when the balancer stops."""

import socket
from asyncio import AbstractEventLoop, Server

from steelyard.core.spec import ListenerSpec
from steelyard.proxy.bind import WILDCARDS, Address, SocketFile, address_of, bind
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.downstream import Downstream


class Listener:
    """Accepts connections on one bound socket and gives each a `Downstream`.

    sock: one that somebody else has bound, or None: then it is bound here, at the start.
    """

    def __init__(
        self, loop: AbstractEventLoop, spec: ListenerSpec, context: ListenerContext, sock: socket.socket | None = None
    ) -> None:
        self.loop = loop
        self.spec = spec
        self.context = context
        self.sock = sock
        self.server: Server | None = None
        self.address = Address(spec.host, spec.port, spec.path)
        # Of a unix socket that was bound here. Another one's file goes on to be used by others when we stop.
        self.file: SocketFile | None = None

    async def start(self) -> None:
        """Accept, and bind before that where it was not done. Raises ListenError."""
        sock = self.sock
        if sock is None:
            (sock,) = bind(self.spec)
            if self.spec.path is not None:
                self.file = SocketFile(self.spec.path)
        self.address = address_of(sock)
        self.context.local = _called(self.address)
        # Takes a unix socket as well, on both loops; create_unix_server would remove its file, as of Python 3.13.
        self.server = await self.loop.create_server(
            lambda: Downstream(self.context),  # type: ignore[arg-type, return-value]
            sock=sock,
            backlog=self.spec.backlog,
        )

    def stop_accepting(self) -> None:
        """Accept nothing more; idle connections close, busy ones after their answer."""
        if self.file is not None:
            self.file.remove()
            self.file = None
        if self.server is not None:
            self.server.close()
            self.server = None
        self.context.stopping = True
        now = self.context.wheel.now()
        for downstream in list(self.context.downstreams):
            downstream.retire(now)

    def drop(self) -> None:
        """Close all connections at once."""
        for downstream in list(self.context.downstreams):
            downstream.cut()


def _called(address: Address) -> str:
    """What backends are told as Host where an HTTP/1.0 client names none: a path or a wildcard would be no host."""
    if address.path is not None:
        return "localhost"
    return str(Address("localhost", address.port)) if address.host in WILDCARDS else str(address)
