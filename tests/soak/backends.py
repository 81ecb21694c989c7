"""The backends of a soak, in a process of their own: `python -m tests.soak.backends SEED COUNT`.

It says its ports, a line of JSON, and then answers each line of its standard input with what was counted: `stir` begins
with the faults, `calm` ends all of them, `numbers` does neither. Its end is that of its standard input.

While it is stirred the backends' moods change: one is well, or some of its requests meet a fault, or its port does.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from steelyard.testing import FaultyBackend, faults
from steelyard.testing.faults import Answer, Fault
from steelyard.testing.talk import Over, Request, Talk
from tests.soak.echo import SHORT_FIELD, TOKEN_FIELD, answer_body, token_in

MOOD_S: Final = 0.5
# Often enough that each is met many times in a minute, seldom enough that most requests are answered.
SHARES: Final = (0.0, 0.0, 0.05, 0.2, 0.6)
PORT_FAULTS: Final = (faults.Refuse(), faults.BlackHole())
FLAP_S: Final = 0.1
HEAD_BYTES: Final = 512 * 1024
SEGMENT_BYTES: Final = 1000

Made = Callable[[random.Random, Answer], Fault]


def _at(chance: random.Random, *also: str) -> Any:
    return chance.choice(("before head", "in head", "after head", "in body", *also))


# Each kind of fault of one request, with an answer that says whose it is wherever it says anything.
KINDS: Final[dict[str, Made]] = {
    "reset": lambda chance, answer: faults.Reset(_at(chance, "in request"), answer),
    "close": lambda chance, answer: faults.Close(_at(chance, "in request"), answer),
    # Twice, since these are what is tried again elsewhere.
    "reset early": lambda chance, answer: faults.Reset("before head"),
    "close early": lambda chance, answer: faults.Close("before head"),
    "silence": lambda chance, answer: faults.Silence(_at(chance), answer),
    "delay": lambda chance, answer: faults.Delay(chance.uniform(0.01, 0.3), _at(chance), answer),
    "drip": lambda chance, answer: faults.Drip(0.005, max(len(answer.body or b"") // 20, 8), of=answer),
    "garbage": lambda chance, answer: faults.Raw(chance.randbytes(chance.randrange(1, 200)) + b"\r\n\r\n", close=True),
    "too short": lambda chance, answer: faults.WrongLength(chance.randrange(1, 9), answer),
    "too long": lambda chance, answer: _if_small(answer, faults.WrongLength(-chance.randrange(1, 9), _short(answer))),
    "bad chunk": lambda chance, answer: faults.BadChunk(of=answer),
    "interim": lambda chance, answer: faults.Interim(chance.choice(((103,), (100, 102), (103, 103))), then=answer),
    "stray": lambda chance, answer: _if_small(answer, faults.Stray(of=answer)),
    "close kept": lambda chance, answer: faults.CloseKept(
        chance.choice((None, 0.0, 0.01)), chance.random() < 0.5, answer
    ),
    "error": lambda chance, answer: Answer(chance.choice((500, 502, 503, 404)), answer.headers, answer.body),
    "no body": lambda chance, answer: Answer(chance.choice((204, 304)), answer.headers, b""),
    "chunked": lambda chance, answer: Answer(200, answer.headers, answer.body, "chunked"),
    "until close": lambda chance, answer: Answer(200, answer.headers, answer.body, "close"),
    "endless head": lambda chance, answer: faults.Endless("head", HEAD_BYTES),
    "endless line": lambda chance, answer: faults.Endless("line", HEAD_BYTES),
    "odd status": lambda chance, answer: Answer(chance.choice((20, 99, 999)), answer.headers, answer.body),
}


def _if_small(answer: Answer, fault: Fault) -> Fault:
    """The fault, if what it sends behind the answer comes in one segment with it.

    What came later would be the answer to the next request, if that one had been sent meanwhile: no proxy can tell.
    """
    return fault if len(answer.body or b"") <= SEGMENT_BYTES else answer


def _short(answer: Answer) -> Answer:
    return Answer(answer.status, [*_pairs(answer), (SHORT_FIELD, "1")], answer.body, answer.framing)


def _pairs(answer: Answer) -> Sequence[tuple[str, str]]:
    return answer.headers if not hasattr(answer.headers, "items") else tuple(answer.headers.items())


class Echo(Fault):
    """Answer with what was asked, or meet one of KINDS with that answer. An upgrade is granted, and echoes bytes."""

    __slots__ = ("chance", "kind")

    def __init__(self, chance: random.Random, kind: str | None) -> None:
        self.chance = chance
        self.kind = kind

    async def play(self, talk: Talk) -> None:
        request = talk.request
        assert request is not None
        headers = [(TOKEN_FIELD, token_in(request.target))]
        if request.get("upgrade") is not None and self.kind is None:
            await _tunnel(talk, headers)
            return
        answer = Answer(200, headers, answer_body(request.target, request.body))
        await (answer if self.kind is None else KINDS[self.kind](self.chance, answer)).play(talk)


async def _tunnel(talk: Talk, headers: list[tuple[str, str]]) -> None:
    """101, and every byte back until the other side has enough. RFC 9110 section 7.8."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    await talk.send(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n{lines}\r\n".encode())
    try:
        while True:
            if not talk._unread:
                await talk._fill()
            data = bytes(talk._unread)
            talk._unread.clear()
            await talk.send(data)
    except Over:
        talk.close()


