"""A listening address: binds, accepts, and drains its connections when the balancer stops."""

import errno
import socket
from asyncio import AbstractEventLoop, Server
from typing import Final, NamedTuple

from steelyard.core.spec import ListenerSpec, format_address
from steelyard.errors import ListenError
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.downstream import Downstream

# Addresses that mean all of the machine's: no name to call a listener by.
WILDCARDS: Final = ("0.0.0.0", "::")


class Address(NamedTuple):
    """Where a listener can be reached; its text is `host:port`."""

    host: str
    port: int

    def __str__(self) -> str:
        return format_address(self.host, self.port)


def bind(spec: ListenerSpec) -> socket.socket:
    """A bound socket for the listener. Raises ListenError, which names the mend."""
    where = f"listener '{spec.name}': {Address(spec.host, spec.port)}"
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            spec.host, spec.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as exc:
        raise ListenError(f"{where}: no such address ({exc.strerror}); bind an IP address of this machine") from exc
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if spec.host == "::" else 1)
        sock.setblocking(False)
        sock.bind(address)
        sock.listen(spec.backlog)
    except OSError as exc:
        sock.close()
        raise ListenError(f"{where}: {_mend(exc, spec.port)}") from exc
    return sock


def _mend(exc: OSError, port: int) -> str:
    if exc.errno == errno.EADDRINUSE:
        return f"the port is in use; stop the other program (`ss -ltnp sport = :{port}` shows it) or bind another one"
    if exc.errno == errno.EACCES:
        return f"port {port} needs the capability CAP_NET_BIND_SERVICE; bind 8080, or run `setcap` on the interpreter"
    if exc.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address; bind 0.0.0.0 for all of them"
    return f"cannot listen ({exc.strerror})"


class Listener:
    """Accepts connections on one bound socket and gives each a `Downstream`."""

    def __init__(self, loop: AbstractEventLoop, spec: ListenerSpec, context: ListenerContext) -> None:
        self.loop = loop
        self.spec = spec
        self.context = context
        self.server: Server | None = None
        self.address = Address(spec.host, spec.port)

    async def start(self) -> None:
        """Bind and accept. Raises ListenError."""
        sock = bind(self.spec)
        self.address = Address(*sock.getsockname()[:2])
        host = "localhost" if self.address.host in WILDCARDS else self.address.host
        self.context.local = str(Address(host, self.address.port))
        self.server = await self.loop.create_server(
            lambda: Downstream(self.context),  # type: ignore[arg-type, return-value]
            sock=sock,
            backlog=self.spec.backlog,
        )

    def stop_accepting(self) -> None:
        """Accept nothing more; idle connections close, busy ones after their answer."""
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
