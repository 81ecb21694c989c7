"""Slow clients, and the backend that waits for what they send: `python -m bench.crowd`, a process of its own.

It says the port of its backend, and then answers each line of its standard input: `heads PORT COUNT` or `bodies PORT
COUNT` opens so many connections, each of which sends a byte a second from then on; `open` says how many are left.
"""

import asyncio
import sys
from typing import Final, cast

import uvloop

# Not all in the same instant: ten or so of them at a time, for it is not bursts that are measured.
TURNS: Final = 200
# More would be a SYN flood: the balancer's queue has no end, but ours has.
AT_ONCE: Final = 100
BEGINNINGS: Final = {
    "heads": b"GET /small HTTP/1.1\r\nHost: www.example.com\r\nX-Slow: ",
    "bodies": b"POST /upload HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 1000000\r\n\r\n",
}


class Slow(asyncio.Protocol):
    """One client: its connection, until somebody ends it or answers, which is the end as well."""

    def __init__(self, beginning: bytes) -> None:
        self.beginning = beginning
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        self.transport.write(self.beginning)

    def data_received(self, data: bytes) -> None:
        self.transport = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None

    def send(self) -> None:
        if self.transport is not None:
            self.transport.write(b"x")


class Sink(asyncio.Protocol):
    """A connection to the backend, which reads and has no answer before a body is whole: none ever is."""


async def drip(crowd: list[Slow]) -> None:
    loop = asyncio.get_running_loop()
    turn, at = 0, loop.time()
    while True:
        for one in crowd[turn % TURNS :: TURNS]:
            one.send()
        turn += 1
        await asyncio.sleep(max(at + turn / TURNS - loop.time(), 0))


async def open_all(kind: str, port: int, count: int) -> list[Slow]:
    loop = asyncio.get_running_loop()
    crowd = [Slow(BEGINNINGS[kind]) for _ in range(count)]
    for first in range(0, count, AT_ONCE):
        some = crowd[first : first + AT_ONCE]
        await asyncio.gather(
            *[loop.create_connection(lambda one=one: one, "127.0.0.1", port) for one in some]  # type: ignore[misc]
        )
    return crowd


async def serve() -> None:
    loop = asyncio.get_running_loop()
    sink = await loop.create_server(Sink, "127.0.0.1", 0, backlog=4096)
    print(sink.sockets[0].getsockname()[1], flush=True)
    asked = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    crowd: list[Slow] = []
    async with asyncio.TaskGroup() as group:
        dripping = None
        while line := (await asked.readline()).decode().split():
            if line[0] in BEGINNINGS:
                crowd = await open_all(line[0], int(line[1]), int(line[2]))
                dripping = group.create_task(drip(crowd))
            print(sum(one.transport is not None for one in crowd), flush=True)
        if dripping is not None:
            dripping.cancel()


if __name__ == "__main__":
    uvloop.run(serve())
