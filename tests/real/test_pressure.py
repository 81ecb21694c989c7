"""Back-pressure: who does not read holds the sender back, and nothing heaps up in between. docs/cases.md C 38.

What a sender could get rid of and nobody has read lies in the kernel's buffers, which /proc/net/tcp counts, or in ours.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import pytest

from tests.processes.balancer import children, status_field, title
from tests.real.backends import Talk, backend
from tests.real.client import HOST, Client, request
from tests.real.kernel import in_kernel
from tests.real.programs import Program, steelyard_run
from tests.real.support import ON_UVLOOP, HandClock, one_pool, running, until

MIB: Final = 2**20
ENDLESS: Final = 200 * MIB
OURS: Final = 256 * 1024  # a direction: one read, and that is the most that asyncio reads at once
HEADS: Final = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % ENDLESS,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % ENDLESS,
    "close": b"HTTP/1.1 200 OK\r\n\r\n",
}


class Pump:
    """Sends without end, and knows how much of it has left the process."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)
        self.writer = writer
        self.given = 0

    def gone(self) -> int:
        return self.given - self.writer.transport.get_write_buffer_size()

    async def run(self, size: int = ENDLESS) -> None:
        piece = b"x" * 65_536
        while self.given < size and not self.writer.transport.is_closing():
            self.writer.write(piece)
            self.given += len(piece)
            await self.writer.drain()

    async def stuck(self) -> int:
        """Wait until nothing moves any more; how much has gone by then."""
        before = -1
        while before != self.gone() or before == 0:
            before = self.gone()
            await asyncio.sleep(0.2)
        return before


@asynccontextmanager
async def pumping(writer: asyncio.StreamWriter) -> AsyncIterator[Pump]:
    """A pump at work until the block ends."""
    pump = Pump(writer)
    task = asyncio.get_running_loop().create_task(pump.run())
    try:
        yield pump
    finally:
        task.cancel()
        await asyncio.wait([task])
        writer.transport.abort()


def pause_reading(writer: asyncio.StreamWriter) -> None:
    """Take nothing more from the kernel on this connection."""
    cast(asyncio.Transport, writer.transport).pause_reading()


def resume_reading(writer: asyncio.StreamWriter) -> None:
    cast(asyncio.Transport, writer.transport).resume_reading()


@pytest.mark.parametrize("framing", HEADS)
async def test_a_client_that_does_not_read_holds_the_backend_back(framing: str) -> None:
    """And once it reads, it goes on."""
    pumps: list[Pump] = []
    enough = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.send(HEADS[framing])
        async with pumping(talk.writer) as pump:
            pumps.append(pump)
            await enough.wait()

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        pause_reading(client.writer)
        client.get()
        await until(lambda: pumps)
        gone = await pumps[0].stuck()
        assert gone - in_kernel(lb.port, behind.port) <= OURS
        assert gone < ENDLESS
        resume_reading(client.writer)
        got = 0
        while got < gone + 10 * MIB:
            got += len(await client.reader.read(MIB))
        enough.set()


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_backend_that_does_not_read_holds_the_client_back(framing: str) -> None:
    """The same for uploads."""
    waiting, go_on = asyncio.Event(), asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.head()
        pause_reading(talk.writer)
        waiting.set()
        await go_on.wait()
        resume_reading(talk.writer)
        await talk.ended()

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        if framing == "length":
            client.send(request("PUT", "/", f"Content-Length: {ENDLESS}"))
        else:
            client.send(request("PUT", "/", "Transfer-Encoding: chunked"))
        await waiting.wait()
        if framing == "chunked":
            client.send(b"%x\r\n" % ENDLESS)
        async with pumping(client.writer) as pump:
            gone = await pump.stuck()
            assert gone - in_kernel(lb.port, behind.port) <= OURS
            assert gone < ENDLESS
            go_on.set()
            await until(lambda: len(behind.talks[0].received) > gone + 10 * MIB)


