"""A channel in an event loop of asyncio: messages come as calls, and what waits goes out when the socket takes it."""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from socket import socket
from typing import Any

from steelyard.processes.channel import Channel, Message


class Wire:
    """on_message: called with each message. on_end: called once, when the other end is gone."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        sock: socket,
        on_message: Callable[[Message], None],
        on_end: Callable[[], None],
    ) -> None:
        self.loop = loop
        self.channel = Channel(sock, self._let_go)
        self.fd = sock.fileno()
        self.on_message = on_message
        self.on_end = on_end
        self.ended = False
        loop.add_reader(self.fd, self._receive)

    def send(self, name: str, words: dict[str, Any] | None = None, blob: bytes = b"") -> None:
        """As `Channel.send`."""
        if self.channel.closed:
            return
        self.channel.send(name, words, blob)
        self._look()

    def _receive(self) -> None:
        for message in self.channel.receive():
            self.on_message(message)
        self._look()

    def _flush(self) -> None:
        self.channel.flush()
        self._look()

    def _look(self) -> None:
        """Have the loop call us when there is something to do."""
        if self.channel.closed:
            if not self.ended:
                self.ended = True
                self.on_end()
        elif self.channel.waiting:
            self.loop.add_writer(self.fd, self._flush)
        else:
            self.loop.remove_writer(self.fd)

    def _let_go(self) -> None:
        """The socket is about to be closed."""
        self.loop.remove_reader(self.fd)
        self.loop.remove_writer(self.fd)
