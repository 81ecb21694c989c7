"""What a FaultyBackend can be told to do wrong: small values, each of them one way in which a server fails.

    backend.fault = faults.Reset("in body")
    backend.fault = faults.Answer(503, {"Retry-After": "1"})
    backend.fault = faults.Delay(0.2, then=faults.Close("in head"))
    backend.fault = faults.every(3, faults.Silence())

`at` says when it strikes:

    "accept"       when the connection is there, and nothing was read of it
    "in request"   when a request's head has come; its body is not read
    "before head"  when the whole request has come, and nothing of the answer was sent
    "in head"      within the answer's head
    "after head"   between the head and the body
    "in body"      within the body

Source: what RFC 9112 sections 6 to 9 make a client ready for; a fault as a value that is switched while all runs is
Toxiproxy's idea.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Literal

from steelyard.testing.talk import Request, Talk

__all__ = [
    "Answer",
    "BadChunk",
    "BlackHole",
    "Close",
    "CloseKept",
    "Delay",
    "Drip",
    "Endless",
    "Fault",
    "Flap",
    "Interim",
    "Raw",
    "Refuse",
    "Reset",
    "Silence",
    "Stray",
    "WrongLength",
    "every",
    "share",
    "turns",
]

At = Literal["accept", "in request", "before head", "in head", "after head", "in body"]
Headers = Mapping[str, str] | Sequence[tuple[str, str]]

SUCH_AS: Final = "write faults.Reset(), with its brackets, or another one"
_POINTS: Final = ("accept", "in request", "before head", "in head", "after head", "in body")


class Fault:
    """The base of them all, and of your own: write `play`, and say what should happen on a `Talk`."""

    __slots__ = ()

    @property
    def early(self) -> bool:
        """Whether it strikes before the request's body is read."""
        return False

    @property
    def on_accept(self) -> bool:
        """Whether it strikes before there is a request; then `accept` is called for each connection."""
        return False

    async def accept(self, talk: Talk) -> None:
        """A connection was opened."""

    async def play(self, talk: Talk) -> None:
        """A request has come: answer it, or do not."""
        raise NotImplementedError


def _check(name: str, value: str, known: Sequence[str]) -> None:
    """Of a word that is none of these a test would never know that it tests something else."""
    if value not in known:
        raise ValueError(f"{name}={value!r} is none of {', '.join(map(repr, known))}")