@pytest.mark.parametrize(
    ("protocol", "times", "asked"),
    [
        ("http", {"listener": {"timeouts": {"write": "60s"}}}, request("GET", "/")),
        ("task", {"listener": {"timeouts": {"write": "60s"}}}, b"AppID:Long:first"),
        ("tcp", {"pool": {"timeouts": {"tunnel": "60s"}}}, b"go"),
    ],
)
async def test_who_reads_slowly_is_not_cut_off(protocol: str, times: dict[str, Any], asked: bytes) -> None:
    """Not even where the kernel holds so much for it that for longer than its time nothing leaves our hands."""
    clock = HandClock()
    pumps: list[Pump] = []

    async def script(talk: Talk) -> None:
        await talk.read()
        if protocol == "http":
            talk.send(HEADS["length"])
        async with pumping(talk.writer) as pump:
            pumps.append(pump)
            await talk.ended()

    config: dict[str, Any] = one_pool(0, **times)
    config["listeners"]["web"]["protocol"] = protocol
    async with backend(script) as behind:
        config["pools"]["web"]["backends"] = [f"{HOST}:{behind.port}"]
        async with running(config, clock) as lb:
            loop = asyncio.get_running_loop()
            with socket.create_connection((HOST, lb.port)) as client:
                client.setblocking(False)
                await loop.sock_sendall(client, asked)
                await until(lambda: pumps)
                await pumps[0].stuck()
                for _ in range(80):  # four times as long as it may take nothing
                    assert await loop.sock_recv(client, 20_000)
                    clock.turn(3.0)
                    await asyncio.sleep(0)
            assert [] == lb.words()


async def test_a_tunnel_holds_its_senders_back_both_ways() -> None:
    """An upgraded connection is passed on with the same care."""
    pumps: list[Pump] = []
    enough = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.request()
        pause_reading(talk.writer)
        talk.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n")
        await until(lambda: switched)
        async with pumping(talk.writer) as pump:
            pumps.append(pump)
            await enough.wait()

    switched = False
    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(request("GET", "/", "Connection: Upgrade", "Upgrade: raw"))
        assert 101 == (await client.head()).status
        pause_reading(client.writer)
        switched = True
        async with pumping(client.writer) as pump:
            await until(lambda: pumps)
            gone = sum([await pump.stuck(), await pumps[0].stuck()])
            assert gone - in_kernel(lb.port, behind.port) <= 2 * OURS
            enough.set()


async def test_pipelined_requests_behind_a_slow_answer_hold_the_client_back() -> None:
    """They are not collected while the first one is answered."""
    answer = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.request()
        await answer.wait()

    async with backend(script) as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        client.send(request("GET", "/"))
        await until(lambda: behind.requests)
        async with pumping(client.writer) as pump:
            gone = await pump.stuck()
            assert gone - in_kernel(lb.port, behind.port) < OURS + 64 * 1024
            assert gone < ENDLESS
            assert 1 == lb.in_flight()
        answer.set()


@ON_UVLOOP
async def test_memory_stays_flat_for_large_answers_and_slow_readers() -> None:
    """200 MiB to a fast reader, 200 MiB from a fast sender, and 40 readers that stand still."""

    async def script(talk: Talk) -> None:
        asked = await talk.head()
        if asked.method == "PUT":
            got = 0
            while got < ENDLESS:
                got += len(await talk.reader.read(MIB))
            talk.answer(b"thanks")
        else:
            talk.send(HEADS["length"])
            await Pump(talk.writer).run()

    async with (
        backend(script) as behind,
        steelyard_run(f"{HOST}:{behind.port}", "--listen", f"{HOST}:0") as (ran, port),
    ):
        warm = await _download(port, 10 * MIB)
        assert warm >= 10 * MIB
        before = _workers_kib(ran)
        assert ENDLESS == await _download(port, ENDLESS)
        client = await Client.open(port)
        client.send(request("PUT", "/", f"Content-Length: {ENDLESS}"))
        await Pump(client.writer).run()
        assert b"thanks" == (await client.answer()).body
        client.close()
        grown_kib = _workers_kib(ran, "VmHWM") - before
        assert grown_kib < 8 * 1024
        idle = [await Client.open(port, receive_buffer=65_536) for _ in range(40)]
        for one in idle:
            one.get()
        await until(lambda: len(behind.talks) >= 43)
        await asyncio.sleep(0.5)
        assert _workers_kib(ran, "VmHWM") - before < 8 * 1024 + 40 * 300
        for one in idle:
            one.writer.transport.abort()


def _workers_kib(ran: Program, name: str = "VmRSS") -> int:
    """Memory of those that move bytes: resident now, or with VmHWM the most there ever was."""
    workers = [pid for pid in children(ran.process.pid) if title(pid).startswith("steelyard: worker")]
    assert workers
    return sum(int(status_field(pid, name)[0]) for pid in workers)


async def _download(port: int, size: int) -> int:
    """Read so many bytes of an answer's body, then hang up; how many came."""
    client = await Client.open(port)
    client.get()
    await client.head()
    got = 0
    while got < size and (data := await client.reader.read(MIB)):
        got += len(data)
    client.writer.transport.abort()
    return got
