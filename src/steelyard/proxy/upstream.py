"""One connection to a backend: a request goes out, an answer comes in, again and again.

It scans the answer and tells its receiver (the exchange) what comes: interim heads, the head, pieces of the
body, the end, or that it failed and how. It holds no bytes but an unfinished head. Whatever arrives when
nothing was asked ends the connection: such bytes could otherwise be taken for the next answer.

Compiled; not a subclass of asyncio.Protocol, since an extension type cannot be one, so it defines all callbacks.
Source: RFC 9112 section 6.3 (framing of responses), 9.2 (no answer without a request), 9.3.1 (closed while idle).
"""

from asyncio import Transport
from math import inf
from socket import socket
from typing import Any, Final

from steelyard import errors
from steelyard.errors import Kind, ProtocolError
from steelyard.proxy.clock import Timed, Wheel
from steelyard.proxy.half_close import half_close
from steelyard.proxy.peek import quiet
from steelyard.proxy.receiver import Receiver
from steelyard.proxy.unread import unread
from steelyard.wire.chunked import ChunkScanner
from steelyard.wire.framing import CHUNKED, LENGTH, NO_BODY, UNKNOWN
from steelyard.wire.http1 import ResponseHead, response_framing, scan_response
from steelyard.wire.limits import ANSWER_FIELDS, ANSWER_HEAD_BYTES
from steelyard.wire.slices import cut

# A backend that sends more interim heads than this before its answer is not one that will answer.
MAX_INTERIM: Final = 32
_KEEP_ALIVE: Final = b"\nkeep-alive:"
_IDLE: Final = 0  # nothing is asked
_HEAD: Final = 1  # waiting for an answer's head
_BODY: Final = 2
_TUNNEL: Final = 3
_CLOSING: Final = 4  # the last bytes are on their way out
_CLOSED: Final = 5


