"""One client connection that speaks HTTP/1: heads and bodies in, answers out, in order.

It reads one request at a time and gives each to an `Exchange`; what comes behind it (pipelined requests, bytes
behind an Upgrade) waits here, and the client is held back when too much waits. An answer leaves in as few
writes as it came in: the head is joined with the first piece of the body.

Every way of closing lets the client see what happened: after an answer that ends the connection early, the
rest of the request is read and thrown away for a while, up to a size, since closing at once would reset the
connection and could take the answer with it (RFC 9112 section 9.6). An answer that broke off is never made to look
whole. Only who has too many connections already is closed at once: it is not to have one more, even for a moment.

Compiled; not a subclass of asyncio.Protocol, since an extension type cannot be one, so it defines all callbacks.
"""

from asyncio import Transport
from math import inf
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from typing import Final

from steelyard import errors
from steelyard.core.clients import client_key
from steelyard.core.crowd import Crowd
from steelyard.core.spec import RespondSpec
from steelyard.errors import Kind, ProtocolError
from steelyard.observe.accesslog import refused_record
from steelyard.proxy.client import Client
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.exchange import Exchange
from steelyard.proxy.half_close import half_close
from steelyard.proxy.unread import unread
from steelyard.wire.answers import fixed_answer, refusal
from steelyard.wire.chunked import ChunkScanner
from steelyard.wire.framing import CHUNKED, LENGTH, UNKNOWN
from steelyard.wire.headers import response_pieces
from steelyard.wire.http1 import RequestHead, ResponseHead, scan_request
from steelyard.wire.peer import UNIX_CLIENT, Peer
from steelyard.wire.slices import cut

# What may wait here behind the request that is being answered.
MAX_AHEAD_BYTES: Final = 64 * 1024
# Requests that are answered at once (fixed answers, refusals) are worked through one after the other; after this many
# it is the others' turn. The client is not read meanwhile, or the event loop would not come to the others either.
MAX_TURNS: Final = 32
# Up to here a body's first piece is joined with the head: one copy is cheaper than a second buffer to write.
JOIN_BYTES: Final = 16 * 1024
# How long the rest of a refused request is read and thrown away.
LINGER_S: Final = 5.0
# And how much of it: as much as a client may have under way (the third number of Linux's tcp_wmem). Who sends more
# has written on when the answer could have come.
LINGER_BYTES: Final = 4 * 1024 * 1024

# struct linger: on, for 0 seconds. Without it the kernel closes politely, whatever is unread or unsent.
RESET_ON_CLOSE: Final = pack("ii", 1, 0)

_HEAD: Final = 0  # before, or within, a request head
_BODY: Final = 1  # within a request body
_ANSWER: Final = 2  # the request is whole, its answer is not
_TUNNEL: Final = 3
_LINGER: Final = 4  # nothing more is sent; what comes is thrown away
_CLOSING: Final = 5  # the last bytes are on their way out
_CLOSED: Final = 6

_CLOSE_LINE: Final = b"Connection: close\r\n"
_KEEP_LINE: Final = b"Connection: keep-alive\r\n"  # an HTTP/1.0 client that asked wants to hear it