class Backends:
    """All of them. met: how often each fault was met; heads, posts: how often each request's head came, each POST's."""

    def __init__(self, seed: int, made: Sequence[FaultyBackend]) -> None:
        self.chance = random.Random(f"backends {seed}")
        self.made = made
        self.heads: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self.posts: Counter[str] = Counter()
        self.moods: list[float] = [0.0] * len(made)
        for number, backend in enumerate(made):
            backend.fault = self.chooser(number)

    def chooser(self, number: int) -> Callable[[Request], Fault | None]:
        def choose(request: Request) -> Fault | None:
            if not token_in(request.target):  # a check, or prequal asking for the load
                return None
            self.heads[token_in(request.target)] += 1
            if request.method == "POST":
                self.posts[token_in(request.target)] += 1
            kind = self.chance.choice(tuple(KINDS)) if self.chance.random() < self.moods[number] else None
            if kind is not None:
                self.met[kind] += 1
            return Echo(self.chance, kind)

        return choose

    async def change_moods(self) -> None:
        for number in range(len(self.made)):
            self.moods[number] = self.chance.choice(SHARES)
        while True:
            await asyncio.sleep(MOOD_S * self.chance.uniform(0.5, 1.5))
            number = self.chance.randrange(len(self.made))
            self.made[number].requests.clear()
            if self.chance.random() < 0.2:
                await self.fail_port(number)
            else:
                self.moods[number] = self.chance.choice(SHARES)
                self.made[number].fault = self.chooser(number)

    async def fail_port(self, number: int) -> None:
        """Down until its mood changes again; or down, up, down, up."""
        fault = self.chance.choice(PORT_FAULTS)
        for _ in range(self.chance.choice((0, 3))):
            self.met["port: flaps"] += 1
            self.made[number].fault = fault
            await asyncio.sleep(FLAP_S)
            self.made[number].fault = self.chooser(number)
            await asyncio.sleep(FLAP_S)
        self.met[f"port: {type(fault).__name__}"] += 1
        self.made[number].fault = fault

    def calm(self) -> None:
        for number, backend in enumerate(self.made):
            self.moods[number] = 0.0
            backend.fault = self.chooser(number)

    def numbers(self) -> dict[str, Any]:
        return {
            "open": sum(backend.open for backend in self.made),
            "requests": len(self.heads),
            "heads": sum(self.heads.values()),
            "often": {token: times for token, times in self.heads.items() if times > 1},
            "met": self.met,
            "posts twice": [token for token, times in self.posts.items() if times > 1],
            "malformed": sum(len(backend.malformed) for backend in self.made),
        }


async def serve(seed: int, count: int) -> None:
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(FaultyBackend(f"b{number}")) for number in range(count)]
        backends = Backends(seed, made)
        say([backend.port for backend in made])
        asked = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
        async with asyncio.TaskGroup() as group:
            moods = None
            while line := await asked.readline():
                if moods is not None and line.strip() != b"numbers":
                    moods.cancel()
                    moods = None
                if line.strip() == b"stir":
                    moods = group.create_task(backends.change_moods())
                elif line.strip() == b"calm":
                    backends.calm()
                say(backends.numbers())
            if moods is not None:
                moods.cancel()


def say(words: Any) -> None:
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
