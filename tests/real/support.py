"""A balancer on real sockets.

`running` is the whole stage: it starts a balancer in the test's own event loop and, when the test is over, hangs up
all clients, and sees that nothing is in flight any more, that no callback raised, and that no task of it is left.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from types import CoroutineType
from typing import Any, Final, cast

import pytest

from steelyard.backends import places
from steelyard.control.ledger import FIRST
from steelyard.core.spec import Spec
from steelyard.core.table import IN_FLIGHT
from steelyard.embed import LoadBalancer
from steelyard.observe.accesslog import Record
from steelyard.proxy.clock import Wheel
from tests.real.client import HOST, PATIENCE_S, Answer, Client

ON_UVLOOP: Final = pytest.mark.asyncio(loop_factories=["uvloop"])

Config = dict[str, Any]


def one_pool(
    *backends: Any, listener: Mapping[str, Any] | None = None, pool: Mapping[str, Any] | None = None
) -> Config:
    """A configuration: one listener on a free port, one pool of these backends (ports or whole entries), no checks."""
    entries = [f"{HOST}:{entry}" if isinstance(entry, int) else entry for entry in backends]
    place = {"bind": f"{HOST}:0", **(listener or {})}
    if "routes" not in place:
        place["pool"] = "web"
    return {
        "listeners": {"web": place},
        "pools": {"web": {"backends": entries, "health_check": False, **(pool or {})}},
    }


def free_ports(count: int, udp: bool = False) -> list[int]:
    """Different ports that nobody listens on now; connecting to one is refused. udp: of datagrams.

    None of them is one that the kernel gives away: else another test's `port 0`, or a client's own end, had it before
    it is used here, and who asks such a port again and again is one day connected with himself.
    """
    ports: list[int] = []
    for _ in range(count):
        port = places.free_port(udp, {*ports})
        assert port is not None, "no port is free outside the range that clients have theirs from"
        ports.append(port)
    return ports


def free_port() -> int:
    """One such port. Where a test needs two, `free_ports` keeps them apart."""
    return free_ports(1)[0]


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Return as soon as the condition holds; fail when it does not for PATIENCE_S."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + PATIENCE_S
    while not condition():
        assert loop.time() < give_up, f"never came true: {what or condition}"
        await asyncio.sleep(0.002)


class HandClock:
    """The balancer's seconds, which pass only when a test says so: while a machine stands still, no time-out ends.

    Time-outs and response times go by it; checks, and how long a stop may take, do not.
    """

    def __init__(self) -> None:
        self.now_s = monotonic()
        self._wheels: list[Wheel] = []

    def __call__(self) -> float:
        return self.now_s

    def turn(self, seconds: float) -> None:
        """So much time passes at once; what is due then happens."""
        self.now_s += seconds
        for wheel in self._wheels:
            wheel.stop()  # its timer, which `turn` sets anew
            wheel.turn()

    async def start(self, balancer: LoadBalancer) -> None:
        """Start a balancer that goes by this clock."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("steelyard.worker.Wheel", self._wheel)
            await balancer.start()

    def _wheel(self, loop: asyncio.AbstractEventLoop) -> Wheel:
        self._wheels.append(Wheel(loop, self))
        return self._wheels[-1]


class Running:
    """A balancer at work. records: one for each ended exchange; faults: what callbacks raised."""

    def __init__(self, balancer: LoadBalancer, records: Sequence[Record]) -> None:
        self.balancer = balancer
        self.records = records
        self.faults: list[Mapping[str, Any]] = []
        self.clients: list[Client] = []
        self.port = balancer.address("web").port

    async def client(self, receive_buffer: int | None = None) -> Client:
        client = await Client.open(self.port, self.balancer.address("web").host, receive_buffer)
        self.clients.append(client)
        return client

    async def ask(self, path: str = "/", *fields: str, method: str = "GET") -> Answer:
        """One request on a connection of its own."""
        client = await self.client()
        answer = await client.ask(path, *fields, method=method)
        client.close()
        return answer

    def in_flight(self) -> int:
        """Requests, also those at backends that have left: each counts at its backend and in its tier."""
        ledger = self.balancer._ledger
        assert ledger is not None
        doors = set(ledger.rows.front.values())  # where that cell counts connections
        counted = sum(ledger.table.total(row, IN_FLIGHT) for row in range(FIRST, ledger.used) if row not in doors)
        return (counted + 1) // 2

    def names(self) -> list[str]:
        return [pool.name for pool in self.balancer.spec.pools]

    def words(self) -> list[str]:
        """What the access log calls each ended exchange; `-` for one that went well."""
        return [record.word for record in self.records]


@asynccontextmanager
async def running(config: Config | Spec, clock: HandClock | None = None) -> AsyncIterator[Running]:
    """A balancer that listens; afterwards nothing is in flight, and nothing raised. clock: what it goes by."""
    records: list[Record] = []
    balancer = LoadBalancer(config, on_record=records.append)
    loop = asyncio.get_running_loop()
    faults: list[Mapping[str, Any]] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    await (balancer.start() if clock is None else clock.start(balancer))
    stage = Running(balancer, records)
    try:
        yield stage
        for client in stage.clients:
            client.close()
        await until(lambda: stage.in_flight() == 0, "nothing is in flight any more")
    finally:
        for client in stage.clients:
            client.writer.transport.abort()
        await balancer.stop(0)
        loop.set_exception_handler(None)
    assert [] == faults
    await until(lambda: not _tasks_left(), "no dial and no check goes on")


def _tasks_left() -> list[asyncio.Task[Any]]:
    """Tasks of this loop that run the balancer's own code."""
    coroutines = [(task, cast("CoroutineType[Any, Any, Any]", task.get_coro())) for task in asyncio.all_tasks()]
    return [task for task, coroutine in coroutines if "/steelyard/" in coroutine.cr_code.co_filename]
