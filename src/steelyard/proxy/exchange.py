"""One request's whole life, top to bottom: route, backend, tries, answer, and the one way out.

    start -> route -> acquire -> take or dial -> send -> on_head, on_body ... on_end -> _finish
                ^        ^                                    |
       (body) --+        +------ may_retry? ---- on_failed <--+

Where the pool looks into bodies, the request waits for its own before it is routed to a backend (body_start.py).

From `start` to `_finish` the exchange alone owns its request. Each backend that it acquires is released exactly
once, in `_release`; `_finish` is the only exit. It does not know how its client speaks: it is given a head, and
answers through the calls of `Client`. Nothing here waits: every step is called by an event.

Source: the shape is mitmproxy's layers and Envoy's filter manager; rules of retries in core/retry.py.
"""

from asyncio import TimerHandle
from math import inf
from typing import Any, Final

from steelyard import errors
from steelyard.core.backend import Backend
from steelyard.core.policy import UNKNOWN_S, Pick
from steelyard.core.retry import IDEMPOTENT, may_retry
from steelyard.core.router import AMBIGUOUS, Route
from steelyard.core.sticky import Stickiness
from steelyard.errors import Kind, Phase, Side
from steelyard.observe.accesslog import Record
from steelyard.proxy.body_start import BodyStart
from steelyard.proxy.client import Client
from steelyard.proxy.connections import Connections, PoolConnections
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.dial import Dial
from steelyard.proxy.receiver import Receiver
from steelyard.proxy.request import Request
from steelyard.proxy.upstream import Upstream
from steelyard.wire.headers import request_bytes
from steelyard.wire.http1 import RequestHead, ResponseHead
from steelyard.wire.peer import Peer

_IDEMPOTENT: Final = frozenset([method.encode() for method in IDEMPOTENT])


def _interim(status: int, line: bytes) -> ResponseHead:
    head = ResponseHead()
    head.status, head.line = status, line
    return head


_GO_ON: Final = _interim(100, b"100 Continue")


