"""F. Kept connections and whose bytes are whose: a pool of connections is where answers go astray.

docs/cases.md 59 to 62.
"""

import asyncio
import os
import random
import socket
from typing import Any, Final

import pytest

from steelyard.testing import FaultyBackend, faults
from steelyard.testing.faults import Answer, Fault
from steelyard.testing.talk import Talk
from tests.cases.scene import faulty
from tests.real.backends import backend
from tests.real.client import Client, chunked, request
from tests.real.support import ON_UVLOOP, Running, one_pool, running, until

CLIENTS: Final = 16


async def test_case_59_connections_that_end_when_they_are_idle_cost_no_get() -> None:
    """RFC 9112 9.5: 8 clients, 60 GETs each, after pauses around the 5 ms after which the backend closes (the case has
    10,000 at one a second): no client sees an error."""
    chance = random.Random(59)
    async with faulty() as (lb, (one,)):
        one.fault = faults.CloseKept(0.005)

        async def work() -> set[int]:
            client = await lb.client()
            statuses = set()
            for _ in range(60):
                statuses.add((await client.ask()).status)
                await asyncio.sleep(chance.uniform(0.003, 0.007))
            return statuses

        async with asyncio.TaskGroup() as tasks:
            done = [tasks.create_task(work()) for _ in range(8)]
        assert [{200}] * 8 == [task.result() for task in done]
        assert {"-"} == set(lb.words())
        assert 8 < one.connections


@pytest.mark.parametrize("reset", [False, True])
async def test_case_59_connections_that_end_just_as_they_are_used_cost_no_get(reset: bool) -> None:
    """RFC 9112 9.5: every second request meets the end of its connection in place of an answer."""
    async with faulty() as (lb, (one,)):
        one.fault = faults.CloseKept(reset=reset)
        client = await lb.client()
        assert {200} == {(await client.ask()).status for _ in range(40)}
        assert {"-"} == set(lb.words())
        assert 40 == one.connections


