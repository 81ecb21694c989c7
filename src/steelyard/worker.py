"""The composition root of one worker: a checked specification becomes running objects, and another one takes over.

A worker begins with nothing and is given configurations. Each is prepared first, beside the one that serves: what can
fail fails there, and nothing has changed. The switch then keeps what stays (pools with all they know, connections,
listeners), exchanges the rest, and lets what is gone finish. Both yield to the traffic between short steps.

Everything that is shared is made here and handed down; nothing below looks anything up.
"""

import logging
import random
from asyncio import AbstractEventLoop, get_running_loop, sleep, wait
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from socket import socket
from time import monotonic, perf_counter, thread_time
from typing import Final

from steelyard.control.front import Front, name_of_listener
from steelyard.control.prober import log_change, log_state
from steelyard.control.ready import make_ready
from steelyard.core.door import Door
from steelyard.core.draft import Draft
from steelyard.core.guard import Outside
from steelyard.core.pool import Pool
from steelyard.core.router import Router
from steelyard.core.rows import PoolRows, Rows
from steelyard.core.spec import UDP, ListenerSpec, Spec
from steelyard.core.table import Table
from steelyard.observe.accesslog import AccessLog, OnRecord, Record
from steelyard.observe.counters import Counters
from steelyard.observe.recent import Recent
from steelyard.proxy.acceptor import Capacity
from steelyard.proxy.bind import key_of
from steelyard.proxy.clock import Wheel
from steelyard.proxy.connections import PoolConnections
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.date import DateLine
from steelyard.proxy.listener import Listener
from steelyard.proxy.udp import UdpListener

# How often a drain looks whether the last connection is gone.
DRAIN_POLL_S: Final = 0.02
# Backends that are built in one step: some milliseconds.
BATCH: Final = 500

_log = logging.getLogger("steelyard")


class Change:
    """A configuration that is ready to be switched to. drafts: of the pools that are not as they were."""

    def __init__(self, spec: Spec, rows: Rows, access_log: AccessLog | None) -> None:
        self.spec = spec
        self.rows = rows
        self.access_log = access_log
        self.pools: dict[str, PoolConnections] = {}
        self.drafts: dict[str, Draft] = {}


class Paces:
    """Long work in steps, between which the loop does what else there is. longest_s: CPU time of the longest one."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.begin()

    def begin(self) -> None:
        """Begin a step: what went on before was somebody else's work."""
        self.began = thread_time()

    async def rest(self) -> None:
        """End a step."""
        self.longest_s = max(self.longest_s, thread_time() - self.began)
        await sleep(0)
        self.begin()


