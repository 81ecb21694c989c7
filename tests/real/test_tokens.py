"""The answer to one request never reaches another: docs/cases.md F 62, the most valuable test of a proxy.

Every request carries a token of its own, in its target and in its body; the backend sends it back in the answer's
head and, many times over, in its body. A client checks every byte of every answer. Around that, everything that
makes connections go astray happens at random, from one seed: pipelining, chunks, HEAD, aborts at any moment, readers
that pause, backends that close, reset, answer early or add bytes that nobody asked for.
"""

import asyncio
import os
import random
from contextlib import suppress
from typing import Final

import pytest

from tests.real.backends import Script, Talk, backend
from tests.real.client import Answer, Client, chunked, request
from tests.real.support import ON_UVLOOP, Running, one_pool, running, until

CLIENTS: Final = 24


def echo(chance: random.Random) -> Script:
    """A backend that says each token, in one of the framings there are, and sometimes misbehaves afterwards."""

    async def script(talk: Talk) -> None:
        while True:
            asked = await talk.request()
            token = asked.target[1:]
            assert token.encode() * (len(asked.body) // len(token)) == asked.body
            body = token.encode() * chance.choice([0, 1, 1, 1, 50, 3000])
            field = f"Token: {token}"
            fate = chance.random()
            if fate < 0.3:
                await asyncio.sleep(chance.uniform(0, 0.003))
            if asked.method == "HEAD":
                talk.send(f"HTTP/1.1 200 OK\r\n{field}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            elif fate < 0.45:
                half = len(body) // 2
                pieces = [piece for piece in (body[:half], body[half:]) if piece]
                talk.send(
                    f"HTTP/1.1 200 OK\r\n{field}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunked(*pieces)
                )
            elif fate < 0.5:
                talk.send(f"HTTP/1.1 200 OK\r\n{field}\r\n\r\n".encode() + body)
                return  # its end is the connection's
            elif fate < 0.6:
                talk.send(f"HTTP/1.1 103 Early\r\n{field}\r\n\r\n".encode())
                talk.answer(body, field)
            else:
                talk.answer(body, field)
            await talk.writer.drain()
            after = chance.random()
            if after < 0.03:
                return
            if after < 0.05:
                talk.answer(b"evil", "Token: evil")
            elif after < 0.06:
                talk.reset()
                return

    return script


class Checked:
    """One client's work. asked: tokens sent; right: answers that were the right ones; torn: broken off, or 502."""

    def __init__(self, stage: Running, name: int, rounds: int) -> None:
        self.stage = stage
        self.chance = random.Random(1000 + name)
        self.name = name
        self.rounds = rounds
        self.asked = 0
        self.right = 0
        self.torn = 0

    async def work(self) -> None:
        client = await self.stage.client()
        for _ in range(self.rounds):
            if not await self.burst(client):
                client.writer.transport.abort()
                self.stage.clients.remove(client)
                client = await self.stage.client()

    async def burst(self, client: Client) -> bool:
        """One to five pipelined requests and their answers; False when the connection is not to be used any more."""
        sent = []
        for _ in range(self.chance.choice([1, 1, 1, 2, 5])):
            token = f"{self.name}-{self.asked}-{self.chance.getrandbits(32):08x}"
            method = self.chance.choice(["GET", "GET", "GET", "HEAD", "POST", "PUT"])
            sent.append((method, token))
            self.asked += 1
        raw = b"".join(self.bytes_of(method, token) for method, token in sent)
        if self.chance.random() < 0.2:
            cut = self.chance.randrange(len(raw))
            client.send(raw[:cut])
            await asyncio.sleep(0)
            if self.chance.random() < 0.3:
                return False
            raw = raw[cut:]
        client.send(raw)
        for method, token in sent:
            if self.chance.random() < 0.03:
                await asyncio.sleep(self.chance.uniform(0, 0.003))
                return False
            if self.chance.random() < 0.1:
                await asyncio.sleep(self.chance.uniform(0, 0.005))
            try:
                answer = await client.answer(to_head=method == "HEAD")
            except (asyncio.IncompleteReadError, ConnectionError):
                self.torn += 1
                return False
            if not self.check(answer, token):
                return False
        return True

    def bytes_of(self, method: str, token: str) -> bytes:
        if method not in ("POST", "PUT"):
            return request(method, f"/{token}")
        body = token.encode() * self.chance.choice([1, 3, 2000])
        if self.chance.random() < 0.5:
            return request(method, f"/{token}", body=body)
        cut = self.chance.randrange(1, len(body))
        return request(method, f"/{token}", "Transfer-Encoding: chunked") + chunked(body[:cut], body[cut:])

    def check(self, answer: Answer, token: str) -> bool:
        """Fail on one wrong byte; False when the connection ends with this answer."""
        if answer.status == 502:  # a POST whose backend died under it
            self.torn += 1
        else:
            assert (200, token) == (answer.status, answer.get("token"))
            at = token.encode()
            copies = len(answer.body) // len(at) + 1
            assert (at * copies).startswith(answer.body)
            self.right += answer.whole
            self.torn += not answer.whole
        return answer.whole and answer.get("connection") != "close"


def open_sockets() -> int:
    links = []
    for entry in os.scandir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # scandir's own is gone by now
            links.append(os.readlink(entry.path))
    return sum(link.startswith("socket:") for link in links)


async def soak(rounds: int) -> None:
    before = open_sockets()
    async with (
        backend(echo(random.Random(1)), "a") as a,
        backend(echo(random.Random(2)), "b") as b,
        backend(echo(random.Random(3)), "c") as c,
        running(one_pool(a.port, b.port, c.port, pool={"retry": {"budget": "off"}})) as lb,
    ):
        work = [Checked(lb, name, rounds) for name in range(CLIENTS)]
        async with asyncio.TaskGroup() as tasks:
            for one in work:
                tasks.create_task(one.work())
        asked = sum(one.asked for one in work)
        right = sum(one.right for one in work)
        torn = sum(one.torn for one in work)
        # Aborts cost some; the mass of requests must have been answered, or the test would prove nothing.
        assert right > asked * 0.7
        assert torn < asked * 0.05
        words = set(lb.words())
    assert words <= {"-", "client_gone", "stale", "closed_early", "bad_answer"}
    await until(lambda: open_sockets() <= before, "every socket is closed")  # case 76


async def test_thousands_of_mixed_requests_get_their_own_answers() -> None:
    """24 clients, three backends, about 3,400 requests."""
    await soak(75)


@pytest.mark.slow
@ON_UVLOOP
async def test_a_hundred_thousand_mixed_requests_get_their_own_answers() -> None:
    """The same for longer."""
    await soak(2100)
