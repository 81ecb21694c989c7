"""The crowd of slow clients is one: it sends bit by bit, and knows how many are left."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bench.slow import BACKEND, BALANCER, KINDS, Slow, best, count, ratio
from steelyard.control import config
from tests.processes.balancer import eventually
from tests.real.support import until
from tools.compile import ROOT


def test_the_best_round_of_each_is_compared() -> None:
    samples = [Slow(number, "none", 0, 1.0, 1.0, p99) for number, p99 in enumerate((20.0, 10.0, 30.0), start=1)]
    samples += [Slow(number, "heads", 9, 1.0, 1.0, p99) for number, p99 in enumerate((90.0, 80.0, 15.0), start=1)]
    assert (1.5, None) == (ratio(samples, "heads"), ratio(samples, "bodies"))
    assert ratio(samples[3:], "heads") is None
    found = best(samples, "none")
    assert found is not None
    assert 2 == found.round


def test_each_round_has_each_kind() -> None:
    assert 3 * len(KINDS) == count(3)


def test_the_configurations_are_right() -> None:
    config.loads(BACKEND.format(port=8080, body="'hello\\n'"))
    spec = config.loads(BALANCER.format(port=8080, backend=8081, sink=8082))
    assert [8082, 8081] == [
        pool.backends[0].port for name in ("sink", "web") for pool in spec.pools if pool.name == name
    ]


@asynccontextmanager
async def crowd() -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.crowd", cwd=ROOT, stdin=pipe, stdout=pipe
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process, ask: str = "") -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(ask.encode() + b"\n" if ask else b"")
    return int(await process.stdout.readline())


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "first"), [("heads", b"GET /small "), ("bodies", b"POST /upload ")])
async def test_a_crowd_sends_a_byte_now_and_then_and_counts_who_is_left(kind: str, first: bytes) -> None:
    got: dict[asyncio.StreamWriter, bytearray] = {}

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got[writer] = bytearray()
        while data := await reader.read(100):
            got[writer] += data

    async with await asyncio.start_server(read, "127.0.0.1", 0) as server, crowd() as process:
        assert await said(process) > 0
        port = server.sockets[0].getsockname()[1]
        assert 5 == await said(process, f"{kind} {port} 5")
        await until(lambda: len(got) == 5 and all(data.endswith(b"xx") for data in got.values()))
        assert all(data.startswith(first) for data in got.values())
        one, two, *_ = got
        one.close()
        two.write(b"HTTP/1.1 408 Request Timeout\r\n")

        async def three() -> bool:
            return 3 == await said(process, "open")

        await eventually(three, "one was closed, one was answered")
        for writer in got:
            writer.close()