@dataclass(frozen=True, slots=True)
class Answer(Fault):
    """No fault, or one that is well said: any status with any headers.

    status: also one that there is not (20, 999). body: None is the backend's name. framing: `length`, `chunked`, or
    `close`, where the connection's end is the body's. early: without waiting for the request's body.
    Source: RFC 9112 6.3; 9110 15.
    """

    status: int = 200
    headers: Headers = ()
    body: bytes | None = None
    framing: Literal["length", "chunked", "close"] = "length"
    early: bool = False

    def __post_init__(self) -> None:
        _check("framing", self.framing, ("length", "chunked", "close"))

    async def play(self, talk: Talk) -> None:
        head, body = self.parts(talk)
        await talk.send(head + body)
        talk.answered += 1
        if self.framing == "close":
            talk.close()

    def parts(self, talk: Talk, longer: int = 0) -> tuple[bytes, bytes]:
        """Head and body. longer: by so much more than it is long, its Content-Length says."""
        body = talk.name.encode() if self.body is None else self.body
        pairs = self.headers.items() if isinstance(self.headers, Mapping) else self.headers
        lines = [f"HTTP/1.1 {self.status} {_reason(self.status)}", *(f"{name}: {value}" for name, value in pairs)]
        bare = self.status in (204, 304) or 100 <= self.status < 200  # RFC 9110 6.4.1
        if self.framing == "chunked" and not bare:
            half = (len(body) + 1) // 2
            lines.append("Transfer-Encoding: chunked")
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:half], body[half:]) if piece)
            body += b"0\r\n\r\n"
        elif self.framing == "length" and not bare:
            lines.append(f"Content-Length: {len(body) + longer}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        asked_for_head = talk.request is not None and talk.request.method == "HEAD"
        return head, b"" if bare or asked_for_head else body


HEALTHY: Final = Answer()


@dataclass(frozen=True, slots=True)
class _At(Fault):
    """A fault that strikes at one point of an answer."""

    at: At = "before head"
    of: Answer = HEALTHY

    def __post_init__(self) -> None:
        _check("at", self.at, _POINTS)

    @property
    def early(self) -> bool:
        return self.at == "in request"

    @property
    def on_accept(self) -> bool:
        return self.at == "accept"

    async def accept(self, talk: Talk) -> None:
        await self._strike(talk)

    async def play(self, talk: Talk) -> None:
        before, _ = _split(self.at, *self.of.parts(talk))
        if before:
            await talk.send(before)
        await self._strike(talk)

    async def _strike(self, talk: Talk) -> None:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Reset(_At):
    """The connection is reset (RST), as when a process dies or a firewall has forgotten it. of: the answer that began.

    Source: RFC 9293 3.10.7; SO_LINGER of 0.
    """

    async def _strike(self, talk: Talk) -> None:
        await talk.reset()


@dataclass(frozen=True, slots=True)
class Close(_At):
    """The connection is closed politely (FIN), too soon: half an answer. of: the answer that began.

    Source: RFC 9112 8: a message that ends before its framing says so is not complete.
    """

    async def _strike(self, talk: Talk) -> None:
        talk.close()


@dataclass(frozen=True, slots=True)
class Silence(_At):
    """Nothing more is said, and the connection stays until the other side ends it. of: the answer that began.

    With `at="accept"` it is a server that accepts and never reads an answer out of itself.
    """

    async def _strike(self, talk: Talk) -> None:
        await talk.gone(keep=False)
        talk.close()


@dataclass(frozen=True, slots=True)
class Delay(Fault):
    """A pause of so many seconds, and then all goes on: by itself, or into the next fault.

    then: the answer (or any fault) that comes after it. Within a head or a body it must be an Answer.
    """

    seconds: float
    at: At = "before head"
    then: Fault = HEALTHY

    def __post_init__(self) -> None:
        _check("at", self.at, _POINTS)
        if self.at in ("in head", "after head", "in body") and not isinstance(self.then, Answer):
            raise ValueError(f"a delay {self.at} is one of an Answer, not of {self.then!r}")
        of_request(self.then)

    @property
    def early(self) -> bool:
        return self.at == "in request" or self.then.early

    @property
    def on_accept(self) -> bool:
        return self.at == "accept"

    async def accept(self, talk: Talk) -> None:
        await talk.gone(self.seconds)

    async def play(self, talk: Talk) -> None:
        if self.at == "accept":
            await self.then.play(talk)
        elif not isinstance(self.then, Answer) or self.at in ("in request", "before head"):
            if not await talk.gone(self.seconds):
                await _finish(self.then, talk)
        else:
            before, after = _split(self.at, *self.then.parts(talk))
            await talk.send(before)
            if not await talk.gone(self.seconds):
                await talk.send(after)
                talk.answered += 1
                if self.then.framing == "close":
                    talk.close()


@dataclass(frozen=True, slots=True)
class Drip(Fault):
    """The answer comes slowly: so many bytes, a pause, and so on. part: the whole `answer`, or its `body` alone."""

    every_s: float
    size: int = 1
    part: Literal["answer", "body"] = "answer"
    of: Answer = HEALTHY

    def __post_init__(self) -> None:
        _check("part", self.part, ("answer", "body"))

    async def play(self, talk: Talk) -> None:
        head, body = self.of.parts(talk)
        slow = body
        if self.part == "body":
            await talk.send(head)
        else:
            slow = head + body
        for start in range(0, len(slow), self.size):
            if start and await talk.gone(self.every_s):
                return
            await talk.send(slow[start : start + self.size])
        talk.answered += 1
        if self.of.framing == "close":
            talk.close()


@dataclass(frozen=True, slots=True)
class Raw(Fault):
    """These bytes in place of an answer: garbage, another protocol, a head against the rules. close: a FIN after it."""

    data: bytes = b"\x16\x03\x01 this is no HTTP\r\n\r\n"
    close: bool = False

    async def play(self, talk: Talk) -> None:
        await talk.send(self.data)
        talk.answered += 1
        if self.close:
            talk.close()


@dataclass(frozen=True, slots=True)
class WrongLength(Fault):
    """A Content-Length that is not the body's: too long by so many bytes, then a FIN; or (by < 0) too short.

    The bytes that are too many stand behind the answer, where a careless reader takes them for the next one.
    Source: RFC 9112 6.3 and 9.2.
    """

    by: int
    of: Answer = HEALTHY

    async def play(self, talk: Talk) -> None:
        head, body = self.of.parts(talk, self.by)
        await talk.send(head + body)
        talk.answered += 1
        if self.by > 0:
            talk.close()


@dataclass(frozen=True, slots=True)
class BadChunk(Fault):
    """A chunked answer, of which a first chunk is good, and the rest is this. Source: RFC 9112 7.1."""

    rest: bytes = b"0x5\r\nhello\r\n0\r\n\r\n"
    of: Answer = HEALTHY

    async def play(self, talk: Talk) -> None:
        good = Answer(self.of.status, self.of.headers, self.of.body, "chunked")
        head, body = good.parts(talk)
        size, _, rest = body.partition(b"\r\n")
        await talk.send(head + size + b"\r\n" + rest[: int(size, 16) + 2] if body else head)
        await talk.send(self.rest)
        talk.answered += 1


@dataclass(frozen=True, slots=True)
class Endless(Fault):
    """A head, or a body, that does not end; `most` bytes of it, so that a test does. Then a FIN.

    what: `head` (field after field), `line` (one field), `body` (framed by the connection's end), `chunks`.
    """

    what: Literal["head", "line", "body", "chunks"] = "head"
    most: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        _check("what", self.what, ("head", "line", "body", "chunks"))

    async def play(self, talk: Talk) -> None:
        start, piece = {
            "head": (b"HTTP/1.1 200 OK\r\n", b"X-Filler: " + b"y" * 1012 + b"\r\n"),
            "line": (b"HTTP/1.1 200 OK\r\nX-Filler: ", b"y" * 1024),
            "body": (b"HTTP/1.1 200 OK\r\n\r\n", b"y" * 1024),
            "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3f8\r\n" + b"y" * 1016 + b"\r\n"),
        }[self.what]
        await talk.send(start)
        sent = 0
        while sent < self.most:
            await talk.send(piece * 64)
            sent += len(piece) * 64
        talk.close()


