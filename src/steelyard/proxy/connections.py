"""Kept connections: for each backend of a pool those that are idle, most recently used first.

Taking from the end that was used last lets the others grow old and go, so that a pool that was busy shrinks;
it also finds the connection that is least likely to have been closed meanwhile. They are kept for less long than the
backend keeps them, as far as that is known (idle_limit.py).
Source: httpcore's pool (which connection is given to whom is a pure step over lists).
"""

from asyncio import AbstractEventLoop
from typing import Any

from steelyard.core.backend import Backend
from steelyard.core.pool import Pool
from steelyard.core.quantile import Quantile
from steelyard.core.spec import HedgeSpec, PoolSpec, QueueSpec
from steelyard.observe.counters import STALE_NOTICED, Counters
from steelyard.proxy.clock import Wheel
from steelyard.proxy.dial import Dial, Done
from steelyard.proxy.idle_limit import FORGET_S, IdleLimit
from steelyard.proxy.probes import probes_of
from steelyard.proxy.queue import Queue
from steelyard.proxy.upstream import Upstream


class Connections:
    """The idle connections to one backend."""

    def __init__(
        self, loop: AbstractEventLoop, wheel: Wheel, backend: Backend, spec: PoolSpec, counters: Counters
    ) -> None:
        self.loop = loop
        self.wheel = wheel
        self.backend = backend
        self.counters = counters
        self.idle: list[Upstream] = []
        self.closed = False
        self.limit = IdleLimit()
        self.adopt(spec)

    def adopt(self, spec: PoolSpec) -> None:
        """Keep to the numbers of another specification, from the next connection on."""
        self.max_idle = spec.max_idle
        self.most_idle_s = spec.timeouts.idle_s
        self.look_again(self.wheel.now())
        self.connect_s = spec.timeouts.connect_s

    def take(self) -> Upstream | None:
        """An open connection that nobody uses, or None: then dial."""
        while self.idle:
            upstream = self.idle.pop()
            if upstream.fit():
                return upstream
            self.counters.add(STALE_NOTICED)
            self.closed_by_backend(upstream)
            upstream.close()
        return None

    def give(self, upstream: Upstream, now: float) -> None:
        """Keep a connection whose answer is over."""
        if self.closed or len(self.idle) >= self.max_idle:
            upstream.close()
            return
        upstream.detach(now)
        self.idle.append(upstream)
        if now > self.look_again_at:
            self.look_again(now)
        self.wheel.expect(upstream, now + self.idle_s)

    def lost(self, upstream: Upstream, closed_by_backend: bool) -> None:
        """A kept connection is gone: the backend closed it, or it grew too old, or was not quiet."""
        if upstream in self.idle:
            self.idle.remove(upstream)
            if closed_by_backend:
                self.closed_by_backend(upstream)

    def closed_by_backend(self, upstream: Upstream) -> None:
        """Learn from it how long the backend keeps idle connections."""
        now = self.wheel.now()
        if self.limit.closed(now - upstream.idle_since, now):
            self.look_again(now)

    def told(self, keep_alive: bytes, now: float) -> None:
        """The backend has said in a Keep-Alive field how long it keeps them."""
        if self.limit.told(keep_alive, now):
            self.look_again(now)

    def look_again(self, now: float) -> None:
        """Keep connections for as long as is known to be well, from the next one on."""
        self.idle_s = self.limit.keep_s(self.most_idle_s, now)
        self.look_again_at = now + FORGET_S

    def dial(self, done: Done) -> Dial:
        """Open a new connection; done is called with it, or with the reason why there is none."""
        upstream = Upstream(self, self.wheel, None)
        attempt = Dial(self.loop, self.wheel, upstream, done)
        attempt.start(self.backend.spec, self.connect_s)
        return attempt

    def close(self) -> None:
        """Close all that are idle, and keep none from now on."""
        self.closed = True
        while self.idle:
            self.idle.pop().close()


