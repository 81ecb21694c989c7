"""The composition root of one worker: a checked specification becomes running objects.

Everything that is shared is made here and handed down; nothing below looks anything up.
"""

import logging
import random
from asyncio import AbstractEventLoop, get_running_loop, sleep
from collections.abc import Callable
from ipaddress import ip_network
from time import monotonic, perf_counter

from steelyard.control.prober import Prober, log_state
from steelyard.control.ready import make_ready
from steelyard.core.guard import Outside
from steelyard.core.pool import Pool
from steelyard.core.router import Router
from steelyard.core.spec import ListenerSpec, Spec
from steelyard.core.table import Table
from steelyard.observe.accesslog import AccessLog, OnRecord, Record
from steelyard.proxy.clock import Wheel
from steelyard.proxy.connections import PoolConnections
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.date import DateLine
from steelyard.proxy.listener import Listener

# How often a drain looks whether the last connection is gone.
DRAIN_POLL_S = 0.02

_log = logging.getLogger("steelyard")


def _below(source: random.Random) -> Callable[[int], int]:
    """n -> a random whole number in [0, n)."""
    draw = source.random
    return lambda n: int(draw() * n)


class Worker:
    """Everything that runs in one event loop."""

    def __init__(self, spec: Spec, on_record: OnRecord | None = None) -> None:
        """Raises ConfigError for a policy that cannot be loaded, and for an access log that cannot be opened."""
        make_ready(spec)
        self.spec = spec
        self.loop: AbstractEventLoop = get_running_loop()
        self.wheel = Wheel(self.loop)
        self.access_log = None if spec.access_log is None else AccessLog(self.loop, spec.access_log)
        self.on_record = on_record
        rows = sum(Pool.rows_needed(pool) for pool in spec.pools)
        self.table = Table(bytearray(Table.size_bytes(rows, 1)), rows)
        self.pools: dict[str, Pool] = {}
        outside = Outside(perf_counter, _log.warning)
        row = 0
        for pool_spec in spec.pools:
            self.pools[pool_spec.name] = Pool(pool_spec, self.table, row, outside)
            row += Pool.rows_needed(pool_spec)
        self.connections = {
            name: PoolConnections(self.loop, self.wheel, pool, log_state) for name, pool in self.pools.items()
        }
        self.probers = [
            Prober(self.loop, pool, pool.spec.health_check)
            for pool in self.pools.values()
            if pool.spec.health_check is not None
        ]
        below, date_line = _below(random.Random()), DateLine()
        self.listeners = {
            listener.name: Listener(self.loop, listener, self._context(listener, below, date_line))
            for listener in spec.listeners
        }

    def _context(
        self, spec: ListenerSpec, below: Callable[[int], int], date_line: Callable[[], bytes]
    ) -> ListenerContext:
        router = Router(spec.routes)
        for route in router.routes:
            if route.spec.pool is not None:
                route.pool = self.connections[route.spec.pool]
            else:
                route.respond = route.spec.respond
        networks = tuple(ip_network(network) for network in spec.trusted_proxies)
        sinks: list[OnRecord] = []
        if self.access_log is not None:
            sinks.append(self.access_log.add)
        if self.on_record is not None:
            sinks.append(self.on_record)
        return ListenerContext(
            self.loop, self.wheel, spec, router, networks, below, _fan_out(self.loop, sinks), date_line
        )

    async def start(self) -> None:
        """Listen and check. Raises ListenError; then nothing is left listening."""
        try:
            for listener in self.listeners.values():
                await listener.start()
        except BaseException:
            await self.stop(0.0)
            raise
        for prober in self.probers:
            prober.start()

    async def stop(self, drain_s: float) -> None:
        """Accept nothing more, let what is in flight finish for at most drain_s, then close everything."""
        deadline = monotonic() + drain_s
        for listener in self.listeners.values():
            listener.stop_accepting()
        try:
            while self.busy() and monotonic() < deadline:  # noqa: ASYNC110 (an event would cost each connection)
                await sleep(DRAIN_POLL_S)
        finally:  # also when the drain itself is cancelled
            for listener in self.listeners.values():
                listener.drop()
            for prober in self.probers:
                prober.stop()
            for connections in self.connections.values():
                connections.close()
            await sleep(0)  # lets the transports tell their protocols
            self.wheel.stop()
            if self.access_log is not None:
                self.access_log.close()

    def busy(self) -> bool:
        """Whether any client connection is open."""
        return any(listener.context.downstreams for listener in self.listeners.values())


def _fan_out(loop: AbstractEventLoop, sinks: list[OnRecord]) -> OnRecord | None:
    """One callback for all that want the records; None when nobody does.

    A sink that raises is a bug of its own: it is told to the loop, and costs no answer.
    """
    if not sinks:
        return None

    def all_of_them(record: Record) -> None:
        for sink in sinks:
            try:
                sink(record)
            except Exception as exc:
                loop.call_exception_handler({"message": "a callback for records failed", "exception": exc})

    return all_of_them
