"""The backend of the TCP measurements and its clients: `python -m bench.echo`, a process of its own.

It says the port of its backend, and then answers each line of its standard input with the number of exchanges:

    echo PORT CLIENTS SECONDS      100 bytes there and back, again and again, over so many connections
    transfer PORT CLIENTS SECONDS  100 bytes there, 1 MiB back
    hold PORT CLIENTS              opens so many connections more, each asks once and stays

The backend answers a message with itself, or with 1 MiB where it begins with `m`. Asked in HTTP, as the benchmark does
to see whether a balancer is there, it says 200.
"""

import asyncio
import sys
from typing import Final, cast

import uvloop

SMALL: Final = b"e" * 100
ASK_LARGE: Final = b"m" * 100
LARGE: Final = bytes(1024 * 1024)
HELLO: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
AT_ONCE: Final = 100  # connections that are opened at a time; more would overflow a queue


class Backend(asyncio.Protocol):
    """One connection to the backend."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"m"):
            self.transport.write(LARGE)
        else:
            self.transport.write(HELLO if data.startswith(b"GET ") else data)


class Client(asyncio.Protocol):
    """One client: sends a message, waits for its whole answer, and sends the next."""

    def __init__(self, message: bytes, answer_bytes: int) -> None:
        self.message = message
        self.answer_bytes = answer_bytes
        self.left = answer_bytes
        self.done = 0
        self.again = True
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        self.transport.write(self.message)

    def data_received(self, data: bytes) -> None:
        self.left -= len(data)
        if self.left == 0:
            self.done += 1
            self.left = self.answer_bytes
            if not self.first.done():
                self.first.set_result(None)
            if self.again:
                self.transport.write(self.message)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.first.done():
            self.first.set_exception(ConnectionError("closed before an answer"))


async def clients(port: int, count: int, message: bytes, answer_bytes: int, again: bool) -> list[Client]:
    """So many clients, each of which has had one answer."""
    loop = asyncio.get_running_loop()
    made = [Client(message, answer_bytes) for _ in range(count)]
    for first in range(0, count, AT_ONCE):
        some = made[first : first + AT_ONCE]
        for one in some:
            one.again = again
        await asyncio.gather(
            *[loop.create_connection(lambda one=one: one, "127.0.0.1", port) for one in some],  # type: ignore[misc]
            *[one.first for one in some],
        )
    return made


async def run(port: int, count: int, seconds: float, message: bytes, answer_bytes: int) -> int:
    """How many exchanges there were in so long, by clients that are there already."""
    made = await clients(port, count, message, answer_bytes, True)
    before = sum(one.done for one in made)
    print("ready", flush=True)
    await asyncio.sleep(seconds)
    done = sum(one.done for one in made) - before
    for one in made:
        one.transport.abort()
    return done


async def serve() -> None:
    loop = asyncio.get_running_loop()
    backend = await loop.create_server(Backend, "127.0.0.1", 0, backlog=4096)
    print(backend.sockets[0].getsockname()[1], flush=True)
    asked = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    held: list[Client] = []
    while line := (await asked.readline()).decode().split():
        what, *numbers = line
        if what == "hold":
            held += await clients(int(numbers[0]), int(numbers[1]), SMALL, len(SMALL), False)
            print(len(held), flush=True)
        else:
            message, answer_bytes = (SMALL, len(SMALL)) if what == "echo" else (ASK_LARGE, len(LARGE))
            print(await run(int(numbers[0]), int(numbers[1]), float(numbers[2]), message, answer_bytes), flush=True)


if __name__ == "__main__":
    uvloop.run(serve())