@dataclass(frozen=True, slots=True)
class Interim(Fault):
    """Interim heads (100, 102, 103) that nobody may have asked for, and then the answer. Source: RFC 9110 15.2."""

    statuses: Sequence[int] = (103,)
    headers: Headers = ()
    then: Fault = HEALTHY

    async def play(self, talk: Talk) -> None:
        for status in self.statuses:
            await talk.send(Answer(status, self.headers).parts(talk)[0])
        await self.then.play(talk)


@dataclass(frozen=True, slots=True)
class Stray(Fault):
    """A good answer, and bytes behind it that nobody has asked for: at once, or so many seconds later.

    data: None is a second answer, whose body is `stray`. Source: RFC 9112 9.2: such bytes belong to no request.
    """

    data: bytes | None = None
    after_s: float = 0.0
    of: Answer = HEALTHY

    async def play(self, talk: Talk) -> None:
        stray = self.data if self.data is not None else b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
        head, body = self.of.parts(talk)
        talk.answered += 1
        if self.after_s == 0:
            await talk.send(head + body + stray)
            return
        await talk.send(head + body)
        if not await talk.gone(self.after_s):
            await talk.send(stray)


@dataclass(frozen=True, slots=True)
class CloseKept(Fault):
    """A kept connection that ends when it is idle, or just when it is used again: the commonest race of all proxies.

    after_s: so many seconds after an answer, if nothing has come by then; None: when the second request has come, in
    place of its answer. reset: by a RST. Source: RFC 9112 9.3.1 and 9.5.
    """

    after_s: float | None = None
    reset: bool = False
    of: Answer = HEALTHY

    async def play(self, talk: Talk) -> None:
        if self.after_s is not None or talk.answered == 0:
            await self.of.play(talk)
        elif self.reset:
            await talk.reset()
        else:
            talk.close()
        if self.after_s is not None and await talk.quiet(self.after_s):
            if self.reset:
                talk.will_reset()
            talk.close()