class Upstream(Timed):
    """A connection to one backend. owner: the backend's `Connections`, told when this one is gone."""

    def __init__(self, owner: Any, wheel: Wheel, sock: socket | None) -> None:
        self.untimed()
        self.owner = owner
        self.wheel = wheel
        self.sock = sock
        self.fd = -1
        self.transport: Transport | None = None
        self.receiver: Receiver | None = None
        self.state = _IDLE
        self.buffer = b""
        self.scanner: ChunkScanner | None = None
        self.remaining = 0
        self.framing = NO_BODY
        self.keep = False
        self.reused = False
        self.to_head_request = False
        self.decode = False
        self.interims = 0
        self.awaited = False
        self.paused = False
        self.full = False
        self.stalled_at = 0
        self.response_s = 0.0
        self.idle_since = 0.0

    # What the exchange calls.

    def ask(self, receiver: Receiver, to_head_request: bool, decode: bool, response_s: float) -> None:
        """Attach the receiver of the next answer.

        decode: chunked answers are told as plain data. response_s: between two reads.
        """
        self.receiver = receiver
        self.state = _HEAD
        self.to_head_request = to_head_request
        self.decode = decode
        self.response_s = response_s
        self.interims = 0
        self.awaited = False
        self.deadline = inf

    def write(self, data: bytes) -> None:
        if self.transport is not None and self.state != _CLOSED:
            self.transport.write(data)

    def write_all(self, pieces: list[bytes]) -> None:
        if self.transport is not None and self.state != _CLOSED:
            self.transport.writelines(pieces)

    def write_eof(self) -> None:
        if self.transport is not None and self.state != _CLOSED:
            half_close(self.transport)

    def await_answer(self, now: float) -> None:
        """The request is sent: the backend's time runs."""
        self.awaited = True
        self.watch(now)

    def watch(self, now: float) -> None:
        """Let the backend's time run when it is the backend that we wait for: to answer, to go on, or to read."""
        if not self.paused and (self.full or self.state == _BODY or (self.state == _HEAD and self.awaited)):
            self.wheel.expect(self, now + self.response_s)
        else:
            self.deadline = inf

    def pause(self) -> None:
        """Stop reading: the client is slower than the backend."""
        if not self.paused and self.transport is not None and self.state != _CLOSED:
            self.paused = True
            self.deadline = inf
            self.transport.pause_reading()

    def resume(self, now: float) -> None:
        if self.paused and self.transport is not None and self.state != _CLOSED:
            self.paused = False
            self.transport.resume_reading()
            self.watch(now)

    def detach(self, now: float) -> None:
        """The answer is over and this connection is to be kept."""
        self.receiver = None
        self.state = _IDLE
        self.scanner = None
        self.reused = True
        self.idle_since = now
        if self.paused:
            self.resume(now)

    def close(self) -> None:
        """End the connection, whatever is going on; the receiver is told nothing."""
        self.receiver = None
        if self.state != _CLOSED:
            self.state = _CLOSED
            self.wheel.forget(self)
            if self.transport is not None:
                self.transport.abort()

    def finish(self, now: float) -> None:
        """End a tunnel: what was written still goes out."""
        self.receiver = None
        if self.state != _CLOSED and self.transport is not None:
            self.state = _CLOSING
            self.wheel.expect(self, now + self.response_s)
            self.transport.close()

    def fit(self) -> bool:
        """Whether a kept connection is still open: looks for the backend's close, or for bytes nobody asked for."""
        return self.state == _IDLE and (self.sock is None or quiet(self.sock, self.fd))

    # What the event loop calls.

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport
        self.fd = -1 if self.sock is None else self.sock.fileno()
        # What does not go out at once holds its sender back at once: at most one read is in our hands.
        transport.set_write_buffer_limits(0)

    def data_received(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver is None:
            self.lose(False)
            return
        now = self.wheel.now()
        if self.deadline != inf:
            self.deadline = now + self.response_s
        if self.state == _HEAD:
            self.read_head(receiver, data, now)
        elif self.state == _BODY:
            self.read_body(receiver, data, 0, now)
        else:
            receiver.on_body(data, len(data), now)
        if self.receiver is receiver:
            receiver.on_pause()

    def read_head(self, receiver: Receiver, data: bytes, now: float) -> None:
        pos = begin = 0
        if self.buffer:
            ended = b"\n" in data
            data = self.buffer + data
            if not ended and len(data) < ANSWER_HEAD_BYTES:
                self.buffer = data  # scanned anew only when a line was ended, so that dribbled bytes cost little
                return
            self.buffer = b""
        while True:
            try:
                head = scan_response(data, pos, ANSWER_HEAD_BYTES, ANSWER_FIELDS)
            except ProtocolError as exc:
                self.fail(errors.BAD_ANSWER, exc.detail, now)
                return
            if head is None:
                self.buffer = cut(data, pos, len(data))
                return
            begin = pos
            pos = head.end
            if head.status >= 200:
                break
            self.interims += 1
            if head.status == 101:
                self.switch(receiver, head, data, pos, now)
                return
            if self.interims > MAX_INTERIM:
                self.fail(errors.BAD_ANSWER, "interim answers without end", now)
                return
            receiver.on_interim(head)
            if self.receiver is not receiver:
                return
            if pos == len(data):
                return
        self.keep = not head.close and (head.minor == 1 or head.keep_alive)
        if self.keep and not self.reused:
            self.note_keep_alive(cut(data, begin, pos), now)
        self.framing = response_framing(head, self.to_head_request)
        self.state = _BODY
        if self.framing == CHUNKED:
            self.scanner = ChunkScanner(self.decode)
        elif self.framing == LENGTH:
            self.remaining = head.content_length
        elif self.framing == UNKNOWN:
            self.keep = False
        told = UNKNOWN if self.framing == CHUNKED and self.decode else self.framing
        receiver.on_head(head, told, now)
        if self.receiver is receiver:
            if self.framing != NO_BODY:
                self.watch(now)
            self.read_body(receiver, data, pos, now)

    def note_keep_alive(self, head: bytes, now: float) -> None:
        """Once a connection: how long the backend says that it keeps it. The field is passed on to nobody."""
        head = head.lower()
        at = head.find(_KEEP_ALIVE)
        if at >= 0:
            at += len(_KEEP_ALIVE)
            self.owner.told(cut(head, at, head.index(b"\r", at)), now)

    def switch(self, receiver: Receiver, head: ResponseHead, data: bytes, pos: int, now: float) -> None:
        """RFC 9110 section 15.2.2: only after an upgrade that was asked for."""
        self.state = _TUNNEL
        self.deadline = inf
        if not receiver.on_switch(head, now):
            self.fail(errors.BAD_ANSWER, "a 101 that was not asked for", now)
        elif self.receiver is receiver and pos < len(data):
            receiver.on_body(cut(data, pos, len(data)), len(data) - pos, now)

    def read_body(self, receiver: Receiver, data: bytes, pos: int, now: float) -> None:
        size = len(data)
        if self.framing == LENGTH:
            take = size - pos
            if take > self.remaining:
                take = self.remaining
            if take > 0:
                self.remaining -= take
                receiver.on_body(data if take == size else cut(data, pos, pos + take), take, now)
                pos += take
            if self.remaining == 0:
                self.end(receiver, pos == size, now)
        elif self.framing == CHUNKED:
            self.read_chunks(receiver, data, pos, now)
        elif self.framing == NO_BODY:
            self.end(receiver, pos == size, now)
        elif pos < size:
            receiver.on_body(cut(data, pos, size) if pos else data, size - pos, now)

    def read_chunks(self, receiver: Receiver, data: bytes, pos: int, now: float) -> None:
        scanner = self.scanner
        assert scanner is not None
        size = len(data)
        before = scanner.data_bytes
        try:
            stop = scanner.feed(data, pos)
        except ProtocolError as exc:
            self.fail(errors.BAD_ANSWER, exc.detail, now)
            return
        told = scanner.data_bytes - before
        if scanner.payload is not None:
            if scanner.payload:
                receiver.on_body(b"".join(scanner.payload), told, now)
        else:
            passed = scanner.passed - pos
            if passed > 0:
                receiver.on_body(data if passed == size else cut(data, pos, scanner.passed), told, now)
            if scanner.tail and self.receiver is receiver:
                receiver.on_body(scanner.tail, 0, now)
        if scanner.done:
            self.end(receiver, stop == size, now)

    def end(self, receiver: Receiver, clean: bool, now: float) -> None:
        """The answer is whole. Bytes behind it were not asked for: such a connection is not used again."""
        if self.receiver is receiver:
            self.deadline = inf
            receiver.on_end(self.keep and clean, now)

    def fail(self, kind: Kind, detail: str, now: float) -> None:
        """The answer cannot be had (any more) from this connection."""
        receiver = self.receiver
        self.close()
        if receiver is not None:
            receiver.on_failed(kind, detail, now)

    def lose(self, closed_by_backend: bool) -> None:
        """An idle connection is gone, or must go."""
        self.owner.lost(self, closed_by_backend)
        self.close()

    def on_deadline(self, now: float) -> None:
        if self.full and self.transport is not None:
            left = unread(self.transport)
            if left < self.stalled_at:  # slow, but it reads
                self.stalled_at = left
                self.wheel.expect(self, now + self.response_s)
                return
        if self.receiver is None:
            self.lose(False)
        elif self.state == _HEAD:
            self.fail(errors.RESPONSE_TIMEOUT, "no answer in time", now)
        else:
            self.fail(errors.TRUNCATED, "no further byte of the answer in time", now)

    def eof_received(self) -> bool:
        """True keeps our side open: only in a tunnel, where the client may still have something to say."""
        if self.state == _TUNNEL and self.receiver is not None:
            self.receiver.on_upstream_eof(self.wheel.now())
            return self.state == _TUNNEL
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        state = self.state
        receiver = self.receiver
        if state == _CLOSED:
            return
        if receiver is None:
            self.lose(True)
            return
        now = self.wheel.now()
        detail = "closed" if exc is None else str(exc)
        if state == _TUNNEL:
            self.fail(errors.TRUNCATED, detail, now)
        elif state == _BODY:
            if self.framing == UNKNOWN and exc is None:
                self.state = _CLOSED
                self.wheel.forget(self)
                receiver.on_end(False, now)
            else:
                self.fail(errors.TRUNCATED, detail, now)
        elif self.buffer or self.interims:
            self.fail(errors.BAD_ANSWER, "closed within the head", now)
        else:
            self.fail(errors.STALE if self.reused else errors.CLOSED_EARLY, detail, now)

    def pause_writing(self) -> None:
        self.full = True
        if self.transport is not None:
            self.stalled_at = unread(self.transport)
        if self.receiver is not None:
            self.watch(self.wheel.now())
            self.receiver.on_upstream_full()

    def resume_writing(self) -> None:
        self.full = False
        if self.receiver is not None:
            now = self.wheel.now()
            self.watch(now)
            self.receiver.on_upstream_ready(now)
