"""The work, the same on every rung: forward the HTTP/1.1 requests of a client, and the answers to them.

Heads are scanned and written anew by steelyard.wire, backends are chosen and counted by steelyard.core, exactly as the
proxy does it. What it leaves out, beside it: time limits, an answer before the whole request was sent, tunnels, limits,
routes and records. Clients here are ours.
"""

import random
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import count
from time import monotonic
from typing import Final

from bench.ladder.messages import answer_head, pass_on
from bench.ladder.steps import CONNECT, REST, Connection, Gone, Part, Task
from steelyard import errors
from steelyard.core.backend import Backend
from steelyard.core.policy import UNKNOWN_S, Pick
from steelyard.core.pool import Pool, Refusal
from steelyard.core.spec import BackendSpec, PoolSpec
from steelyard.core.table import FIRST_ROW, REQUESTS, Table
from steelyard.errors import Kind, ProtocolError
from steelyard.wire.answers import refusal
from steelyard.wire.framing import CHUNKED, LENGTH, NO_BODY, UNKNOWN
from steelyard.wire.headers import request_bytes, response_pieces
from steelyard.wire.http1 import RequestHead, ResponseHead, response_framing, scan_request
from steelyard.wire.peer import Peer

# As a listener's: steelyard.core.spec.
HEAD_BYTES: Final = 16 * 1024
FIELDS: Final = 100
NO_STATUS: Final = 0
CLOSE: Final = b"Connection: close\r\n"
KEEP: Final = b"Connection: keep-alive\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def pool_spec(addresses: Sequence[tuple[str, int]]) -> PoolSpec:
    """One pool at its defaults (round robin), but nobody checks its backends, and all connections to them are kept.

    Else the cost of new connections would be measured as soon as more requests are in flight than are kept.
    """
    backends = tuple(BackendSpec(host, port) for host, port in addresses)
    return PoolSpec("ladder", backends, health_check=None, max_idle=5000)


def rows_of(spec: PoolSpec) -> int:
    """How many rows the table must have."""
    return FIRST_ROW + Pool.rows_needed(spec)


class Work:
    """What all clients share: the pool, and the kept connections to its backends.

    lock: held while the pool is asked or told, since the core leaves that to its caller; a lone thread needs none.
    fresh: the table is new, and its rows ours alone.
    """

    def __init__(self, spec: PoolSpec, table: Table, lock: AbstractContextManager[object], fresh: bool = True) -> None:
        self.pool = Pool(spec, table, FIRST_ROW, fresh=fresh)
        self.table = table
        self.lock = lock
        self.max_idle = spec.max_idle
        # One thread may append to a deque while another takes from it.
        self.idle: dict[Backend, deque[Connection]] = {backend: deque() for backend in self.pool.backends}
        self.below = random.Random().randrange

    def acquire(self, request: Pick) -> Backend | Refusal:
        with self.lock:
            return self.pool.acquire(request)

    def release(self, request: Pick, backend: Backend, failed: bool, latency_s: float, status: int) -> None:
        with self.lock:
            self.pool.release(request, backend, failed, monotonic(), latency_s, status)

    def take(self, backend: Backend) -> Connection | None:
        """A kept connection, the one that was used last."""
        try:
            return self.idle[backend].pop()
        except IndexError:
            return None

    def give(self, backend: Backend, connection: Connection) -> None:
        idle = self.idle[backend]
        if len(idle) < self.max_idle:
            idle.append(connection)
        else:
            connection.close()

    def counted(self) -> str:
        """The pool's own books, in words."""
        served = sum(self.table.total(backend.row, REQUESTS) for backend in self.pool.backends)
        return f"{self.pool.count_in_flight()} in flight, {served} begun"

    def serve(self, client: Connection, peer: Peer) -> Task:
        """Everything that a client's connection is there for; it is closed in the end."""
        rest, keeps = b"", True
        try:
            while keeps:
                head, rest = yield from self._request_head(client, rest)
                if head is None:
                    return
                keeps, rest = yield from Exchange(self, client, peer, head).run(rest)
        except Gone:
            pass  # it is the client: of a backend's end an exchange makes an answer, or an end of this connection
        finally:
            client.close()

    def _request_head(self, client: Connection, rest: bytes) -> Part:
        """The next head and what came behind it; None where the client ends, or asks what nobody may."""
        while True:
            try:
                head = scan_request(rest, 0, HEAD_BYTES, FIELDS, False, False) if rest else None
            except ProtocolError as error:
                yield from client.send(refusal(error.kind, CLOSE, False))
                return None, b""
            if head is not None:
                head.upgrade = None
                return head, rest[head.end :]
            data = yield from client.receive(REST) if not rest else client.receive()
            if not data:
                return None, b""
            rest += data