class Downstream(Client):
    """A client's connection. counted: the listener's door knows of it.

    body_due: when the next piece of the body must be there by the least rate, on average. held_at: since when that
    clock stands, as we do not read, or the client does not.
    """

    def __init__(self, context: ListenerContext) -> None:
        self.untimed()
        self.takes_chunks = True
        self.context = context
        self.transport: Transport | None = None
        self.peer: Peer | None = None
        self.exchange: Exchange | None = None
        self.state = _HEAD
        self.buffer = b""
        self.at = 0
        self.head_begun = False
        self.reading = False
        self.remaining = 0
        self.scanner: ChunkScanner | None = None
        self.minor = 1
        self.keep = True
        self.to_head_request = False
        self.framing = LENGTH
        self.out: list[bytes] = []
        self.wraps = False
        self.paused = False
        self.full = False
        self.stalled_at = 0
        self.counted = False
        self.crowd: Crowd | None = None
        self.crowd_key = 0
        self.body_due = inf
        self.held_at = 0.0

    # What the event loop calls.

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport
        # What does not go out at once holds its sender back at once: at most one read is in our hands.
        transport.set_write_buffer_limits(0)
        address = transport.get_extra_info("peername")
        context = self.context
        if isinstance(address, str):  # of a unix socket: empty, or a path that means nothing to a backend
            self.peer = context.peer_of(UNIX_CLIENT)
        else:
            self.peer = context.peer_of(address[0] if address else "unknown")
        context.downstreams.add(self)
        if not self.counted:
            self.counted = True
            context.door.enter()
        now = context.wheel.now()
        context.wheel.expect(self, now + context.idle_s)
        if context.crowd is not None and not isinstance(address, str) and not self.peer.trusted:
            self.join(context.crowd, now)

    def join(self, crowd: Crowd, now: float) -> None:
        """Count as a connection of this client, or be closed where it has too many. A trusted proxy is not a client."""
        assert self.peer is not None and self.transport is not None
        self.crowd_key = client_key(self.peer.address)
        if crowd.enter(self.crowd_key):
            self.crowd = crowd
            return
        self.context.door.count_crowded()
        self.record_refused(errors.CROWDED, now)
        self.keep = False
        self.transport.write(refusal(errors.CROWDED, self.last_lines(), False))
        self.shut(now)

    def data_received(self, data: bytes) -> None:
        if self.state == _HEAD:
            self.receive_head(data)
        elif self.state == _BODY:
            now = self.context.wheel.now()
            self.body_due += len(data) * self.context.body_byte_s
            self.deadline = min(now + self.context.body_s, self.body_due)
            pos = self.read_body(data, 0, now)
            if pos < len(data) and (self.state == _ANSWER or self.state == _HEAD):
                self.buffer, self.at = data, pos
                self.read_on()
        elif self.state == _ANSWER:
            self.take_in(data)
            self.hold_back()
        elif self.state == _TUNNEL:
            assert self.exchange is not None
            self.exchange.on_request_body(data, len(data), self.context.wheel.now())
        elif self.state == _LINGER:
            self.remaining -= len(data)
            if self.remaining < 0 and self.transport is not None:
                self.state = _CLOSING
                self.deadline = inf
                self.transport.abort()

    def receive_head(self, data: bytes) -> None:
        """More of a head. It is scanned anew only when a line was ended, so that dribbled bytes cost little."""
        begun = self.waiting() > 0
        self.take_in(data)
        if begun and b"\n" not in data and self.waiting() < self.context.max_head_bytes:
            return
        self.read_on()

    def take_in(self, data: bytes) -> None:
        """Put bytes behind those that wait."""
        if self.waiting() > 0:
            data = cut(self.buffer, self.at, len(self.buffer)) + data
        self.buffer = data
        self.at = 0

    def waiting(self) -> int:
        """How many bytes wait to be understood."""
        return len(self.buffer) - self.at

    def most_ahead(self) -> int:
        """How many bytes may wait: a head must fit, whatever its limit."""
        return max(MAX_AHEAD_BYTES, self.context.max_head_bytes)

    def hold_back(self) -> None:
        """Read no more from a client that is far ahead of its answers; read on when it no longer is."""
        if self.waiting() > self.most_ahead():
            self.pause()
        elif self.paused and self.state == _HEAD:
            self.resume(self.context.wheel.now())

    def read_on(self) -> None:
        """Work through what waits, request by request, as long as each is answered at once."""
        if self.reading:
            return  # called back by an exchange that ended at once: the loop below is still running
        self.reading = True
        turns = MAX_TURNS
        try:
            while self.state == _HEAD and not self.full and self.waiting() > 0:
                if turns == 0:
                    self.pause()
                    self.context.loop.call_soon(self.read_on)
                    return
                turns -= 1
                if not self.read_request():
                    break
        finally:
            self.reading = False
        if self.state == _HEAD:
            self.hold_back()

    def read_request(self) -> bool:
        """Read one request from the buffer and start its exchange; False when it has not all come."""
        data = self.buffer
        context = self.context
        now = context.wheel.now()
        assert self.peer is not None
        try:
            head = scan_request(
                data, self.at, context.max_head_bytes, context.max_fields, self.peer.trusted, context.underscores
            )
        except ProtocolError as exc:
            self.reject(exc.kind, now)
            return False
        if head is None:
            if not self.head_begun:
                self.head_begun = True
                context.wheel.expect(self, now + context.head_s)
            return False
        self.begin(head, data, now)
        return True

    def begin(self, head: RequestHead, data: bytes, now: float) -> None:
        """A head is whole: what of its body has come goes with it, so that both leave in one write."""
        assert self.peer is not None
        self.head_begun = False
        self.deadline = inf
        self.minor = head.minor
        self.takes_chunks = head.minor == 1
        self.keep = not head.close and (head.minor == 1 or head.keep_alive)
        self.to_head_request = head.method == b"HEAD"
        exchange = Exchange(self, self.context, head, self.peer, now)
        self.exchange = exchange
        pos = head.end
        if head.chunked or head.content_length > 0:
            self.state = _BODY
            self.scanner = ChunkScanner() if head.chunked else None
            self.remaining = head.content_length
            self.body_due = inf
            if self.context.body_byte_s > 0.0:
                self.body_due = now + self.context.body_s + (len(data) - pos) * self.context.body_byte_s
            self.await_body(now)
            if self.paused or self.full:  # held back while it was ahead: its time begins when we read on
                self.held_at = now
                if not self.full:
                    self.deadline = inf
            if pos < len(data):
                pos = self.read_body(data, pos, now)
            if self.exchange is not exchange:
                return
        else:
            self.state = _ANSWER
            exchange.on_request_end(now)
        if pos < len(data):
            self.at = pos
        else:
            self.forget()
        exchange.start(now)

    def await_body(self, now: float) -> None:
        """More of the body must come in time: soon, and at the least rate on average."""
        self.context.wheel.expect(self, min(now + self.context.body_s, self.body_due))

    def await_body_again(self, now: float) -> None:
        """After a while in which its deadline did not hold: that time is not counted."""
        self.body_due += now - self.held_at
        self.await_body(now)

    def forget(self) -> None:
        """Nothing waits (any more)."""
        self.buffer = b""
        self.at = 0

    def read_body(self, data: bytes, pos: int, now: float) -> int:
        """Give a piece of the request's body to the exchange; the index behind what belongs to it."""
        size = len(data)
        exchange = self.exchange
        assert exchange is not None
        scanner = self.scanner
        if scanner is None:
            take = size - pos
            if take > self.remaining:
                take = self.remaining
            self.remaining -= take
            if self.remaining == 0:
                self.body_ended()
            exchange.on_request_body(data if take == size else cut(data, pos, pos + take), take, now)
            pos += take
        else:
            before = scanner.data_bytes
            try:
                stop = scanner.feed(data, pos)
            except ProtocolError as exc:
                self.break_off(exc.kind, now)
                return size
            if scanner.done:
                self.body_ended()
            if scanner.passed > pos:
                exchange.on_request_body(cut(data, pos, scanner.passed), scanner.data_bytes - before, now)
            if scanner.tail and self.exchange is exchange:
                exchange.on_request_body(scanner.tail, 0, now)
            pos = stop
        if self.state == _ANSWER and self.exchange is exchange:
            exchange.on_request_end(now)
        return pos

    def body_ended(self) -> None:
        self.state = _ANSWER
        self.deadline = inf
        self.scanner = None

    def break_off(self, kind: Kind, now: float) -> None:
        """The request turned out to break the rules within its body: the backend's half of it is abandoned."""
        exchange = self.exchange
        assert exchange is not None
        begun = exchange.status != 0
        exchange.on_client_gone(kind, now)
        if begun:
            self.abort(kind)
        else:
            self.refuse(kind, 1, now)

    def eof_received(self) -> bool:
        """The client sends no more. Outside a tunnel that means it is gone, as it does for nginx."""
        if self.state == _TUNNEL and self.exchange is not None:
            self.exchange.on_client_eof(self.context.wheel.now())
            return self.state == _TUNNEL
        self.leave(errors.CLIENT_GONE)
        self.state = _CLOSING  # what it is still owed goes out; what it still asks is nobody's any more
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave(errors.CLIENT_GONE)
        self.state = _CLOSED
        self.context.wheel.forget(self)
        self.context.downstreams.discard(self)
        self.transport = None
        self.forget()
        self.uncount()

    def uncount(self) -> None:
        """The listener has a connection less."""
        crowd = self.crowd
        self.crowd = None
        if crowd is not None:
            crowd.leave(self.crowd_key)
        if self.counted:
            self.counted = False
            self.context.door.leave()
            if self.context.on_leave is not None:
                self.context.on_leave()

    def leave(self, kind: Kind) -> None:
        """The exchange, if there is one, loses its client."""
        exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            exchange.on_client_gone(kind, self.context.wheel.now())

    def pause_writing(self) -> None:
        self.full = True
        if self.transport is not None:
            self.stalled_at = unread(self.transport)
        now = self.context.wheel.now()
        if not self.paused:
            self.held_at = now
        self.context.wheel.expect(self, now + self.context.write_s)
        if self.exchange is not None:
            self.exchange.on_client_full()

    def resume_writing(self) -> None:
        self.full = False
        now = self.context.wheel.now()
        self.deadline = inf
        if self.exchange is not None:
            if self.state == _BODY and not self.paused:
                self.await_body_again(now)
            self.exchange.on_client_ready(now)
        elif self.state == _HEAD:
            if not self.head_begun:
                self.rest(now)
            self.read_on()
        elif self.state == _LINGER:
            self.context.wheel.expect(self, now + LINGER_S)

    def on_deadline(self, now: float) -> None:
        if self.full and self.transport is not None:
            left = unread(self.transport)
            if left < self.stalled_at:
                self.stalled_at = left
                self.context.wheel.expect(self, now + self.context.write_s)
                return
            self.leave(errors.CLIENT_TOO_SLOW)
            self.drop()
        elif self.state == _BODY:
            self.break_off(errors.REQUEST_TIMEOUT, now)
        elif self.state == _HEAD and self.head_begun:
            self.reject(errors.REQUEST_TIMEOUT, now)
        elif self.state == _HEAD:
            self.shut(now)
        elif self.state == _LINGER and self.transport is not None:
            self.transport.abort()  # it has its answer: no reset
        else:
            self.drop()

    # What the exchange calls.

    def send_interim(self, head: ResponseHead) -> None:
        if self.minor == 1 and self.transport is not None:  # RFC 9110 section 15.2: HTTP/1.0 knows none
            self.transport.write(b"".join(response_pieces(head, 0, b"")))

    def send_head(self, head: ResponseHead, framing: int) -> None:
        self.framing = framing
        if self.state == _BODY or self.context.stopping:
            self.keep = False
        if framing == UNKNOWN:
            if self.minor == 1:
                self.wraps = True
                framing = CHUNKED
            else:
                self.keep = False
        last = self.connection_line()
        if not head.has_date:
            last += self.context.date_line()
        self.out = response_pieces(head, framing, last)

    def connection_line(self) -> bytes:
        if not self.keep:
            return _CLOSE_LINE
        return b"" if self.minor == 1 else _KEEP_LINE

    def last_lines(self) -> bytes:
        """Date and Connection of an answer of our own."""
        date_line: bytes = self.context.date_line()
        return date_line + self.connection_line()

    def send_body(self, data: bytes) -> None:
        if self.transport is None:
            return
        if self.wraps:
            self.out.append(b"%x\r\n" % len(data))
            self.out.append(data)
            self.out.append(b"\r\n")
            self.flush()
        elif self.out:
            self.out.append(data)
            if len(data) > JOIN_BYTES:
                self.flush()
        else:
            self.transport.write(data)

    def flush(self) -> None:
        out = self.out
        if out and self.transport is not None:
            self.out = []
            if len(out[len(out) - 1]) > JOIN_BYTES:
                body = out.pop()
                self.transport.writelines([b"".join(out), body])
            else:
                self.transport.write(b"".join(out))

    def end(self, now: float) -> None:
        if self.wraps:
            self.wraps = False
            self.out.append(b"0\r\n\r\n")
        if self.out:
            self.flush()
        self.exchange = None
        if self.state == _BODY:
            self.linger(now)
        elif not self.keep:
            self.shut(now)
        else:
            self.rest(now)
            if not self.reading:
                self.read_on()

    def rest(self, now: float) -> None:
        """Between two requests."""
        self.state = _HEAD
        if not self.full:
            self.context.wheel.expect(self, now + self.context.idle_s)

    def abort(self, kind: Kind) -> None:
        self.exchange = None
        if self.transport is None:
            return
        if self.framing == UNKNOWN and self.minor == 0:
            self.drop()  # only a reset can tell this client that the answer is not whole
        else:
            self.flush()
            self.shut(self.context.wheel.now())

    def respond(self, spec: RespondSpec, now: float) -> None:
        if self.state == _BODY or self.context.stopping:
            self.keep = False
        body = spec.body.encode()
        self.out.append(fixed_answer(spec.status, body, spec.content_type, self.last_lines(), self.to_head_request))
        self.end(now)

    def refuse(self, kind: Kind, retry_after_s: int, now: float) -> None:
        if self.state == _BODY or self.context.stopping or kind.closes:
            self.keep = False
        if kind.status == 0:
            self.exchange = None
            self.drop()
            return
        self.out = [refusal(kind, self.last_lines(), self.to_head_request, retry_after_s)]
        self.wraps = False
        if not self.keep:
            self.state = _BODY  # whatever may still come is no request any more
        self.end(now)

    def reject(self, kind: Kind, now: float) -> None:
        """Refuse bytes that never became a request."""
        self.record_refused(kind, now)
        self.minor = 1
        self.to_head_request = False
        self.refuse(kind, 1, now)

    def record_refused(self, kind: Kind, now: float) -> None:
        """Count and log the end of what never became a request."""
        self.context.counters.ended(kind)
        if self.context.on_record is not None:
            assert self.peer is not None
            self.context.on_record(refused_record(now, self.peer.address, self.context.name, kind, kind.status))

    def switch(self, head: ResponseHead) -> None:
        assert self.transport is not None and self.exchange is not None and head.upgrade is not None
        line = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % head.upgrade
        self.transport.write(b"".join(response_pieces(head, 0, line)))
        self.state = _TUNNEL
        self.deadline = inf
        data = cut(self.buffer, self.at, len(self.buffer))
        self.forget()
        if self.paused:
            self.resume(self.context.wheel.now())
        if data:
            self.exchange.on_request_body(data, len(data), self.context.wheel.now())

    def send_eof(self) -> None:
        if self.transport is not None:
            half_close(self.transport)

    def close(self, now: float) -> None:
        self.exchange = None
        self.shut(now)

    def pause(self) -> None:
        if not self.paused and self.transport is not None and self.state < _LINGER:
            self.paused = True
            if self.state == _BODY and not self.full:
                self.held_at = self.context.wheel.now()
                self.deadline = inf
            self.transport.pause_reading()

    def resume(self, now: float) -> None:
        if self.state == _ANSWER and self.waiting() > self.most_ahead():
            return  # enough waits here already
        if self.paused and self.transport is not None and self.state < _CLOSING:
            self.paused = False
            self.transport.resume_reading()
            if self.state == _BODY and not self.full:
                self.await_body_again(now)

    # Ways to close.

    def linger(self, now: float) -> None:
        """Nothing more is sent; what still comes is thrown away: for LINGER_S, up to LINGER_BYTES."""
        self.resume(now)
        self.state = _LINGER
        self.remaining = LINGER_BYTES
        self.forget()
        self.scanner = None
        if self.transport is not None:
            half_close(self.transport)
            if not self.full:
                self.context.wheel.expect(self, now + LINGER_S)

    def shut(self, now: float) -> None:
        """Close when the last bytes are out."""
        transport = self.transport
        if self.state != _CLOSED and transport is not None:
            self.state = _CLOSING
            self.deadline = inf
            transport.close()
            if transport.get_write_buffer_size() > 0:
                self.context.wheel.expect(self, now + self.context.write_s)

    def drop(self) -> None:
        """Close at once, with a reset: a client that reads to the end sees that this is none."""
        self.state = _CLOSING
        if self.transport is not None:
            sock = self.transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(SOL_SOCKET, SO_LINGER, RESET_ON_CLOSE)
            self.transport.abort()

    def retire(self, now: float) -> None:
        """The balancer stops: an idle connection closes, a busy one after its answer."""
        if self.state == _HEAD and not self.head_begun:
            self.shut(now)
        elif self.state == _TUNNEL:
            pass  # lives until it ends or the drain is over
        else:
            self.keep = False

    def meet_again(self) -> None:
        """Whom the listener trusts may have changed."""
        if self.peer is not None:
            self.peer = self.context.peer_of(self.peer.address)

    def cut(self) -> None:
        """The balancer stops now: close whatever is going on."""
        self.leave(errors.STOPPING)
        self.drop()