class Worker:
    """Everything that runs in one event loop.

    table: the cells, as this worker sees them. on_record: called with a `Record` for each ended exchange.
    recent: how many of the latest requests are remembered; 0 for none. listeners: by the key of their address.
    """

    def __init__(self, table: Table, on_record: OnRecord | None = None, recent: int = 0) -> None:
        self.loop: AbstractEventLoop = get_running_loop()
        self.wheel = Wheel(self.loop)
        self.table = table
        self.spec = Spec((), ())
        self.rows = Rows()
        self.pools: dict[str, Pool] = {}
        self.connections: dict[str, PoolConnections] = {}
        self.listeners: dict[str, Listener | UdpListener] = {}
        self.leaving: set[Listener | UdpListener] = set()
        self.access_log: AccessLog | None = None
        self.on_record = on_record
        self.recent = Recent(recent) if recent else None
        self.counters = Counters(table)
        self.stopping = False
        self._front = Front(table)
        self._capacity = Capacity(self.clients)
        self._outside = Outside(perf_counter, _log.warning)
        self._below = _below(random.Random())
        self._date_line = DateLine()

    async def prepare(self, spec: Spec, rows: Rows, paces: Paces | None = None, beside: Path | None = None) -> Change:
        """Build another configuration beside this one. Raises ConfigError, and then nothing has changed.

        rows: of the table, where the weights of what is new are already. beside: where modules of its own policies
        may be.
        """
        paces = Paces() if paces is None else paces
        make_ready(spec, beside)
        change = Change(spec, rows, self._open_log(spec))
        try:
            for pool_spec in spec.pools:
                connections = self.connections.get(pool_spec.name)
                pool_rows = rows[pool_spec.name]
                if connections is None:
                    empty = PoolRows(pool_rows.tiers[:1], ())
                    pool = Pool(replace(pool_spec, backends=()), self.table, empty, self._outside, fresh=False)
                    pool.tell = partial(log_change, pool)
                    connections = PoolConnections(self.loop, self.wheel, pool, log_state, self.counters)
                elif connections.pool.spec == pool_spec and self.rows.get(pool_spec.name) == pool_rows:
                    change.pools[pool_spec.name] = connections
                    continue
                change.pools[pool_spec.name] = connections
                change.drafts[pool_spec.name] = draft = connections.pool.draft(pool_spec, pool_rows)
                while draft.advance(BATCH):
                    await paces.rest()
        except BaseException:
            self.abandon(change)
            raise
        await paces.rest()
        return change

    def abandon(self, change: Change) -> None:
        """A prepared configuration will not be switched to."""
        if change.access_log is not None and change.access_log is not self.access_log:
            change.access_log.close(0.0)

    async def switch(self, change: Change, sockets: Mapping[str, Sequence[socket]], paces: Paces | None = None) -> None:
        """Serve by a prepared configuration. No connection is closed by it, but those to backends that are gone.

        sockets: by key (proxy/bind.py), bound ones for listeners that are new, theirs from here on; without some a
        listener binds one itself, and may raise ListenError.
        """
        paces = Paces() if paces is None else paces
        paces.begin()
        for name, draft in change.drafts.items():
            connections = change.pools[name]
            connections.pool.adopt(draft)
            connections.adopt()
            await paces.rest()
        gone = {name: pool for name, pool in self.connections.items() if change.pools.get(name) is not pool}
        gone_rows = {name: self.rows[name] for name in gone}
        before, self.spec, self.rows, self.connections = self.spec, change.spec, change.rows, change.pools
        self.pools = {name: connections.pool for name, connections in self.connections.items()}
        old_log, self.access_log = self.access_log, change.access_log
        await self._listen(change.spec, sockets, before.drain_timeout_s)
        if old_log is not None and old_log is not self.access_log:
            old_log.close(0.0)
        await paces.rest()
        for name, connections in gone.items():
            self._empty(connections, gone_rows[name])

    async def _listen(self, spec: Spec, sockets: Mapping[str, Sequence[socket]], drain_s: float) -> None:
        """Serve by the routes of this specification on its listeners, and let the others go."""
        on_record = self._sinks()
        self._front.adopt(spec, self.rows.front)
        wanted = {key_of(listener): listener for listener in spec.listeners}
        for key in [key for key in self.listeners if key not in wanted]:
            listener = self.listeners.pop(key)
            self.leaving.add(listener)
            listener.stop_accepting()
            self.loop.call_later(drain_s, self._leave, listener)
        for key, its_spec in wanted.items():
            router = self._router(its_spec)
            networks = tuple(ip_network(network) for network in its_spec.trusted_proxies)
            row = self.rows.front[name_of_listener(its_spec)]
            if key in self.listeners:
                listener = self.listeners[key]
                listener.context.crowd = self._front.crowd_of(its_spec, row, listener.context.crowd)
                listener.adopt(its_spec, router, networks)
                continue
            context = ListenerContext(
                self.loop, self.wheel, its_spec, router, networks, self._below, on_record, self._date_line
            )
            context.count_at(Door(self.table, row))
            context.crowd = self._front.crowd_of(its_spec, row, None)
            context.recent = self.recent
            context.counters = self.counters
            context.stopping = self.stopping
            made = UdpListener if its_spec.protocol == UDP else Listener
            self.listeners[key] = made(self.loop, its_spec, context, sockets.get(key), self._capacity)
            if not self.stopping:
                await self.listeners[key].start()
                for left in self.answering(key):
                    left.answer_beside(self.listeners[key].socks or ())
        for listener in (*self.listeners.values(), *self.leaving):
            listener.context.on_record = on_record

    def answering(self, key: str) -> list[UdpListener]:
        """Those that were taken out, and whose sessions go on at the address that has this key."""
        return [
            one for one in self.leaving if isinstance(one, UdpListener) and key_of(one.spec) == key and one.sessions
        ]

    def _router(self, spec: ListenerSpec) -> Router:
        router = Router(spec.routes)
        for route in router.routes:
            route.limit = self._front.limit_of(spec, route.spec)
            if route.spec.pool is not None:
                route.pool = self.connections[route.spec.pool]
            else:
                route.respond = route.spec.respond
        return router

    def _leave(self, listener: Listener | UdpListener) -> None:
        """A listener that was removed has had its time."""
        self.leaving.discard(listener)
        listener.drop()

    def _empty(self, connections: PoolConnections, rows: PoolRows) -> None:
        """A pool that was removed: who still has it finds nobody there, and what is in flight ends as ever."""
        pool = connections.pool
        draft = pool.draft(replace(pool.spec, backends=(), sticky=None), PoolRows(rows.tiers[:1], ()))
        while draft.advance(1):
            pass
        pool.adopt(draft)
        connections.adopt()
        connections.close()

    def _open_log(self, spec: Spec) -> AccessLog | None:
        """The access log of a specification. A file is opened anew each time: somebody may have moved it away."""
        if spec.access_log is None:
            return None
        if self.access_log is not None and self.access_log.path == spec.access_log == "-":
            return self.access_log
        return AccessLog(self.loop, spec.access_log)

    def _sinks(self) -> OnRecord | None:
        """Where records go."""
        sinks: list[OnRecord] = []
        if self.access_log is not None:
            sinks.append(self.access_log.add)
        if self.on_record is not None:
            sinks.append(self.on_record)
        return _fan_out(self.loop, sinks)

    async def stop(self, drain_s: float) -> None:
        """Accept nothing more, let what is in flight finish for at most drain_s, then close everything."""
        deadline = monotonic() + drain_s
        self.stopping = True
        for listener in self.listeners.values():
            listener.stop_accepting()
        try:
            await sleep(min(DRAIN_POLL_S, drain_s))  # who was accepted in this very round is a client in the next one
            while self.clients() and monotonic() < deadline:  # noqa: ASYNC110 (an event would cost each connection)
                await sleep(DRAIN_POLL_S)
        finally:  # also when the drain itself is cancelled
            for listener in (*self.listeners.values(), *self.leaving):
                listener.drop()
            for connections in self.connections.values():
                connections.close()
            arriving = [task for listener in (*self.listeners.values(), *self.leaving) for task in listener.arriving]
            if arriving:
                await wait(arriving)
            await sleep(0)  # lets the transports tell their protocols
            self.wheel.stop()
            if self.access_log is not None:
                self.access_log.close()

    def clients(self) -> int:
        """How many client connections are open."""
        return sum(listener.clients() for listener in (*self.listeners.values(), *self.leaving))

    def listener(self, name: str) -> Listener | UdpListener:
        """The listener of this name. Raises KeyError."""
        for listener in self.listeners.values():
            if listener.spec.name == name:
                return listener
        raise KeyError(name)


def _below(source: random.Random) -> Callable[[int], int]:
    """n -> a random whole number in [0, n)."""
    draw = source.random
    return lambda n: int(draw() * n)


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
