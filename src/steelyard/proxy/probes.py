"""The asking behind `prequal`: small GETs to the backends that the policy wants to hear of.

A probe goes over a connection of its own, kept open for the next one: requests must not wait behind it, and it not
behind them. The answer's fields X-Requests-In-Flight (digits) and X-Latency-Ms (a decimal number) say what the backend
knows of itself; a field that is missing, or is anything else, says nothing, and our own number stands for it. Without
a path nothing is sent at all: then our own numbers are the answer, at once.

A probe that fails is no answer, and no failure of the backend: whether it is up is for checks to say. No more than
AT_ONCE go on at a time, and one to a backend: where asking cannot keep up, not asking is the answer.
Not compiled, and tasks are welcome: nobody waits for it.
"""

import re
from asyncio import (
    AbstractEventLoop,
    LimitOverrunError,
    StreamReader,
    StreamWriter,
    Task,
    open_connection,
    timeout,
)
from typing import Final

from steelyard.core.approaches import own
from steelyard.core.backend import Backend
from steelyard.core.guard import parts
from steelyard.core.policies.prequal import UNKNOWN, Prequal
from steelyard.core.policy import UNKNOWN_S
from steelyard.core.pool import Pool
from steelyard.errors import ProtocolError
from steelyard.proxy.clock import Wheel
from steelyard.proxy.dial import connect
from steelyard.wire.http1 import ResponseHead, scan_response
from steelyard.wire.limits import ANSWER_FIELDS, ANSWER_HEAD_BYTES

AT_ONCE: Final = 32  # at 1 ms each that is 32,000 probes a second, more than one worker has requests to ask for
KEPT: Final = 128  # open connections that wait for the next probe: of a larger pool nobody is asked often
BODY_BYTES: Final = 4096  # a longer body costs more to read than a new connection
COUNT: Final = re.compile(rb"[0-9]{1,9}")
MILLISECONDS: Final = re.compile(rb"[0-9]{1,9}(\.[0-9]{1,9})?")

Connection = tuple[StreamReader, StreamWriter]


class Probes:
    """The probes of one pool. running: those that go on."""

    def __init__(self, loop: AbstractEventLoop, wheel: Wheel, pool: Pool, policies: list[Prequal]) -> None:
        probe = pool.spec.policy.probe
        self.loop = loop
        self.wheel = wheel
        self.policies = policies
        self.path = probe.path
        self.timeout_s = probe.timeout_s
        self.running: dict[Backend, Task[None]] = {}
        self.kept: dict[Backend, Connection] = {}
        self.closed = False
        self.pool = pool
        self.adopt()

    def adopt(self) -> None:
        """The pool may have other backends: hang up on those that are gone."""
        self.members = set(self.pool.backends)
        for backend in [one for one in self.kept if one not in self.members]:
            _, writer = self.kept.pop(backend)
            writer.transport.abort()

    def wake(self, now: float) -> None:
        """Ask whom the policies want to hear of. now: monotonic seconds. Called after every `acquire`; never raises."""
        for policy in self.policies:
            if not policy.wanted:
                continue
            for backend in policy.targets():
                if self.path is None:
                    policy.heard(backend, UNKNOWN, UNKNOWN_S, now)
                elif len(self.running) < AT_ONCE and backend not in self.running and not self.closed:
                    self.running[backend] = self.loop.create_task(self.ask(policy, backend, self.path))

    def close(self) -> None:
        """Ask no more, and close every connection."""
        self.closed = True
        for task in self.running.values():
            task.cancel()
        for _, writer in self.kept.values():
            writer.transport.abort()
        self.kept.clear()

    async def ask(self, policy: Prequal, backend: Backend, path: str) -> None:
        """One probe, from its connection to the policy."""
        request = f"GET {path} HTTP/1.1\r\nHost: {backend.address}\r\nUser-Agent: steelyard-probe\r\n\r\n"
        try:
            async with timeout(self.timeout_s):
                head = await self.exchange(backend, request.encode("latin-1"))
        except (OSError, EOFError, LimitOverrunError, ProtocolError):  # TimeoutError is an OSError
            return
        except Exception as exc:  # a bug of ours, and no more than one probe
            self.loop.call_exception_handler({"message": "a probe failed", "exception": exc})
            return
        finally:
            self.running.pop(backend, None)
        if 200 <= head.status < 300:
            policy.heard(backend, in_flight_of(head), latency_s_of(head), self.wheel.now())

    async def exchange(self, backend: Backend, request: bytes) -> ResponseHead:
        """Send it over the kept connection, or over a new one where that has been closed; the answer's head.

        Raises OSError, EOFError, LimitOverrunError or ProtocolError when there is none.
        """
        kept = self.kept.pop(backend, None)
        if kept is not None:
            try:
                return await self.converse(backend, kept, request)
            except (ConnectionError, EOFError):
                pass  # closed by the backend while nobody asked
        sock = await connect(self.loop, backend.spec)
        try:
            connection = await open_connection(sock=sock, limit=ANSWER_HEAD_BYTES)
        except BaseException:
            sock.close()
            raise
        return await self.converse(backend, connection, request)

    async def converse(self, backend: Backend, connection: Connection, request: bytes) -> ResponseHead:
        """Send and read on one connection; keep it when all of the answer was read, else close it."""
        reader, writer = connection
        whole = False
        try:
            writer.write(request)
            head = await read_head(reader)
            whole = await read_body(reader, head)
        finally:
            if whole and not self.closed and backend in self.members:
                self.keep(backend, connection)
            else:
                writer.transport.abort()
        return head

    def keep(self, backend: Backend, connection: Connection) -> None:
        """Keep an open connection for the next probe; too many, and the one that waits longest is closed."""
        self.kept[backend] = connection
        if len(self.kept) > KEPT:
            _, writer = self.kept.pop(next(iter(self.kept)))
            writer.transport.abort()


def probes_of(loop: AbstractEventLoop, wheel: Wheel, pool: Pool) -> Probes | None:
    """The probes that a pool's policy needs; None for one that asks nobody."""
    policies = [one for tier in pool.tiers for one in parts(own(tier.policy)) if isinstance(one, Prequal)]
    return Probes(loop, wheel, pool, policies) if policies else None


async def read_head(reader: StreamReader) -> ResponseHead:
    """The head of an answer; interim ones are skipped. Raises as `Probes.exchange` does."""
    while True:
        data = await reader.readuntil(b"\r\n\r\n")
        head = scan_response(data, 0, ANSWER_HEAD_BYTES, ANSWER_FIELDS)
        if head is None:
            raise EOFError  # the blank line was within something else
        if head.status >= 200:
            return head


async def read_body(reader: StreamReader, head: ResponseHead) -> bool:
    """Read what follows the head, if it is short and its length known; whether the connection can be used again."""
    if head.close or head.minor == 0 or head.chunked:
        return False
    size = 0 if head.status == 204 else head.content_length
    if not 0 <= size <= BODY_BYTES:
        return False
    await reader.readexactly(size)
    return True


def in_flight_of(head: ResponseHead) -> int:
    """X-Requests-In-Flight, or UNKNOWN."""
    value = head.get(b"x-requests-in-flight")
    return UNKNOWN if value is None or not COUNT.fullmatch(value) else int(value)


def latency_s_of(head: ResponseHead) -> float:
    """X-Latency-Ms in seconds, or UNKNOWN_S."""
    value = head.get(b"x-latency-ms")
    return UNKNOWN_S if value is None or not MILLISECONDS.fullmatch(value) else float(value) / 1000
