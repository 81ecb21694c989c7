"""Reaching a backend for a client that is connected to it for good, or for one task: choose, connect, or go elsewhere.

    reach -> acquire -> dial -> on_reached
               ^         |
               +-- failed, and another one may be asked

Nothing of the client's has left us before `on_reached`, so another backend is always safe to ask; as many are asked as
the pool's `retry.tries`, those after the first within its budget. What was acquired is given back exactly once, in
`let_go`.
"""

from typing import Any

from steelyard.core.backend import Backend
from steelyard.core.policy import UNKNOWN_S
from steelyard.core.pool import Refusal
from steelyard.core.router import Route
from steelyard.errors import NONE_UP, STOPPING, Kind, Side
from steelyard.observe.accesslog import Record
from steelyard.observe.counters import RETRIES, RETRIES_REFUSED
from steelyard.proxy.call import Call
from steelyard.proxy.connections import PoolConnections
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.dial import Dial
from steelyard.proxy.guest import Guest


class Reach(Guest):
    """A client's connection that is to have one backend.

    connections: of the pool. backend: that is acquired, or None. label: of the latest one. tries: how many were asked.
    asked_at: when that one was. latency_s: how long it took to answer, UNKNOWN_S before it has.
    """

    def begin(self, context: ListenerContext) -> None:
        """Begin with nothing. Subclasses call it in place of super().__init__(), which costs more."""
        self.receive_at(context)
        self.request: Call | None = None
        self.connections: PoolConnections | None = None
        self.backend: Backend | None = None
        self.dial: Dial | None = None
        self.label = "-"
        self.tries = 0
        self.started = 0.0
        self.asked_at = 0.0
        self.latency_s = UNKNOWN_S
        self.received = 0
        self.sent = 0

    # What a subclass says.

    def upstream_for(self, backend: Backend) -> Any:
        """The protocol object of a connection to that backend: with `sock`, `fit()` and `close()` as an `Upstream`."""
        raise NotImplementedError

    def on_reached(self, upstream: Any, now: float) -> None:
        """The connection to `self.backend` is open."""
        raise NotImplementedError

    def on_unreached(self, kind: Kind, now: float) -> None:
        """There is no backend for it; nothing is acquired."""
        raise NotImplementedError

    # Choosing and connecting.

    def reach(self, request: Call, now: float) -> int:
        """Begin to look for a backend of the listener's pool. Returns 0."""
        self.request = request
        self.started = now
        self.connections = self.its_pool()
        if self.connections is None:
            self.on_unreached(STOPPING, now)
            return 0
        chosen = self.choose()
        if isinstance(chosen, Backend):
            self.ask(chosen, now)
        else:
            refusal: Refusal = chosen
            self.on_unreached(refusal.kind, now)
        return 0

    def its_pool(self) -> PoolConnections | None:
        """Its listener's; None where a reload has made that one of http, with routes, while this one was coming."""
        only: Route | None = self.context.router.only
        pool: PoolConnections | None = None if only is None else only.pool  # type: ignore[assignment]
        return pool

    def choose(self) -> Backend | Refusal:
        """Acquire a backend."""
        assert self.connections is not None
        return self.connections.pool.acquire(self.request)  # type: ignore[arg-type]

    def ask(self, backend: Backend, now: float) -> int:
        """Connect to an acquired backend. Returns 0."""
        connections = self.connections
        assert connections is not None
        self.backend = backend
        self.label = backend.label
        self.tries += 1
        self.asked_at = now
        if connections.probes is not None:
            connections.probes.wake(now)
        dial = Dial(self.context.loop, self.context.wheel, self.upstream_for(backend), self.on_dialled)
        self.dial = dial
        dial.start(backend.spec, connections.pool.spec.timeouts.connect_s)
        return 0

    def on_dialled(self, upstream: Any, kind: Kind | None, detail: str) -> None:
        """The connection is open, or there is none."""
        now = self.context.wheel.now()
        self.dial = None
        if upstream is not None:
            self.on_reached(upstream, now)
        else:
            assert kind is not None
            self.on_unconnected(kind, detail, now)

    def on_unconnected(self, kind: Kind, detail: str, now: float) -> None:
        """The chosen backend could not be reached: take another one, if there is one and the budget bears it."""
        connections, backend, request = self.connections, self.backend, self.request
        assert connections is not None and backend is not None and request is not None
        pool = connections.pool
        blamed = kind.side is Side.BACKEND
        changed = blamed and pool.connect_failed(backend, now)
        marked = blamed and connections.mark_down
        if marked:
            changed = pool.mark_down(backend, now) or changed
        if changed:
            connections.on_change(pool, backend, False, detail)
        request.tried = [*(request.tried or ()), backend]
        request.now = now
        other = None
        if blamed and len(request.tried) < connections.tries and pool.has_other(request):
            if pool.bears_retry(kind, now):
                other = self.choose()
                if not isinstance(other, Backend):
                    pool.spared_retry(kind)
            else:
                self.context.counters.add(RETRIES_REFUSED)
        if isinstance(other, Backend):
            self.let_go(blamed, now, False)
            self.context.counters.add(RETRIES)
            self.ask(other, now)
            return
        self.let_go(blamed, now, True)
        self.on_unreached(NONE_UP if marked else kind, now)

    # The end.

    def answered(self, now: float) -> int:
        """The first byte of the backend has come. Returns 0."""
        connections, backend, request = self.connections, self.backend, self.request
        assert connections is not None and backend is not None and request is not None
        self.latency_s = now - self.asked_at
        connections.pool.answered_head(request, backend, False, self.latency_s, now)
        connections.pool.answered(backend, now)
        return 0

    def let_go(self, failed: bool, now: float, final: bool) -> int:
        """Give the acquired backend back, if any. failed: that speaks against it. final: for good. Returns 0."""
        backend = self.backend
        if backend is not None:
            connections, request = self.connections, self.request
            assert connections is not None and request is not None
            self.backend = None
            connections.pool.release(request, backend, failed, now, self.latency_s, 0, final)
            if connections.queue is not None:  # http listeners may lead here too
                connections.queue.wake()
        return 0

    def stop_reaching(self) -> int:
        """Wait for no connection any more. Returns 0."""
        if self.dial is not None:
            self.dial.cancel()
            self.dial = None
        return 0

    def note_end(self, kind: Kind | None, now: float, method: str = "-", target: str = "-") -> int:
        """Count and record the end. kind: how it failed, None for well. method, target: of the record. Returns 0."""
        context = self.context
        context.counters.ended(kind)
        pool = "-" if self.connections is None else self.connections.pool.name
        if context.on_record is not None:
            word = "-" if kind is None else kind.word
            duration_s = now - self.started
            context.on_record(
                Record(
                    now, self.client, context.name, method, "-", target, 0, word, pool, self.label, self.tries,
                    duration_s, self.received, self.sent,
                )
            )  # fmt: skip
        if context.recent is not None and self.request is not None:
            context.recent.add(self.request, context.name, pool, self.label)
        return 0