@pytest.mark.parametrize(
    "fault",
    [
        faults.Stray(),
        faults.Stray(b"\r\n"),
        faults.Stray(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"),
        faults.Stray(after_s=0.03),
        faults.Stray(b"x", after_s=0.03),
        faults.WrongLength(-1),
    ],
)
async def test_case_60_bytes_that_nobody_asked_for_reach_nobody(fault: Fault) -> None:
    """RFC 9112 9.2: a second answer, at once or on the idle connection, ends that connection."""
    async with faulty("name") as (lb, (one,)):
        one.fault = fault
        client = await lb.client()
        for number in range(1, 5):
            answer = await client.ask()
            assert (200, True) == (answer.status, answer.whole)
            assert answer.body == (b"nam" if fault == faults.WrongLength(-1) else b"name")
            await until(lambda: one.open == 0)
            assert number == one.connections


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("stray", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"])
async def test_case_60_what_has_come_and_was_not_seen_yet_is_looked_for_before_a_connection_is_used(
    stray: bytes, method: str
) -> None:
    """RFC 9112 9.2 and 9.3.1: stray bytes, or the connection's end (b""), lie in the kernel when a request comes in the
    same round of the loop. It goes out on a fresh connection: else the bytes were its answer, or a POST was lost."""
    async with backend() as behind, running(one_pool(behind.port)) as lb:
        client = await lb.client()
        assert b"one" == (await client.ask()).body
        kept = behind.talks[0].writer.get_extra_info("socket")
        with socket.socket(fileno=os.dup(kept.fileno())) as same:
            client.send(request(method, "/", body=b"hello" * (method == "POST")))
            same.sendall(stray) if stray else same.shutdown(socket.SHUT_WR)
        answer = await client.answer()
        assert (200, b"one") == (answer.status, answer.body)
        assert [1, 1] == [len(talk.requests) for talk in behind.talks]


async def test_case_60_what_stands_behind_a_bare_head_reaches_nobody() -> None:
    """RFC 9112 9.2, 6.3: a body behind the answer to HEAD would be taken for the next answer by a careless reader."""
    async with faulty() as (lb, (one,)):
        evil = faults.Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        one.fault = lambda seen: evil if seen.method == "HEAD" else Answer(body=b"good")
        client = await lb.client()
        for _ in range(10):
            client.send(request("HEAD", "/") + request("GET", "/"))
            assert 200 == (await client.answer(to_head=True)).status
            assert b"good" == (await client.answer()).body


@pytest.mark.parametrize("leave", [Client.close, Client.reset])
@pytest.mark.parametrize("at", ["before head", "in head", "after head", "in body"])
async def test_case_61_a_client_that_leaves_takes_its_backend_connection_with_it(at: faults.At, leave: Any) -> None:
    """RFC 9112 9.3: what is left of its answer must not be the next one's beginning; so it is closed, and not kept."""
    async with faulty() as (lb, (one,)):
        one.script([faults.Silence(at)])
        client = await lb.client()
        client.get()
        await until(lambda: one.requests)
        if at in ("after head", "in body"):
            await client.head()
        leave(client)
        await until(lambda: one.open == 0)
        assert ["client_gone"] == lb.words()
        assert b"one" == (await lb.ask()).body
        assert 2 == one.connections


class Echo(Fault):
    """Says the token of the request, in its head and many times in its body, in one of the framings there are; and
    afterwards, by chance, one of the things that make connections go astray."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    async def play(self, talk: Talk) -> None:
        assert talk.request is not None
        token = talk.request.target[1:]
        assert talk.request.body == token.encode() * (len(talk.request.body) // len(token))
        body = token.encode() * self.chance.choice([1, 1, 1, 40, 3000])
        framing: Any = self.chance.choice(["length", "length", "chunked", "chunked", "close"])
        good = Answer(200, {"Token": token}, body, framing if self.chance.random() < 0.5 else "length")
        rare = self.chance.random()
        fault: Fault = good
        if rare < 0.10:
            fault = faults.Delay(self.chance.uniform(0, 0.003), then=good)
        elif rare < 0.15:
            fault = faults.Interim((103,), {"Token": token}, then=good)
        elif rare < 0.17:
            fault = faults.Stray(of=Answer(200, {"Token": token}, body))
        elif rare < 0.19:
            fault = faults.Close("in body", of=good)
        elif rare < 0.21:
            fault = faults.CloseKept(0.0, of=good)
        await fault.play(talk)


class Checked:
    """One client's work. asked: tokens sent; right: those that came back whole; torn: broken off, or 502."""

    def __init__(self, stage: Running, name: int, rounds: int) -> None:
        self.stage = stage
        self.chance = random.Random(6200 + name)
        self.name = name
        self.rounds = rounds
        self.asked = self.right = self.torn = 0

    async def work(self) -> None:
        client = await self.stage.client()
        for _ in range(self.rounds):
            if not await self.burst(client):
                client.writer.transport.abort()
                self.stage.clients.remove(client)
                client = await self.stage.client()

    async def burst(self, client: Client) -> bool:
        """One to four pipelined requests; False when the connection is not to be used any more."""
        sent = [self.next() for _ in range(self.chance.choice([1, 1, 2, 4]))]
        raw = b"".join(self.bytes_of(*one) for one in sent)
        if self.chance.random() < 0.03:  # half a request, and gone
            client.send(raw[: self.chance.randrange(len(raw))])
            await asyncio.sleep(0)
            return False
        client.send(raw)
        for method, token in sent:
            if self.chance.random() < 0.03:
                return False
            try:
                answer = await client.answer(to_head=method == "HEAD")
            except (asyncio.IncompleteReadError, ConnectionError):
                self.torn += 1
                return False
            if answer.status == 502:
                self.torn += 1
            else:
                assert (200, token) == (answer.status, answer.get("token"))
                assert (token.encode() * (len(answer.body) // len(token) + 1)).startswith(answer.body)
                self.right += answer.whole
                self.torn += not answer.whole
            if not answer.whole or answer.get("connection") == "close":
                return False
        return True

    def next(self) -> tuple[str, str]:
        self.asked += 1
        token = f"{self.name}-{self.asked}-{self.chance.getrandbits(32):08x}"
        return self.chance.choice(["GET", "GET", "HEAD", "POST", "PUT"]), token

    def bytes_of(self, method: str, token: str) -> bytes:
        if method in ("GET", "HEAD"):
            return request(method, f"/{token}")
        body = token.encode() * self.chance.choice([1, 3, 1000])
        if self.chance.random() < 0.5:
            return request(method, f"/{token}", body=body)
        return request(method, f"/{token}", "Transfer-Encoding: chunked") + chunked(body[:3], body[3:])


async def soak(rounds: int) -> int:
    """So many rounds of each client; how many requests there were. Fails on one wrong byte."""
    async with (
        FaultyBackend("one") as one,
        FaultyBackend("two") as two,
        running(one_pool(one.port, two.port, pool={"retry": {"budget": "off"}})) as lb,
    ):
        one.fault, two.fault = Echo(1), Echo(2)
        work = [Checked(lb, name, rounds) for name in range(CLIENTS)]
        async with asyncio.TaskGroup() as tasks:
            for each in work:
                tasks.create_task(each.work())
        asked = sum(each.asked for each in work)
        # Aborts cost some; the mass must have been answered, or the test would prove nothing.
        assert sum(each.right for each in work) > asked * 0.7
        assert sum(each.torn for each in work) < asked * 0.1
        assert [] == one.malformed + two.malformed
        assert {"-", "client_gone", "stale", "closed_early", "truncated"} >= set(lb.words())
        return asked


async def test_case_62_no_answer_reaches_another_request() -> None:
    """16 clients, about 2,000 requests of all kinds, pipelining, aborts, early ends, and bytes that nobody asked for.
    (The case has 100,000: tests/real/test_tokens.py has them, and the next one 20,000.)"""
    assert 1500 < await soak(64)


@pytest.mark.slow
@ON_UVLOOP
async def test_case_62_no_answer_reaches_another_request_for_longer() -> None:
    """The same with about 20,000 requests."""
    assert 15_000 < await soak(640)
