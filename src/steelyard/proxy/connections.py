"""Kept connections: for each backend of a pool those that are idle, most recently used first.

Taking from the end that was used last lets the others grow old and go, so that a pool that was busy shrinks;
it also finds the connection that is least likely to have been closed meanwhile.
Source: httpcore's pool (which connection is given to whom is a pure step over lists).
"""

from asyncio import AbstractEventLoop
from typing import Any

from steelyard.core.backend import Backend
from steelyard.core.pool import Pool
from steelyard.core.spec import PoolSpec
from steelyard.proxy.clock import Wheel
from steelyard.proxy.dial import Dial, Done
from steelyard.proxy.probes import probes_of
from steelyard.proxy.upstream import Upstream


class Connections:
    """The idle connections to one backend."""

    def __init__(self, loop: AbstractEventLoop, wheel: Wheel, backend: Backend, spec: PoolSpec) -> None:
        self.loop = loop
        self.wheel = wheel
        self.backend = backend
        self.idle: list[Upstream] = []
        self.closed = False
        self.adopt(spec)

    def adopt(self, spec: PoolSpec) -> None:
        """Keep to the numbers of another specification, from the next connection on."""
        self.max_idle = spec.max_idle
        self.idle_s = spec.timeouts.idle_s
        self.connect_s = spec.timeouts.connect_s

    def take(self) -> Upstream | None:
        """An open connection that nobody uses, or None: then dial."""
        while self.idle:
            upstream = self.idle.pop()
            if upstream.fit():
                return upstream
            upstream.close()
        return None

    def give(self, upstream: Upstream, now: float) -> None:
        """Keep a connection whose answer is over."""
        if self.closed or len(self.idle) >= self.max_idle:
            upstream.close()
            return
        upstream.detach(now)
        self.idle.append(upstream)
        self.wheel.expect(upstream, now + self.idle_s)

    def lost(self, upstream: Upstream) -> None:
        """A kept connection was closed by the backend, or grew too old."""
        if upstream in self.idle:
            self.idle.remove(upstream)

    def dial(self, done: Done) -> Dial:
        """Open a new connection; done is called with it, or with the reason why there is none."""
        upstream = Upstream(self, self.wheel, None)
        attempt = Dial(self.loop, self.wheel, upstream, done)
        attempt.start(self.backend.host, self.backend.port, self.connect_s)
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

    def __init__(self, loop: AbstractEventLoop, wheel: Wheel, pool: Pool, on_change: Any) -> None:
        self.loop = loop
        self.wheel = wheel
        self.pool = pool
        self.on_change = on_change
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
                kept = Connections(self.loop, self.wheel, backend, spec)
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
        self.hold_bytes = spec.retry.hold_body_bytes
        self.mark_down = spec.retry.mark_down
        self.on_status: tuple[int, ...] = spec.retry.on_status

    def of(self, backend: Backend) -> Connections:
        """The connections to a backend; one that has left the pool meanwhile is finished with, and keeps none."""
        kept = self.of_backend.get(backend)
        if kept is None:
            kept = Connections(self.loop, self.wheel, backend, self.pool.spec)
            kept.closed = True
        return kept

    def close(self) -> None:
        """Close all idle connections of the pool, and ask its backends for nothing more."""
        if self.probes is not None:
            self.probes.close()
        for connections in self.of_backend.values():
            connections.close()
