"""A TCP connection passed on: what the client sends goes to one backend, what that sends goes to the client.

Bytes are not looked at, and not held: who sends faster than the other side reads is not read. What the client sends
before it has its backend is read once, and the rest waits in the kernel; uvloop reads as soon as a connection is there,
whatever `connection_made` says. Who is not read is not heard to leave, so until then it is looked at now and then.

Each side may end before the other (half-close): its end is passed on behind its last byte, and the other direction goes
on. A reset is passed on as a reset, at once, and so is everything that is no end of either side's own: no backend, a
timeout, our stop. What was cut off must not look whole (nginx's stream proxy and HAProxy close politely there).

Compiled; not subclasses of asyncio.Protocol, since an extension type cannot be one, so they define all callbacks.
Source: nginx ngx_stream_proxy_module (proxy_half_close), RFC 9293 section 3.6 (half-closed connections).
"""

from asyncio import Transport
from socket import socket
from typing import Any, Final

from steelyard import errors
from steelyard.core.backend import Backend
from steelyard.errors import Kind
from steelyard.proxy.broken import is_broken
from steelyard.proxy.call import Call
from steelyard.proxy.connections import PoolConnections
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.guest import reset
from steelyard.proxy.half_close import half_close
from steelyard.proxy.reach import Reach
from steelyard.proxy.unread import unread

# A client that is gone keeps its place for so long; each that waits for its backend costs a system call as often.
LOOK_EVERY_S: Final = 0.5


class TcpUpstream:
    """The backend's side of a connection. downstream: the client's, until one of them is gone.

    ended: it sends no more. full: it reads too slowly.
    """

    def __init__(self, downstream: "TcpDownstream") -> None:
        self.downstream: TcpDownstream | None = downstream
        self.transport: Transport | None = None
        self.sock: socket | None = None
        self.ended = False
        self.full = False

    def fit(self) -> bool:
        """Whether it can be used: it may have spoken already, or even ended, and all that is passed on."""
        return True

    def close(self) -> None:
        """End it at once; the downstream is told nothing."""
        self.downstream = None
        reset(self.transport)
        self.transport = None

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(0)
        if self.downstream is None:
            self.close()

    def data_received(self, data: bytes) -> None:
        downstream = self.downstream
        if downstream is not None:
            downstream.send(data)
            # Here, and not in the client's `pause_writing`: it may speak before the client's side knows of it.
            if downstream.full and self.transport is not None:
                self.transport.pause_reading()

    def eof_received(self) -> bool:
        """It sends no more: True keeps our side open, as the client may have more to say."""
        downstream = self.downstream
        if downstream is None:
            return False
        self.ended = True
        downstream.on_upstream_end()
        return self.downstream is not None

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        downstream = self.downstream
        self.downstream = None
        if downstream is not None:
            downstream.on_upstream_lost()

    def pause_writing(self) -> None:
        self.full = True
        downstream = self.downstream
        if downstream is not None and downstream.transport is not None:
            downstream.unsent = downstream.held_bytes()
            downstream.transport.pause_reading()

    def resume_writing(self) -> None:
        self.full = False
        downstream = self.downstream
        if downstream is not None and downstream.transport is not None:
            downstream.passed()
            if not downstream.ended:
                downstream.transport.resume_reading()