# What is the matter with the port, and not with a request.


class PortFault(Fault):
    """A fault of the listening socket. It is set as `backend.fault`, and of no use in a script: no request meets it."""

    __slots__ = ()

    async def play(self, talk: Talk) -> None:
        await HEALTHY.play(talk)


@dataclass(frozen=True, slots=True)
class Refuse(PortFault):
    """Nobody listens: connections are refused, and those that were open are reset, as when a process has died.

    The port stays ours meanwhile, so that it can come back there.
    """


@dataclass(frozen=True, slots=True)
class BlackHole(PortFault):
    """A connection can be begun and is never made: the listen queue is full, and what comes is dropped unanswered.

    Connections that were open are closed, so that whoever comes has to open one. Who tries when it is over waits for
    TCP's next try, a second or more. (For one that accepts and never answers: `Silence("accept")`.)
    Source: listen(2); tcp_abort_on_overflow of 0.
    """


_REFUSE: Final = Refuse()


@dataclass(frozen=True, slots=True)
class Flap(Fault):
    """Up for so many seconds, and down for so many, from now on and until another fault is set. down: how.

    `turns` does it by requests.
    """

    up_s: float
    down_s: float
    down: Fault = _REFUSE

    async def play(self, talk: Talk) -> None:
        await HEALTHY.play(talk)


# Which request meets a fault.

Chooser = Callable[[Request], Fault | None]


def every(n: int, fault: Fault) -> Chooser:
    """The n-th request of each n meets it."""
    _check_number(n)
    return _by_number(fault, lambda number: number % n == n - 1)


def turns(n: int, fault: Fault) -> Chooser:
    """n requests are answered well, n meet it, and so on: a backend that flaps."""
    _check_number(n)
    return _by_number(fault, lambda number: number // n % 2 == 1)


def share(part: float, fault: Fault, random: Callable[[], float]) -> Chooser:
    """So large a part of the requests meets it (0.1: one in ten), by chance.

    random: gives numbers from 0 to 1, such as `random.Random(7).random`, which a test can repeat.
    """
    if not 0 <= part <= 1:
        raise ValueError(f"part={part!r} is no share: write 0.1 for one in ten")
    return _by_number(fault, lambda _: random() < part)


def of_request(fault: Fault) -> Fault:
    """The fault, if a request can meet it. Raises ValueError where it strikes before there is one; TypeError."""
    if not isinstance(fault, Fault):
        raise TypeError(f"{fault!r} is no fault; {SUCH_AS}")
    if fault.on_accept or isinstance(fault, (PortFault, Flap)):
        raise ValueError(f"{fault!r} strikes before there is a request: set it as backend.fault")
    return fault


def _by_number(fault: Fault, meets: Callable[[int], bool]) -> Chooser:
    of_request(fault)
    number = -1

    def choose(request: Request) -> Fault | None:
        nonlocal number
        number += 1
        return fault if meets(number) else None

    return choose


def _check_number(n: int) -> None:
    if n < 1:
        raise ValueError(f"n={n!r} requests: write 1 or more")


def _split(at: At, head: bytes, body: bytes) -> tuple[bytes, bytes]:
    """An answer's bytes before and after the point."""
    cut = {"in head": len(head) // 2, "after head": len(head), "in body": len(head) + len(body) // 2}.get(at, 0)
    return (head + body)[:cut], (head + body)[cut:]


async def _finish(fault: Fault, talk: Talk) -> None:
    """What comes after a delay; a request whose body was left unread has it read first, if the fault wants it."""
    if not fault.early:
        await talk.read_body()
    await fault.play(talk)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Odd"
