"""The clients of a soak: each session is one client on a connection of its own, or several, doing one kind of thing.

A client that stays checks every answer: it is its own request's, byte for byte, as far as it came. One that leaves, in
the middle of anything, is there to see that nothing stays behind.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from tests.real.client import Answer, Client, chunked, request
from tests.soak.echo import SHORT_FIELD, TOKEN_FIELD, answer_body, target
from tests.soak.tally import ANSWERED, CUT, LEFT, LOST, Tally

ENDS: Final = (asyncio.IncompleteReadError, ConnectionError)
GARBAGE: Final = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/3.0\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /" + b"a" * 40000,
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
)


class Sessions:
    """The kinds of sessions, against the balancer on this port."""

    def __init__(self, port: int, tally: Tally) -> None:
        self.port = port
        self.tally = tally

    async def any(self, chance: random.Random) -> None:
        """One session of a kind that chance chooses. A property that does not hold is written down, and ends it."""
        (kind,) = chance.choices(list(KINDS), [weight for _, weight in KINDS.values()])
        self.tally.sessions[kind] += 1
        try:
            await KINDS[kind][0](self, chance)
        except (AssertionError, TimeoutError) as exc:
            self.tally.wrong.append(f"{kind}: {type(exc).__name__} {exc}")

    async def keep_alive(self, chance: random.Random) -> None:
        client = await Client.open(self.port)
        for _ in range(chance.randrange(1, 20)):
            method = "HEAD" if chance.random() < 0.1 else "GET"
            token = self.tally.begin("keep alive")
            size = chance.choice((0, 0, 100, 5000))
            client.get(target(token, size), method=method)
            if not await self._answered(client, token, size, to_head=method == "HEAD"):
                break
        client.close()

    async def post(self, chance: random.Random) -> None:
        client = await Client.open(self.port)
        for _ in range(chance.randrange(1, 6)):
            token = self.tally.begin("post")
            body = chance.randbytes(chance.choice((1, 100, 5000, 70_000, 300_000)))
            fields = ["Expect: 100-continue"] if chance.random() < 0.1 else []
            if not await self._uploaded(client, token, request("POST", target(token, 10), *fields, body=body), body):
                break
        client.close()

    async def post_chunked(self, chance: random.Random) -> None:
        client = await Client.open(self.port)
        for _ in range(chance.randrange(1, 6)):
            token = self.tally.begin("post chunked")
            body = chance.randbytes(chance.choice((1, 100, 5000, 70_000)))
            cuts = sorted(chance.randrange(len(body) + 1) for _ in range(chance.randrange(6)))
            pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if a < b]
            head = request("POST", target(token, 10), "Transfer-Encoding: chunked")
            if not await self._uploaded(client, token, head + chunked(*pieces), body):
                break
        client.close()

    async def abort(self, chance: random.Random) -> None:
        """Go away somewhere: within the request, before its answer, within it."""
        client = await Client.open(self.port)
        body = chance.randbytes(chance.choice((0, 0, 1000, 50_000)))
        token = self.tally.begin("abort")
        data = request("POST" if body else "GET", target(token, chance.choice((0, 100_000))), body=body)
        part = chance.choice((len(data), chance.randrange(len(data))))
        client.send(data[:part])
        with suppress(*ENDS, TimeoutError):
            await asyncio.sleep(chance.choice((0.0, 0.001, 0.02, 0.2)))
            if chance.random() < 0.5:
                async with asyncio.timeout(chance.uniform(0, 0.1)):
                    await client.reader.read(chance.randrange(1, 50_000))
        client.reset() if chance.random() < 0.5 else client.close()

    async def slow_reader(self, chance: random.Random) -> None:
        client = await Client.open(self.port, receive_buffer=4096)
        token = self.tally.begin("slow reader")
        size = chance.randrange(200_000, 1_000_000)
        client.get(target(token, size))
        await asyncio.sleep(chance.uniform(0, 1))
        await self._answered(client, token, size)
        client.close()

    async def slow_writer(self, chance: random.Random) -> None:
        client = await Client.open(self.port)
        body = chance.randbytes(chance.randrange(0, 200))
        token = self.tally.begin("slow writer")
        data = request("POST" if body else "GET", target(token, 10), body=body)
        with suppress(ConnectionError):
            while data:
                part = chance.randrange(1, 60)
                client.send(data[:part])
                data = data[part:]
                await asyncio.sleep(chance.uniform(0, 0.03))
        await self._answered(client, token, 10, body)
        client.close()

    async def pipeline(self, chance: random.Random) -> None:
        """Several requests at once: their answers come in order. Behind one that ends the connection none comes."""
        client = await Client.open(self.port)
        tokens = [self.tally.begin("pipeline") for _ in range(chance.randrange(2, 8))]
        client.send(b"".join(request("GET", target(token, 50)) for token in tokens))
        for token in tokens:
            if not await self._answered(client, token, 50):
                break
        client.close()

    async def garbage(self, chance: random.Random) -> None:
        """Something that is no request: refused, and the connection closed."""
        client = await Client.open(self.port)
        data = chance.choice((*GARBAGE, chance.randbytes(chance.randrange(1, 300)) + b"\r\n\r\n"))
        self.tally.garbage += 1
        client.send(data)
        client.eof()
        with suppress(*ENDS):
            answer = await client.answer()
            self.tally.refused_garbage += 1
            assert 400 <= answer.status < 600, f"garbage was answered {answer.status}: {data!r}"
            assert b"" == await client.rest(), f"and went on: {data!r}"
        client.close()

    async def upgrade(self, chance: random.Random) -> None:
        """A tunnel: what goes in comes back."""
        client = await Client.open(self.port)
        token = self.tally.begin("upgrade")
        client.get(target(token, 0), "Connection: Upgrade", "Upgrade: echo")
        try:
            head = await client.head()
            while head.status < 200 and head.status != 101:
                head = await client.head()
            if head.status == 101:
                assert token == head.get(TOKEN_FIELD.lower()), (
                    f"{token} was switched to {head.get(TOKEN_FIELD.lower())}"
                )
                self.tally.became(token, ANSWERED, 101)
                for _ in range(chance.randrange(4)):
                    data = chance.randbytes(chance.randrange(1, 20_000))
                    await client.send_all(data)
                    async with asyncio.timeout(20):
                        assert data == await client.reader.readexactly(len(data)), f"{token}: the tunnel changed bytes"
                    self.tally.tunnelled += len(data)
            else:  # the backend failed, or meant otherwise; how is the other sessions' business
                self.tally.became(token, LEFT, head.status)
        except ENDS:
            if self.tally.requests[token].outcome == LEFT:
                self.tally.became(token, LOST)
        client.reset() if chance.random() < 0.3 else client.close()

    async def crowd(self, chance: random.Random) -> None:
        """Many connections at once, each with a request, and some without."""
        clients = [await Client.open(self.port) for _ in range(chance.randrange(10, 60))]
        asking = []
        for client in clients:
            if chance.random() < 0.7:
                token = self.tally.begin("crowd")
                client.get(target(token, 20))
                asking.append((client, token))
        for client, token in asking:
            await self._answered(client, token, 20)
        for client in clients:
            client.close()

    async def _uploaded(self, client: Client, token: str, data: bytes, body: bytes) -> bool:
        """Send a request with a body, and read its answer, which may come before all is sent."""

        async def send() -> None:
            with suppress(ConnectionError):
                await client.send_all(data)

        sending = asyncio.get_running_loop().create_task(send())
        try:
            return await self._answered(client, token, 10, body) and sending.done()
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending

    async def _answered(self, client: Client, token: str, size: int, body: bytes = b"", to_head: bool = False) -> bool:
        """Read and check an answer; whether another request may follow."""
        try:
            answer = await client.answer(to_head=to_head)
        except ENDS:
            self.tally.became(token, LOST)
            return False
        except TimeoutError:
            raise AssertionError(f"{token} was not answered at all") from None
        self.tally.became(token, ANSWERED if answer.whole else CUT, answer.status)
        self.tally.bytes_received += len(answer.body)
        self._check(answer, token, size, body, to_head)
        return answer.whole and "close" not in (answer.get("connection") or "")

    def _check(self, answer: Answer, token: str, size: int, body: bytes, to_head: bool) -> None:
        """Hold that it is the answer to this request and no other."""
        theirs = answer.get(TOKEN_FIELD.lower())
        if theirs is None:
            assert answer.status >= 400, f"{token}: {answer.status} from nobody"
            return
        assert token == theirs, f"{token} was answered with what is for {theirs}"
        expected = b"" if to_head or answer.status in (204, 304) else answer_body(target(token, size), body)
        short = not answer.whole or answer.get(SHORT_FIELD.lower()) is not None
        same = expected.startswith(answer.body) if short else expected == answer.body
        assert same, f"{token}: {answer.status} with another body: {answer.body[:80]!r}, not {expected[:80]!r}"


Session = Callable[[Sessions, random.Random], Awaitable[None]]
# With the share of each.
KINDS: Final[dict[str, tuple[Session, float]]] = {
    "keep alive": (Sessions.keep_alive, 10),
    "post": (Sessions.post, 5),
    "post chunked": (Sessions.post_chunked, 5),
    "abort": (Sessions.abort, 8),
    "slow reader": (Sessions.slow_reader, 1),
    "slow writer": (Sessions.slow_writer, 2),
    "pipeline": (Sessions.pipeline, 4),
    "garbage": (Sessions.garbage, 4),
    "upgrade": (Sessions.upgrade, 3),
    "crowd": (Sessions.crowd, 1),
}