class Exchange:
    """One request and its answer.

    asked: all of the request was sent. failed, latency_s, status: as the pool is told of a try.
    """

    def __init__(self, work: Work, client: Connection, peer: Peer, head: RequestHead) -> None:
        self.work = work
        self.client = client
        self.head = head
        self.sent = request_bytes(head, peer)
        self.framing = CHUNKED if head.chunked else LENGTH if head.content_length > 0 else NO_BODY
        self.keeps = head.keep_alive if head.minor == 0 else not head.close
        self.asked = False
        self.failed = False
        self.latency_s = UNKNOWN_S
        self.status = NO_STATUS

    def run(self, rest: bytes) -> Part:
        """From a choice to the end of the answer; whether the client stays, and what it has sent since."""
        request = Pick(self.work.below, now=monotonic())
        self.client.said = False
        for number in count(1):
            backend = self.work.acquire(request)
            if isinstance(backend, Refusal):
                return (yield from self._refuse(errors.CONNECT_FAILED if request.tried else backend.kind, rest))
            kept = self.work.take(backend)
            self.asked, self.failed, self.latency_s, self.status = False, True, UNKNOWN_S, NO_STATUS
            try:
                upstream = kept or Connection((yield CONNECT, backend, b""))
                rest = yield from self._try(request, backend, upstream, rest)
            except OSError:
                # Nothing was sent: another backend gets it, as long as the budget of the pool allows it.
                request.tried = [*(request.tried or ()), backend]
                if number >= self.work.pool.spec.retry.tries or not self._may_retry(errors.CONNECT_FAILED):
                    return (yield from self._refuse(errors.CONNECT_FAILED, rest))
            except Gone as gone:
                self.failed = gone.connection is not self.client
                if not self.failed or self.client.said:
                    raise Gone(self.client) from gone
                if kept is None or self.framing != NO_BODY:
                    return (yield from self._refuse(errors.CLOSED_EARLY, rest))
                # A kept connection that the backend had closed meanwhile: no fault of anybody.
                self.failed = False
            except ProtocolError as error:
                self.failed = self.asked
                if self.client.said:
                    raise Gone(self.client) from error
                return (yield from self._refuse(errors.BAD_ANSWER if self.asked else error.kind, rest))
            else:
                return self.keeps, rest
            finally:
                self.work.release(request, backend, self.failed, self.latency_s, self.status)
        raise AssertionError("the loop has no end")

    def _may_retry(self, kind: Kind) -> bool:
        with self.work.lock:
            return self.work.pool.bears_retry(kind, monotonic())

    def _refuse(self, kind: Kind, rest: bytes) -> Part:
        """Answer that it failed. Who has a body on its way is not kept: nobody reads it."""
        self.keeps = self.keeps and self.framing == NO_BODY
        yield from self.client.send(refusal(kind, b"" if self.keeps else CLOSE, self.head.method == b"HEAD"))
        return self.keeps, rest

    def _try(self, request: Pick, backend: Backend, upstream: Connection, rest: bytes) -> Part:
        """Ask one backend, over this connection, which is kept or closed afterwards."""
        reusable = False
        try:
            yield from upstream.send(self.sent)
            if self.framing != NO_BODY:
                if self.head.expects_continue:
                    yield from self.client.send(CONTINUE)
                    self.client.said = False  # it is no answer yet
                length = self.head.content_length
                rest = yield from pass_on(self.client, upstream, self.framing, length, b"", rest)
            self.asked = True
            answer, more = yield from answer_head(upstream)
            self.latency_s, self.status = monotonic() - request.now, answer.status
            self.failed = answer.status >= 500
            reusable = yield from self._answer(upstream, answer, more)
        finally:
            if reusable:
                self.work.give(backend, upstream)
            else:
                upstream.close()
        return rest

    def _answer(self, upstream: Connection, answer: ResponseHead, more: bytes) -> Part:
        """Pass the answer on; whether the backend's connection can be used again."""
        framing = response_framing(answer, self.head.method == b"HEAD")
        shown = framing
        if framing == UNKNOWN or (framing == CHUNKED and self.head.minor == 0):
            shown, self.keeps = UNKNOWN, False  # then it ends with the connection
        connection = CLOSE if not self.keeps else KEEP if self.head.minor == 0 else b""
        lead = b"".join(response_pieces(answer, shown, connection))
        decode = shown != framing
        more = yield from pass_on(upstream, self.client, framing, answer.content_length, lead, more, decode)
        closes = answer.close or (answer.minor == 0 and not answer.keep_alive)
        return not (closes or more or framing == UNKNOWN)
