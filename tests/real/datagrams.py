"""Clients and backends that speak datagrams, for a balancer on real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final

from steelyard.embed import LoadBalancer
from steelyard.observe.accesslog import Record
from tests.real.client import HOST
from tests.real.support import Config, HandClock, Running, free_ports, until

Place = tuple[str, int]
# What a backend sends back to a datagram.
Answers = Callable[[str, bytes], list[bytes]]
RECEIVE_BYTES: Final = 1 << 22


def named(name: str, datagram: bytes) -> list[bytes]:
    """One: who answers, and what it was asked."""
    return [name.encode() + b":" + datagram]


def silent(name: str, datagram: bytes) -> list[bytes]:
    """None."""
    return []


class Caller(asyncio.DatagramProtocol):
    """A client. got: all that has come to it. errors: such as that nobody is there."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.errors: list[Exception] = []
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.got.append(data)

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    def send(self, datagram: bytes) -> None:
        self.transport.sendto(datagram)

    async def ask(self, datagram: bytes = b"?", answers: int = 1) -> list[bytes]:
        """Send one, and wait until so many more have come."""
        before = len(self.got)
        self.send(datagram)
        await until(lambda: len(self.got) >= before + answers, f"answers to {datagram!r}")
        return self.got[before:]

    async def name(self) -> str:
        """Who answers."""
        (answer,) = await self.ask()
        return answer.partition(b":")[0].decode()


class Server(asyncio.DatagramProtocol):
    """A backend. asked: all that has come, and from where."""

    def __init__(self, name: str, answers: Answers) -> None:
        self.name = name
        self.answers = answers
        self.asked: list[tuple[bytes, Place]] = []
        self.transport: Any = None
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.asked.append((data, addr))
        for answer in self.answers(self.name, data):
            self.transport.sendto(answer, addr)

    def close(self) -> None:
        """It is there no more."""
        self.transport.close()


def unused_port() -> int:
    """A port that nobody has now, for datagrams or for connections."""
    for port in free_ports(100, udp=True):
        with socket.socket() as of_tcp, suppress(OSError):
            of_tcp.bind((HOST, port))
            return port
    raise AssertionError("no port is free for both")


@asynccontextmanager
async def callers(port: int, count: int = 1) -> AsyncIterator[list[Caller]]:
    """So many clients of a port."""
    loop = asyncio.get_running_loop()
    made = []
    try:
        for _ in range(count):
            _, caller = await loop.create_datagram_endpoint(Caller, remote_addr=(HOST, port))
            made.append(caller)
        yield made
    finally:
        for caller in made:
            caller.transport.close()


async def serve(name: str, answers: Answers = named, port: int = 0) -> Server:
    """A backend, to be closed by who asks for it."""
    loop = asyncio.get_running_loop()
    _, server = await loop.create_datagram_endpoint(lambda: Server(name, answers), local_addr=(HOST, port))
    return server


@asynccontextmanager
async def servers(count: int, answers: Answers = named) -> AsyncIterator[list[Server]]:
    """So many backends, called 0, 1..."""
    async with AsyncExitStack() as stack:
        made = []
        for n in range(count):
            made.append(await serve(str(n), answers))
            stack.callback(made[-1].close)
        yield made


def datagrams(*backends: Any, listener: dict[str, Any] | None = None, **pool: Any) -> Config:
    """A configuration: a UDP listener `web` on a free port, one pool of these backends (ports or whole entries)."""
    entries = [f"{HOST}:{entry}" if isinstance(entry, int) else entry for entry in backends]
    return {
        "listeners": {"web": {"bind": f"{HOST}:0", "protocol": "udp", "pool": "web", **(listener or {})}},
        "pools": {"web": {"backends": entries, **pool}},
    }


@asynccontextmanager
async def passing(
    config: Config, clients: int = 1, clock: HandClock | None = None
) -> AsyncIterator[tuple[Running, list[Caller]]]:
    """A balancer of datagrams and so many clients of it; when it has stopped nothing is in flight, and nothing raised.

    As `running`, which would wait until all sessions have ended by themselves.
    """
    records: list[Record] = []
    faults: list[Any] = []
    balancer = LoadBalancer(config, on_record=records.append)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    await (balancer.start() if clock is None else clock.start(balancer))
    lb = Running(balancer, records)
    try:
        async with callers(lb.port, clients) as made:
            yield lb, made
    finally:
        await balancer.stop(0)
        asyncio.get_running_loop().set_exception_handler(None)
    assert (0, []) == (lb.in_flight(), faults)
