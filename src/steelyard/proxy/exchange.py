"""One request's whole life, top to bottom: route, backend, tries, answer, and the one way out.

    start -> route -> tries (tries.py) -> on_head, on_body ... on_end -> finish

Where the pool looks into bodies, the request waits for its own before a backend is chosen (body_start.py).

From `start` to `finish` the exchange alone owns its request, and `finish` is the only exit. It does not know how its
client speaks: it is given a head, and answers through the calls of `Client`. Nothing here waits: every step is called
by an event.

Source: the shape is mitmproxy's layers and Envoy's filter manager.
"""

from math import ceil, inf
from typing import Any, Final

from steelyard import errors
from steelyard.core.policy import Pick
from steelyard.core.ratelimit import RateLimit
from steelyard.core.router import AMBIGUOUS, Route
from steelyard.core.sticky import Stickiness
from steelyard.errors import Kind
from steelyard.observe.accesslog import Record
from steelyard.proxy.body_start import BodyStart
from steelyard.proxy.client import Client
from steelyard.proxy.connections import Connections
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.tries import Tries, is_failure
from steelyard.proxy.upstream import Upstream
from steelyard.wire.http1 import RequestHead, ResponseHead
from steelyard.wire.peer import Peer

NO_STATUS: Final = 0


def _interim(status: int, line: bytes) -> ResponseHead:
    head = ResponseHead()
    head.status, head.line = status, line
    return head


_GO_ON: Final = _interim(100, b"100 Continue")