class PoolConnections:
    """A pool with its connections: what an exchange needs of it.

    on_change: called with a backend and whether it is up, when traffic changed that.
    probes: to be woken after every acquire; None when the pool's policy asks backends for nothing.
    """

    def __init__(
        self, loop: AbstractEventLoop, wheel: Wheel, pool: Pool, on_change: Any, counters: Counters | None = None
    ) -> None:
        self.loop = loop
        self.wheel = wheel
        self.pool = pool
        self.on_change = on_change
        self.counters = Counters() if counters is None else counters
        self.queue: Queue | None = None
        self.times: Quantile | None = None
        self.of_backend: dict[Backend, Connections] = {}
        self.probes = probes_of(loop, wheel, pool)
        self.adopt()

    def adopt(self) -> None:
        """The pool has taken another configuration: follow it. Backends that stay keep their open connections."""
        spec = self.pool.spec
        before = self.of_backend
        self.of_backend = {}
        for backend in self.pool.backends:
            kept = before.pop(backend, None)
            if kept is None:
                kept = Connections(self.loop, self.wheel, backend, spec, self.counters)
            else:
                kept.adopt(spec)
            self.of_backend[backend] = kept
        for connections in before.values():
            connections.close()
        probes = probes_of(self.loop, self.wheel, self.pool)
        if self.probes is None or probes is None or probes.policies != self.probes.policies:
            if self.probes is not None:
                self.probes.close()
            self.probes = probes
        else:
            self.probes.adopt()
        self.response_s = spec.timeouts.response_s
        self.total_s = -1.0 if spec.timeouts.total_s is None else spec.timeouts.total_s
        self.tunnel_s = spec.timeouts.tunnel_s
        self.tries = spec.retry.tries
        self.same_backend = spec.retry.same_backend
        self.delay_s = spec.retry.delay_s
        self.max_delay_s = spec.retry.max_delay_s
        self.try_s = -1.0 if spec.retry.try_timeout_s is None else spec.retry.try_timeout_s
        self.hold_bytes = spec.retry.hold_body_bytes
        self.mark_down = spec.retry.mark_down
        self.on_status: tuple[int, ...] = spec.retry.on_status
        self._adopt_hedge(spec.hedge)
        self._adopt_queue(spec.queue)

    def _adopt_hedge(self, spec: HedgeSpec | None) -> None:
        """hedge_s: what a first try has before a second one goes out beside it; below 0 there is none, for now."""
        quantile = None if spec is None else spec.after.quantile
        if quantile is None:
            self.times = None
        elif self.times is None or self.times.share != quantile:
            self.times = Quantile(quantile)
        self.hedge_s = -1.0
        if spec is not None and spec.after.seconds is not None:
            self.hedge_s = spec.after.seconds
        elif self.times is not None:
            self.hedge_s = self.times.value

    def _adopt_queue(self, spec: QueueSpec | None) -> None:
        """Those who wait, wait on by the new rules; without a queue they do so for what time they had."""
        if spec is not None and self.queue is None:
            self.queue = Queue(self.loop, self.wheel, self.pool, spec)
        elif self.queue is not None:
            self.queue.adopt(spec)

    def took(self, latency_s: float) -> int:
        """An answer's head took so long. Returns 0."""
        if self.times is not None:
            self.times.add(latency_s)
            self.hedge_s = self.times.value
        return 0

    def of(self, backend: Backend) -> Connections:
        """The connections to a backend; one that has left the pool meanwhile is finished with, and keeps none."""
        kept = self.of_backend.get(backend)
        if kept is None:
            kept = Connections(self.loop, self.wheel, backend, self.pool.spec, self.counters)
            kept.closed = True
        return kept

    def close(self) -> None:
        """Close all idle connections of the pool, and ask its backends for nothing more."""
        if self.probes is not None:
            self.probes.close()
        for connections in self.of_backend.values():
            connections.close()