class TcpDownstream(Reach):
    """The client's side of a connection, and the owner of both.

    ahead: what the client has sent before there was a backend. ended: it sends no more. full: it reads too slowly.
    unsent: bytes that are not read, at the last look. over: the end is counted; at most the last bytes go out still.
    """

    def __init__(self, context: ListenerContext) -> None:
        self.begin(context)
        self.upstream: TcpUpstream | None = None
        self.ahead = b""
        self.ended = False
        self.full = False
        self.unsent = 0
        self.over = False
        self.awaited = False
        self.idle_s = 0.0

    # The beginning.

    def connection_made(self, transport: Transport) -> None:
        if not self.arrive(transport):
            self.over = True
            return
        now = self.context.wheel.now()
        self.reach(Call(self.client, self.context.below, now), now)

    def upstream_for(self, backend: Backend) -> TcpUpstream:
        return TcpUpstream(self)

    def on_reached(self, reached: Any, now: float) -> None:
        upstream: TcpUpstream = reached
        connections: PoolConnections | None = self.connections
        assert connections is not None
        if self.over or upstream.transport is None:  # it was reset in the very moment that it was opened
            upstream.close()
            self.on_upstream_lost()
            return
        self.upstream = upstream
        self.asked_at = now
        self.idle_s = connections.tunnel_s
        self.context.wheel.expect(self, now + self.idle_s)
        if not (self.full or upstream.ended):
            upstream.transport.resume_reading()  # it may have been held back before it was known here
        if self.ahead:
            upstream.transport.write(self.ahead)
            self.ahead = b""
        if self.ended:
            self.pass_end_on(upstream)
        elif self.transport is not None and not upstream.full:
            self.transport.resume_reading()

    def on_unreached(self, kind: Kind, now: float) -> None:
        self.finish(kind, now)
        reset(self.transport)

    # The client sends.

    def data_received(self, data: bytes) -> None:
        upstream = self.upstream
        if upstream is None or upstream.transport is None:
            if not self.over and self.transport is not None:
                self.ahead += data
                self.received += len(data)
                self.transport.pause_reading()
                self.look_later()
            return
        now = self.context.wheel.now()
        self.deadline = now + self.idle_s
        if not self.awaited and self.latency_s < 0.0:
            self.awaited = True
            self.asked_at = now
        self.received += len(data)
        upstream.transport.write(data)

    def eof_received(self) -> bool:
        """The client sends no more: True keeps our side open, as its backend may have more to say."""
        self.ended = True
        upstream = self.upstream
        if upstream is not None:
            self.pass_end_on(upstream)
        else:
            self.look_later()
        return not self.over

    def look_later(self) -> None:
        """It is not read before it has its backend: see now and then whether it is there still."""
        if self.dial is not None:
            self.context.wheel.expect(self, self.context.wheel.now() + LOOK_EVERY_S)

    def pass_end_on(self, upstream: TcpUpstream) -> None:
        """The client sends no more: nor do we to its backend, behind what was sent."""
        if upstream.ended:
            self.end_both()
        elif upstream.transport is not None:
            half_close(upstream.transport)
            self.deadline = self.context.wheel.now() + self.idle_s

    def pause_writing(self) -> None:
        self.full = True
        self.unsent = self.held_bytes()

    def resume_writing(self) -> None:
        self.full = False
        upstream = self.upstream
        if upstream is not None and upstream.transport is not None:
            self.passed()
            if not upstream.ended:
                upstream.transport.resume_reading()

    def held_bytes(self) -> int:
        """What waits for who reads slowly, either way."""
        upstream = self.upstream
        size: int = 0 if self.transport is None else unread(self.transport)
        if upstream is not None and upstream.transport is not None:
            size += unread(upstream.transport)
        return size

    def passed(self) -> None:
        """What was in our hands has been read."""
        self.unsent = self.held_bytes()
        self.deadline = self.context.wheel.now() + self.idle_s

    # Its backend sends.

    def send(self, data: bytes) -> None:
        """Pass on what the backend has sent."""
        now = self.context.wheel.now()
        self.deadline = now + self.idle_s
        if self.latency_s < 0.0:
            self.answered(now)
        self.sent += len(data)
        if self.transport is not None:
            self.transport.write(data)

    def on_upstream_end(self) -> None:
        """The backend sends no more. It may do so before it is reached: then `on_reached` ends both."""
        if self.ended and self.upstream is not None:
            self.end_both()
        elif self.transport is not None:
            half_close(self.transport)
            self.deadline = self.context.wheel.now() + self.idle_s

    def on_upstream_lost(self) -> None:
        """The connection to the backend is gone before both sides had ended."""
        self.upstream = None
        # Before it has sent anything it is a server that failed; later it is one that had enough.
        self.finish(errors.CLOSED_EARLY if self.latency_s < 0.0 else errors.TRUNCATED, self.context.wheel.now())
        reset(self.transport)

    # The end.

    def end_both(self) -> None:
        """Both sides have ended: what is still to go out goes, and then the connections close."""
        upstream = self.upstream
        self.upstream = None
        if upstream is not None and upstream.transport is not None:
            upstream.downstream = None
            upstream.transport.close()
        self.finish(None, self.context.wheel.now())
        if self.transport is not None:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.give_up(errors.CLIENT_GONE)
        self.depart()

    def on_deadline(self, now: float) -> None:
        if self.dial is not None and self.transport is not None:
            if is_broken(self.transport):
                self.give_up(errors.CLIENT_GONE)
                reset(self.transport)
            else:
                self.look_later()
            return
        left = self.held_bytes()
        if left < self.unsent:  # somebody reads, if slowly
            self.unsent = left
            self.context.wheel.expect(self, now + (self.context.write_s if self.over else self.idle_s))
        elif self.over:  # what is left of it does not go out
            reset(self.transport)
        else:
            self.give_up(errors.IDLE)
            reset(self.transport)

    def cut(self) -> None:
        self.give_up(errors.STOPPING)
        reset(self.transport)

    def give_up(self, kind: Kind) -> None:
        """End what has not ended, with a reset for the backend."""
        self.stop_reaching()
        upstream = self.upstream
        self.upstream = None
        if upstream is not None:
            upstream.close()
        self.finish(kind, self.context.wheel.now())

    def finish(self, kind: Kind | None, now: float) -> None:
        """The only exit: the backend is given back, and the end is counted once."""
        if self.over:
            return
        self.over = True
        self.let_go(kind is errors.CLOSED_EARLY, now, True)
        self.note_end(kind, now)
        # What was written goes out still, as long as it is read.
        self.unsent = self.held_bytes()
        if self.transport is not None:
            self.context.wheel.expect(self, now + self.context.write_s)