class Exchange(Tries):
    """One request and its answer, with all tries.

    counted: it is one of those in flight at its listener, where those are limited.
    awaits_body: no backend is chosen before more of it is there. continued: we told the client to send it.
    """

    def __init__(self, client: Client, context: ListenerContext, head: RequestHead, peer: Peer, now: float) -> None:
        self.prepare(client, context, head, peer, now)
        self.started = now
        self.awaits_body = False
        self.continued = False
        self.body_bytes = 0
        self.sent_bytes = 0
        self.tunnel = False
        self.client_eof = False
        self.upstream_eof = False
        self.finished = False
        self.counted = False

    # The client's side.

    def start(self, now: float) -> None:
        """Route the request and send it on its way. What of its body has come was told before."""
        route = self.context.router.only
        if route is None:
            route = self.context.router.match(self.request)
            if route is None:
                self.refuse(errors.NO_ROUTE, now)
                return
            if route is AMBIGUOUS:
                self.refuse(errors.AMBIGUOUS_PATH, now)
                return
        self.route = route
        if route.limit is not None and self._is_limited(route.limit, now):  # type: ignore[arg-type]
            return
        if route.max_body_bytes >= 0 and max(self.head.content_length, self.body_bytes) > route.max_body_bytes:
            self.refuse(errors.BODY_TOO_LARGE, now)
            return
        if route.pool is None:
            self._respond(route, now)
            return
        if self.context.door.most_in_flight >= 0:
            if not self.context.door.begin():
                self.refuse(errors.OVERLOADED, now)
                return
            self.counted = True
        self.connections = route.pool  # type: ignore[assignment]
        assert self.connections is not None
        if self.connections.total_s >= 0.0:
            self.context.wheel.expect(self, now + self.connections.total_s)
        if self.connections.pool.reads_body and self._read_ahead(now):
            return
        self.first_try(now)

    def _is_limited(self, limit: RateLimit, now: float) -> bool:
        """Whether it was refused for coming too soon."""
        wait_s = limit.wait(self.request, now)
        if wait_s <= 0.0:
            return False
        self.retry_after_s = ceil(wait_s)
        self.refuse(errors.RATE_LIMITED, now)
        return True

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
            self.let_go()
            self.upstream.write(data)
        elif self.awaits_body:
            start = self.request.body
            assert start is not None
            start.take(data)
            if not start.wanted:
                self._stop_waiting(now)
        elif self.route is not None and self.client is not None and not self.may_hold_more():
            self.client.pause()  # until there is a connection to send it on

    def on_request_end(self, now: float) -> None:
        """The request is whole."""
        self.request_done = True
        if not self.status and (self.upstream is not None or self.dial is not None):
            self.time_try()
        if self.upstream is not None:
            if not self.status:
                self.asked_at = now  # the time that the client took to send it is not the backend's
            self.upstream.await_answer(now)
        elif self.awaits_body:
            assert self.request.body is not None
            self.request.body.end()
            self._stop_waiting(now)

    def on_client_full(self) -> None:
        """The client reads slower than the backend sends."""
        self.client_full = True
        self.held_back = True
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
        self.finish(None if self.tunnel and kind is errors.CLIENT_GONE else kind, now)

    # A choice that looks into the body.

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
        self.first_try(now)

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
        self.stop_timers()
        self.latency_s = now - self.asked_at
        assert self.connections is not None and self.backend is not None
        self.connections.pool.answered_head(self.request, self.backend, False, self.latency_s, now)
        self.tunnel = True
        self._touch_tunnel(now)
        self._remember_backend(head)
        self.client.switch(head)
        return True

    def on_head(self, head: ResponseHead, framing: int, now: float) -> None:
        connections = self.connections
        assert connections is not None and self.backend is not None and self.client is not None
        self.stop_timers()
        self.latency_s = now - self.asked_at
        connections.took(self.latency_s)
        connections.pool.answered_head(self.request, self.backend, is_failure(head.status), self.latency_s, now)
        if head.status < 500:  # an error answer does not speak for the backend that gave it
            connections.pool.answered(self.backend, now)
        if connections.on_status and head.status in connections.on_status and self.ask_elsewhere(head, now):
            return
        self.drop_hedge(now)
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
        client: Client | None = self.client
        upstream: Upstream | None = self.upstream
        assert self.connections is not None and self.backend is not None and client is not None and upstream is not None
        self.upstream = None
        if reusable and self.request_done and not upstream.full:
            kept: Connections = self.connections.of(self.backend)
            kept.give(upstream, now)
        else:
            # An answer that came before the request's end: the rest of it must not be taken for a new one.
            upstream.close()
        self.finish(None, now)
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

    # Other ends.

    def _fail_for_good(self, kind: Kind, now: float) -> None:
        """End it at once, whatever the backend is doing."""
        if self.upstream is not None:
            self.upstream.close()
            self.upstream = None
        if self.status and self.client is not None:
            self.client.abort(kind)
            self.finish(kind, now)
        else:
            self.refuse(kind, now)

    def refuse(self, kind: Kind, now: float) -> None:
        """Answer with the failure itself."""
        client = self.client
        assert client is not None
        self.status = kind.status
        self.finish(kind, now)
        client.refuse(kind, self.retry_after_s, now)

    def _respond(self, route: Route, now: float) -> None:
        client = self.client
        assert client is not None
        spec: Any = route.respond
        self.status = spec.status
        self.finish(None, now)
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
        self.finish(None, now)
        if client is not None:
            client.close(now)

    # The way out.

    def finish(self, kind: Kind | None, now: float) -> None:
        """The only exit: nothing is in flight any more, and everything lets go of everything."""
        self.finished = True
        if self.counted:
            self.counted = False
            self.context.door.end()
        if self.dial is not None:
            self.dial.cancel()
            self.dial = None
        self.stop_timers()
        self.drop_hedge(now)
        self.hedge = None
        if self.queued:
            assert self.connections is not None and self.connections.queue is not None
            self.connections.queue.leave(self)
            self.queued = False
        if self.deadline != inf:
            self.context.wheel.forget(self)
        # An answer of 500 or above is passed on like any other, but is a failure of the backend that gave it.
        status = self.status if self.latency_s >= 0.0 else NO_STATUS
        self.release(is_failure(status) or (kind is not None and self.is_blamed(kind)), status, now, True)
        self.context.counters.ended(kind)
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