class Exchange(Receiver):
    """One request and its answer, with all tries.

    body: the pieces of the request's body that may have to be sent (again); None when they were let go.
    awaits_body: no backend is chosen before more of it is there. continued: we told the client to send it.
    """

    def __init__(self, client: Client, context: ListenerContext, head: RequestHead, peer: Peer, now: float) -> None:
        self.untimed()
        self.client: Client | None = client
        self.context = context
        self.head = head
        self.request = Request(head, peer, context.below, now)
        self.started = now
        self.route: Route | None = None
        self.connections: PoolConnections | None = None
        self.backend: Backend | None = None
        self.upstream: Upstream | None = None
        self.dial: Dial | None = None
        self.timer: TimerHandle | None = None
        self.request_head = b""
        self.body: list[bytes] | None = None
        self.body_held = True
        self.awaits_body = False
        self.continued = False
        self.body_bytes = 0
        self.held_bytes = 0
        self.request_done = False
        self.tries = 0
        self.tries_here = 0
        self.stale_retried = False
        self.asked_at = now
        self.latency_s = UNKNOWN_S  # of this try
        self.status = 0
        self.retry_after_s = 1
        self.sent_bytes = 0
        self.tunnel = False
        self.client_eof = False
        self.upstream_eof = False
        self.client_full = False
        self.finished = False
        self.label = "-"

    # The client's side.

    def start(self, now: float) -> None:
        """Route the request and send it on its way. What of its body has come was told before."""
        route = self.context.router.only
        if route is None:
            route = self.context.router.match(self.request)
            if route is None:
                self._refuse(errors.NO_ROUTE, now)
                return
            if route is AMBIGUOUS:
                self._refuse(errors.AMBIGUOUS_PATH, now)
                return
        self.route = route
        if route.max_body_bytes >= 0 and max(self.head.content_length, self.body_bytes) > route.max_body_bytes:
            self._refuse(errors.BODY_TOO_LARGE, now)
            return
        if route.pool is None:
            self._respond(route, now)
            return
        self.connections = route.pool  # type: ignore[assignment]
        assert self.connections is not None
        if self.connections.total_s >= 0.0:
            self.context.wheel.expect(self, now + self.connections.total_s)
        if self.connections.pool.reads_body and self._read_ahead(now):
            return
        self._first_try(now)

    def on_request_body(self, data: bytes, size: int, now: float) -> None:
        """A piece of the request's body with its framing, size bytes without; in a tunnel, bytes to pass on."""
        if self.tunnel:
            assert self.upstream is not None
            self._touch_tunnel(now)
            self.body_bytes += size
            self.upstream.write(data)
            return
        self.body_bytes += size
        self.held_bytes += len(data)
        if self.route is not None and 0 <= self.route.max_body_bytes < self.body_bytes:
            self._fail_for_good(errors.BODY_TOO_LARGE, now)
            return
        if self.upstream is None or self.body_held:
            if self.body is None:
                self.body = []
            self.body.append(data)
        if self.upstream is not None:
            self._let_go()
            self.upstream.write(data)
        elif self.awaits_body:
            start = self.request.body
            assert start is not None
            start.take(data)
            if not start.wanted:
                self._stop_waiting(now)
        elif self.route is not None and self.client is not None:
            self.client.pause()  # until there is a connection to send it on

    def on_request_end(self, now: float) -> None:
        """The request is whole."""
        self.request_done = True
        if self.upstream is not None:
            self.upstream.await_answer(now)
        elif self.awaits_body:
            assert self.request.body is not None
            self.request.body.end()
            self._stop_waiting(now)

    def on_client_full(self) -> None:
        """The client reads slower than the backend sends."""
        self.client_full = True
        if self.upstream is not None:
            self.upstream.pause()

    def on_client_ready(self, now: float) -> None:
        """It has read what there was."""
        self.client_full = False
        if self.upstream is not None:
            self.upstream.resume(now)

    def on_client_eof(self, now: float) -> None:
        """In a tunnel: the client will send no more."""
        self.client_eof = True
        if self.upstream_eof:
            self._end_tunnel(now)
        elif self.upstream is not None:
            self.upstream.write_eof()

    def on_client_gone(self, kind: Kind, now: float) -> None:
        """Nobody waits for the answer any more."""
        if self.finished:
            return
        if self.upstream is not None:
            if self.tunnel:
                self.upstream.finish(now)
            else:
                self.upstream.close()
            self.upstream = None
        if not self.status:
            self.status = kind.status
        self._finish(None if self.tunnel and kind is errors.CLIENT_GONE else kind, now)

    # Choosing a backend.

    def _read_ahead(self, now: float) -> bool:
        """Let the pool see the body, as far as it has come; whether it must wait for more."""
        assert self.client is not None
        start = BodyStart(self.head)
        self.request.body = start
        for piece in self.body or ():
            start.take(piece)
        if self.request_done:
            start.end()
        if not start.wanted:
            return False
        self.awaits_body = True
        if self.head.expects_continue and self.body is None:
            # The client waits for somebody to say so, and no backend can yet (RFC 9110 section 10.1.1).
            self.continued = True
            self.client.send_interim(_GO_ON)
        self.client.resume(now)  # it may have been held back while it was ahead of its answers
        return True

    def _stop_waiting(self, now: float) -> None:
        """All that the pool may see of the body is there. The time that the client took is not the backend's."""
        self.awaits_body = False
        self.request.now = now
        self.asked_at = now
        self._first_try(now)

    def _first_try(self, now: float) -> None:
        assert self.connections is not None
        chosen = self.connections.pool.acquire(self.request)
        if not isinstance(chosen, Backend):
            self.retry_after_s = chosen.retry_after_s
            self._refuse(chosen.kind, now)
            return
        if self.request.body is not None and not self.connections.pool.policy.reads_body:
            self.request.body = None  # the key was taken of it; parsed, it may take twenty times its bytes
        if self.connections.probes is not None:
            self.connections.probes.wake(now)
        self._open(chosen, now, False)

    def _open(self, backend: Backend, now: float, fresh: bool) -> None:
        """Get a connection to an acquired backend. fresh: not a kept one."""
        assert self.connections is not None
        self.backend = backend
        self.tries += 1
        kept: Connections = self.connections.of(backend)
        upstream = None if fresh else kept.take()
        if upstream is None:
            self.dial = kept.dial(self._on_dialled)
            if self.client is not None and not self.request_done:
                self.client.pause()
        else:
            self._send(upstream, now)

    def _on_dialled(self, upstream: Upstream | None, kind: Kind | None, detail: str) -> None:
        now = self.context.wheel.now()
        self.dial = None
        if upstream is None:
            assert kind is not None
            self.on_failed(kind, detail, now)
        else:
            self._send(upstream, now)

    def _send(self, upstream: Upstream, now: float) -> None:
        """The request goes out, as far as it has come."""
        assert self.connections is not None and self.client is not None
        self.upstream = upstream
        if not self.request_head:
            self.request_head = request_bytes(self.head, self.request.peer)
        to_head_request = self.head.method == b"HEAD"
        upstream.ask(self, to_head_request, not self.client.takes_chunks, self.connections.response_s)
        if self.request_done:
            upstream.await_answer(now)
        if self.body is None:
            upstream.write(self.request_head)
        else:
            upstream.write_all([self.request_head, *self.body])
            self._let_go()
        if self.client_full:
            upstream.pause()
        if upstream.full:
            self.client.pause()
        else:
            self.client.resume(now)

    def _let_go(self) -> None:
        """Keep the sent pieces only while they may be needed for another try."""
        assert self.connections is not None
        if self.held_bytes > self.connections.hold_bytes or self.head.method not in _IDEMPOTENT:
            self.body = None
            self.body_held = False

    # The backend's side.

    def on_interim(self, head: ResponseHead) -> None:
        if self.client is not None and not (self.continued and head.status == 100):  # once is enough
            self.client.send_interim(head)

    def on_switch(self, head: ResponseHead, now: float) -> bool:
        asked, given = self.head.upgrade, head.upgrade
        if asked is None or given is None or asked.lower() != given.lower():
            return False
        if not head.names_upgrade or self.client is None:
            return False
        self.status = 101
        self.latency_s = now - self.asked_at
        self.tunnel = True
        self._touch_tunnel(now)
        self._remember_backend(head)
        self.client.switch(head)
        return True

    def on_head(self, head: ResponseHead, framing: int, now: float) -> None:
        connections = self.connections
        assert connections is not None and self.backend is not None and self.client is not None
        self.latency_s = now - self.asked_at
        if head.status < 500:  # an error answer does not speak for the backend that gave it
            connections.pool.answered(self.backend, now)
        if connections.on_status and head.status in connections.on_status:
            other = self._elsewhere(errors.STATUS, now)
            if other is not None:
                assert self.upstream is not None
                self.upstream.close()
                self.upstream = None
                self._move(other, now, head.status)
                return
        self.status = head.status
        self.request.body = None  # there is no further choice
        if connections.pool.sticky is not None and head.status < 500:
            self._remember_backend(head)
        self.client.send_head(head, framing)

    def _remember_backend(self, head: ResponseHead) -> None:
        """Give the client a cookie that brings it back here, behind those that the backend gives it."""
        assert self.connections is not None and self.backend is not None
        sticky: Stickiness | None = self.connections.pool.sticky
        if sticky is not None:
            line = sticky.set_cookie(self.request, self.backend)
            if line is not None:
                head.runs.append(b"Set-Cookie: %b\r\n" % line.encode())

    def on_body(self, data: bytes, size: int, now: float) -> None:
        if self.tunnel:
            self._touch_tunnel(now)
        self.sent_bytes += size
        if self.client is not None:
            self.client.send_body(data)

    def on_pause(self) -> None:
        if self.client is not None:
            self.client.flush()

    def on_end(self, reusable: bool, now: float) -> None:
        client, upstream = self.client, self.upstream
        assert self.connections is not None and self.backend is not None and client is not None and upstream is not None
        self.upstream = None
        if reusable and self.request_done and not upstream.full:
            kept: Connections = self.connections.of(self.backend)
            kept.give(upstream, now)
        else:
            # An answer that came before the request's end: the rest of it must not be taken for a new one.
            upstream.close()
        self._finish(None, now)
        client.end(now)

    def on_upstream_full(self) -> None:
        if self.client is not None:
            self.client.pause()

    def on_upstream_ready(self, now: float) -> None:
        if self.client is not None:
            self.client.resume(now)

    def on_upstream_eof(self, now: float) -> None:
        self.upstream_eof = True
        if self.client_eof:
            self._end_tunnel(now)
        elif self.client is not None:
            self.client.send_eof()

    # When something fails.

    def on_failed(self, kind: Kind, detail: str, now: float) -> None:
        self.upstream = None
        backend, connections, client = self.backend, self.connections, self.client
        assert backend is not None and connections is not None and client is not None
        if self.status:
            client.abort(kind)
            self._finish(kind, now)
            return
        safe = may_retry(kind, self.head.method in _IDEMPOTENT, self.body_held, False)
        if kind is errors.STALE and safe and not self.stale_retried:
            # The backend closed a kept connection, as it may: no failure of its own, and no retry to count.
            self.stale_retried = True
            self.tries -= 1
            self._open(backend, now, True)
            return
        if safe and self.tries_here < connections.same_backend and connections.pool.bears_retry(kind, now):
            self.tries_here += 1
            self.timer = self.context.loop.call_later(connections.delay_s, self._try_again)
            return
        changed = kind.phase is Phase.CONNECT and connections.pool.connect_failed(backend, now)
        if connections.mark_down and safe:
            changed = connections.pool.mark_down(backend, now) or changed
        if changed:
            connections.on_change(connections.pool, backend, False, detail)
        other = self._elsewhere(kind, now)
        if other is not None:
            self._move(other, now)
        else:
            # With mark_down every backend that was tried is down now: the client hears what all others will.
            if connections.mark_down and safe:
                kind = errors.NONE_UP
                self.retry_after_s = connections.pool.none_up.retry_after_s
            self._refuse(kind, now)

    def _try_again(self) -> None:
        """One more try at the same backend, which is still acquired."""
        self.timer = None
        assert self.backend is not None
        self._open(self.backend, self.context.wheel.now(), False)

    def _elsewhere(self, kind: Kind, now: float) -> Backend | None:
        """Another backend for one more try, acquired; None when no more try is allowed, or there is no other."""
        connections = self.connections
        assert connections is not None and self.backend is not None
        if self.request.tried is None:
            self.request.tried = []
        if len(self.request.tried) + 1 >= connections.tries:
            return None
        if not may_retry(kind, self.head.method in _IDEMPOTENT, self.body_held, False):
            return None
        self.request.tried.append(self.backend)
        self.request.now = now
        if not connections.pool.has_other(self.request) or not connections.pool.bears_retry(kind, now):
            return None
        chosen = connections.pool.acquire(self.request)
        return chosen if isinstance(chosen, Backend) else None

    def _move(self, other: Backend, now: float, status: int = 0) -> None:
        """Leave this backend for another one that is acquired. status: of its answer; 0 where none came."""
        assert self.connections is not None
        self._release(True, now, status)
        if self.connections.probes is not None:
            self.connections.probes.wake(now)
        self.asked_at = now
        self.latency_s = UNKNOWN_S
        self.tries_here = 0
        self.stale_retried = False
        self._open(other, now, False)

    def _fail_for_good(self, kind: Kind, now: float) -> None:
        """End it at once, whatever the backend is doing."""
        if self.upstream is not None:
            self.upstream.close()
            self.upstream = None
        if self.status and self.client is not None:
            self.client.abort(kind)
            self._finish(kind, now)
        else:
            self._refuse(kind, now)

    def _refuse(self, kind: Kind, now: float) -> None:
        """Answer with the failure itself."""
        client = self.client
        assert client is not None
        self.status = kind.status
        self._finish(kind, now)
        client.refuse(kind, self.retry_after_s, now)

    def _respond(self, route: Route, now: float) -> None:
        client = self.client
        assert client is not None
        spec: Any = route.respond
        self.status = spec.status
        self._finish(None, now)
        client.respond(spec, now)

    # Deadlines and tunnels.

    def on_deadline(self, now: float) -> None:
        """The total timeout; in a tunnel, nothing has passed either way for too long."""
        if self.tunnel:
            self._end_tunnel(now)
        else:
            # While the choice waits for the request's body it is the client who is late.
            self._fail_for_good(errors.REQUEST_TIMEOUT if self.awaits_body else errors.TOTAL_TIMEOUT, now)

    def _touch_tunnel(self, now: float) -> None:
        assert self.connections is not None
        self.context.wheel.expect(self, now + self.connections.tunnel_s)

    def _end_tunnel(self, now: float) -> None:
        client = self.client
        if self.upstream is not None:
            self.upstream.finish(now)
            self.upstream = None
        self._finish(None, now)
        if client is not None:
            client.close(now)

    # The way out.

    def _release(self, failed: bool, now: float, status: int) -> None:
        """Give the acquired backend back: the only place that does. status: of its answer; 0 where none came."""
        backend = self.backend
        if backend is not None:
            assert self.connections is not None
            self.backend = None
            self.label = backend.label
            self.connections.pool.release(self.request, backend, failed, now, self.latency_s, status)

    def _finish(self, kind: Kind | None, now: float) -> None:
        """The only exit: nothing is in flight any more, and everything lets go of everything."""
        self.finished = True
        if self.dial is not None:
            self.dial.cancel()
            self.dial = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.deadline != inf:
            self.context.wheel.forget(self)
        # An answer of 500 or above is passed on like any other, but is a failure of the backend that gave it.
        status = self.status if self.latency_s >= 0.0 else 0
        self._release(status >= 500 or (kind is not None and kind.side is Side.BACKEND), now, status)
        if self.context.on_record is not None:
            self._record(kind, now)
        if self.context.recent is not None:
            pool = "-" if self.connections is None else self.connections.pool.name
            self.request.body = None
            self.context.recent.add(self.request, self.context.name, pool, self.label)
        self.client = None
        self.body = None

    def _record(self, kind: Kind | None, now: float) -> None:
        request: Pick = self.request
        self.context.on_record(
            Record(
                ended=now,
                client=request.get("client_ip") or "-",
                listener=self.context.name,
                method=request.get("method") or "-",
                host=request.get("host") or "-",
                target=request.get("path") or "-",
                status=self.status,
                word="-" if kind is None else kind.word,
                pool="-" if self.connections is None else self.connections.pool.name,
                backend=self.label,
                tries=self.tries,
                duration_s=now - self.started,
                received=self.body_bytes,
                sent=self.sent_bytes,
            )
        )
