"""What the work has to wait for: a step, which each rung of the ladder takes in its own way.

The work (work.py) is a generator. It does no I/O: it yields a step, and is sent what came of it, or thrown the OSError.
So who waits, and how, is all that the four rungs differ in.
"""

import socket
from collections.abc import Generator
from typing import Any, Final

from steelyard.core.backend import Backend

RECEIVE: Final = 0  # from a socket: sent some bytes, or none at the end
REST: Final = 1  # the same, of a client that owes us nothing: between two requests
SEND: Final = 2  # all of the data to a socket: sent None
CONNECT: Final = 3  # to a backend: sent the socket

# What is to be done, where, and with which bytes.
Step = tuple[int, Any, bytes]
Task = Generator[Step, Any, None]
# A part of the work, with what comes of it.
Part = Generator[Step, Any, Any]

# One read. Most requests and answers are far smaller; a blocked thread holds as much.
RECEIVE_BYTES: Final = 16 * 1024
BACKLOG: Final = 4096


class Gone(Exception):
    """A connection that ended, or broke, before it should."""

    def __init__(self, connection: "Connection") -> None:
        super().__init__()
        self.connection = connection


class Connection:
    """A socket, to a client or to a backend. Its steps raise Gone where the socket fails.

    said: something was sent on it, since somebody set this to False.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.said = False

    def receive(self, act: int = RECEIVE) -> Part:
        """Some bytes, or none at the end."""
        try:
            data = yield act, self.sock, b""
        except OSError as exc:
            raise Gone(self) from exc
        return data

    def receive_more(self) -> Part:
        """Some bytes; Gone at the end."""
        data = yield from self.receive()
        if not data:
            raise Gone(self)
        return data

    def send(self, data: bytes) -> Part:
        """All of it."""
        self.said = True
        try:
            yield SEND, self.sock, data
        except OSError as exc:
            raise Gone(self) from exc

    def close(self) -> None:
        self.sock.close()


def address_of(backend: Backend) -> tuple[int, tuple[str, int]]:
    """The family and the address of a backend; its host is an IP address."""
    return socket.AF_INET6 if ":" in backend.host else socket.AF_INET, (backend.host, backend.port)


def at_once(sock: socket.socket) -> None:
    """Send small pieces when they come, as every balancer does."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
