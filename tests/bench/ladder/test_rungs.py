"""Every rung serves right answers, to whoever stays and whoever leaves, and in the end nothing is in flight."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from bench.accounting import tree
from bench.ladder.rung import NAMES
from bench.ladder.thread_pool import THREADS
from steelyard.core.spec import RetrySpec
from tests.processes.balancer import eventually
from tests.real.backends import Backend, Script, Talk, echo_name
from tests.real.client import HOST, Client, request
from tests.real.programs import Program, program
from tests.real.support import free_ports, until
from tools.compile import ROOT

pytestmark = [pytest.mark.real, pytest.mark.parametrize("rung", NAMES)]

# Around one read (16 KiB), and far more than sockets hold.
SIZES = (0, 1, 16383, 16385, 3_000_000)

# Retries that a pool has for nothing: more must be earned by requests.
FREE = RetrySpec().budget_floor


class Rung:
    """A running one. port: where it listens."""

    def __init__(self, running: Program) -> None:
        self.running = running
        self.port = int(running.said.rpartition(":")[2])

    async def counted(self) -> tuple[int, int]:
        """Requests in flight, and all that have begun, by the books of its pool."""
        lines = self.running.said.count("\n")
        self.running.process.send_signal(signal.SIGUSR1)
        await until(lambda: self.running.said.count("\n") > lines)
        found = re.fullmatch(r"(\d+) in flight, (\d+) begun", self.running.said.splitlines()[-1])
        assert found is not None, self.running.said
        return int(found[1]), int(found[2])

    async def counts(self, in_flight: int) -> None:
        """Wait until so many are in flight."""

        async def so() -> bool:
            return in_flight == (await self.counted())[0]

        await eventually(so, f"{in_flight} in flight")

    async def client(self) -> Client:
        return await Client.open(self.port)


def command_of(name: str, *ports: int) -> list[str]:
    return [sys.executable, "-m", "bench.ladder.rung", name, *(f"{HOST}:{port}" for port in ports)]


@asynccontextmanager
async def serving(name: str, *ports: int) -> AsyncIterator[Rung]:
    """A rung before these backends; afterwards nothing is in flight, and it has complained of nothing."""
    async with program(*command_of(name, *ports), cwd=ROOT) as running:
        await until(lambda: "\n" in running.said or running.process.returncode is not None)
        assert "listening on" in running.said, running.complained
        rung = Rung(running)
        yield rung
        await rung.counts(0)
        running.process.terminate()
        await running.ended()
    assert "" == running.complained


@asynccontextmanager
async def before(name: str, *scripts: Script) -> AsyncIterator[tuple[Rung, list[Backend]]]:
    """A rung before backends of these scripts, which are called 1, 2, 3..."""
    backends = [Backend(script, str(number)) for number, script in enumerate(scripts, 1)]
    try:
        for one in backends:
            await one.start()
        async with serving(name, *(one.port for one in backends)) as rung:
            yield rung, backends
    finally:
        for one in backends:
            await one.stop()
    assert [] == [fault for one in backends for fault in one.faults]


async def echo_body(talk: Talk) -> None:
    while True:
        asked = await talk.request()
        if asked.get("x-chunked"):
            framed = b"%x\r\n%b\r\n" % (len(asked.body), asked.body) if asked.body else b""
            talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n")
        else:
            talk.answer(asked.body)


async def test_backends_take_turns_over_one_connection_and_over_many(rung: str) -> None:
    async with before(rung, echo_name, echo_name, echo_name) as (served, _):
        client = await served.client()
        assert [b"1", b"2", b"3", b"1"] == [(await client.ask()).body for _ in range(4)]
        names = []
        for _ in range(5):
            other = await served.client()
            names.append((await other.ask()).body)
            other.close()
        assert [b"2", b"3", b"1", b"2", b"3"] == names
        await served.counts(0)
        assert 9 == (await served.counted())[1]
        client.close()


async def test_bodies_of_every_size_come_whole_both_ways(rung: str) -> None:
    async with before(rung, echo_body) as (served, backends):
        client = await served.client()
        for size in SIZES:
            body = bytes(number % 251 for number in range(size))
            head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
            await client.send_all(head + body)
            assert body == (await client.answer()).body
            chunks = b"%x\r\n%b\r\n" % (size, body) if size else b""
            head = b"POST / HTTP/1.1\r\nHost: x\r\nX-Chunked: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
            await client.send_all(head + chunks + b"0\r\n\r\n")
            assert body == (await client.answer()).body
        assert 1 == len(backends[0].talks)
        client.close()


async def test_a_head_in_pieces_and_several_at_once_are_each_answered_once(rung: str) -> None:
    async with before(rung, echo_name, echo_name, echo_name) as (served, backends):
        client = await served.client()
        whole = request("GET", "/")
        for piece in (whole[:1], whole[1:20], whole[20:-1], whole[-1:]):
            await client.send_all(piece)
            await asyncio.sleep(0.01)  # so that they come apart, mostly; together, they are right too
        assert b"1" == (await client.answer()).body
        client.send(whole * 4)
        assert [b"2", b"3", b"1", b"2"] == [(await client.answer()).body for _ in range(4)]
        assert 5 == sum(len(one.requests) for one in backends)
        client.close()


async def test_more_clients_than_threads_are_all_served(rung: str) -> None:
    async with before(rung, echo_name, echo_name) as (served, _):
        clients = [await served.client() for _ in range(THREADS + 36)]
        for _ in range(3):
            answers = await asyncio.gather(*[client.ask() for client in clients])
            assert {200} == {answer.status for answer in answers}
        await served.counts(0)
        assert 300 == (await served.counted())[1]
        for client in clients:
            client.close()


@pytest.mark.parametrize(
    "begun",
    [b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"],
    ids=["in the line", "in the head", "in the body"],
)
async def test_a_client_that_leaves_within_its_request_holds_nobody_up(rung: str, begun: bytes) -> None:
    async with before(rung, echo_name) as (served, backends):
        leaver, other = await served.client(), await served.client()
        await leaver.send_all(begun)
        assert b"1" == (await other.ask()).body
        leaver.close()
        assert b"1" == (await other.ask()).body
        await served.counts(0)
        assert 2 == len(backends[0].requests)
        other.close()


async def endless(talk: Talk) -> None:
    await talk.request()
    talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    while True:
        talk.send(bytes(2**16))
        await talk.writer.drain()


async def test_a_client_that_leaves_within_its_answer_takes_the_backend_s_connection_with_it(rung: str) -> None:
    async with before(rung, endless) as (served, backends):
        client = await served.client()
        client.get()
        assert 200 == (await client.head()).status
        await served.counts(1)
        client.close()
        await served.counts(0)
        await until(lambda: not backends[0].running)


async def test_a_backend_that_is_down_is_passed_over_and_without_any_it_is_a_502(rung: str) -> None:
    down = free_ports(2)
    async with before(rung, echo_name) as (_, (up,)), serving(rung, down[0], up.port) as served:
        client = await served.client()
        assert [b"1"] * FREE == [(await client.ask()).body for _ in range(FREE)]
        client.close()
    async with serving(rung, *down) as served:
        client = await served.client()
        assert [502, 502] == [(await client.ask()).status for _ in range(2)]
        client.close()


def once(say: Callable[[Talk], None]) -> Script:
    """Answer one request of a connection so, and close it."""

    async def script(talk: Talk) -> None:
        await talk.request()
        say(talk)

    return script


def ended(one: Backend, connections: int) -> bool:
    """Whether it had so many connections, and has none any more."""
    return connections == len(one.talks) and not one.running


async def test_a_kept_connection_that_the_backend_has_closed_costs_no_request(rung: str) -> None:
    async with before(rung, once(lambda talk: talk.answer(b"one each"))) as (served, backends):
        client = await served.client()
        for number in range(1, 4):
            assert b"one each" == (await client.ask()).body
            await until(partial(ended, backends[0], number))
        client.close()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 101 Hm\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    ],
    ids=["nothing", "another protocol", "an upgrade that nobody wanted", "chunks that are none"],
)
async def test_an_answer_that_is_none_is_a_502(rung: str, said: bytes) -> None:
    async with before(rung, once(lambda talk: talk.send(said))) as (served, _):
        client = await served.client()
        assert [502, 502] == [(await client.ask()).status for _ in range(2)]
        client.close()


@pytest.mark.parametrize(
    ("begun", "then"),
    [(b"Content-Length: 9\r\n\r\nhalf", b""), (b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"nonsense\r\n")],
    ids=["ends too soon", "breaks its chunks"],
)
async def test_half_an_answer_ends_the_client_s_connection(rung: str, begun: bytes, then: bytes) -> None:
    seen = asyncio.Event()

    async def half(talk: Talk) -> None:
        await talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\n" + begun)
        await seen.wait()
        talk.send(then)

    async with before(rung, half) as (served, _):
        client = await served.client()
        client.get()
        assert 200 == (await client.head()).status
        seen.set()
        assert b"half" in await client.rest()
        client.close()


async def test_an_answer_without_a_length_ends_with_the_connection(rung: str) -> None:
    async with before(rung, once(lambda talk: talk.send(b"HTTP/1.1 200 OK\r\n\r\nall of it"))) as (served, _):
        client = await served.client()
        answer = await client.ask()
        assert ("close", b"all of it") == (answer.get("connection"), answer.body)
        client.close()


async def test_a_client_of_http_1_0_gets_no_chunks(rung: str) -> None:
    async with before(rung, echo_body) as (served, _):
        client = await served.client()
        client.send(b"POST / HTTP/1.0\r\nX-Chunked: 1\r\nContent-Length: 4\r\n\r\nbody")
        answer = await client.answer()
        assert (None, b"body") == (answer.get("transfer-encoding"), answer.body)
        client.close()


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + bytes([97]) * 20000, 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n", 400),
    ],
    ids=["no host", "too large", "broken chunks"],
)
async def test_what_breaks_the_rules_is_refused_and_no_backend_is_blamed(rung: str, wrong: bytes, status: int) -> None:
    async with before(rung, echo_name) as (served, backends):
        client = await served.client()
        client.send(wrong)
        answer = await client.answer()
        assert (status, "close") == (answer.status, answer.get("connection"))
        assert [] == backends[0].requests
        client.close()


async def test_who_waits_for_a_100_gets_it(rung: str) -> None:
    async with before(rung, echo_body) as (served, _):
        client = await served.client()
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert 100 == (await client.head()).status
        client.send(b"body")
        assert b"body" == (await client.answer()).body
        client.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_its_processes_end_with_it(rung: str, number: int) -> None:
    """The loops of several are children of the first."""
    async with program(*command_of(rung, *free_ports(1)), cwd=ROOT) as running:
        await until(lambda: "\n" in running.said)
        pid = running.process.pid
        await until(lambda: len(tree(pid)) == (2 if rung == "several-loops" else 1))
        family = tree(pid)
        running.process.send_signal(number)
        await running.ended()
    await until(lambda: not any(runs(one) for one in family))


def runs(pid: int) -> bool:
    """Whether it is more than an entry that its new parent has not collected yet: that has no command line."""
    file = Path(f"/proc/{pid}/cmdline")
    return file.exists() and file.read_bytes() != b""
