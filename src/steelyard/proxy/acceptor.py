"""Accepting connections up to a limit: what there is no room for waits in the kernel's queue, and is not refused.

While there is plenty of room the event loop accepts, as fast as it can: a whole queue at once, which nobody can stop
half way. Nearer the limit than all workers' queues together we accept ourselves, one connection after the other, each
counted before the next; several workers that take the last place at once overshoot by one each, and no more. At the
limit nobody accepts, and nothing goes on but a look every LOOK_S: places that our own clients leave are filled at once,
those that other workers' clients leave at the next look. A worker leaves a place to another one that has fewer
connections and whose clients wait (core/door.py).

The limit is the listener's, over all workers, and what the descriptors of this process allow. Where descriptors run out
all the same (others have them, or the whole system has none), accepting pauses likewise, and says so once a minute.

The loop's server gets a duplicate of the listening socket: closing it ends the loop's accepting, not the listening.
Source: nginx's accept_mutex_delay and its worker_connections (who has none to spare stops listening for a while).
"""

import logging
import resource
import select
import socket
import sys
from asyncio import AbstractEventLoop, Server, Task, TimerHandle
from collections.abc import Callable
from errno import ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM
from typing import Any, Final

from steelyard.core.spec import ListenerSpec
from steelyard.proxy.context import ListenerContext
from steelyard.proxy.dial import SAY_EVERY_S, no_files

LOOK_S: Final = 0.05
AT_ONCE: Final = 64  # accepted before it is the others' turn
# Descriptors that are neither a client's nor a backend's: logs, channels, the table, listening sockets, the loop's own.
RESERVE: Final = 64
LEAST: Final = 8  # connections, however few descriptors there are
# The machine's troubles, over when somebody closes something; every other failure is that of one connection.
EXHAUSTED: Final = (EMFILE, ENFILE, ENOBUFS, ENOMEM)

_log = logging.getLogger("steelyard")


def most_connections() -> int:
    """How many clients the descriptors of this process allow: each may need another one, to a backend."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else max(LEAST, (soft - RESERVE) // 2)


class Capacity:
    """How many clients this process may have at all its listeners. used: how many those are."""

    def __init__(self, used: Callable[[], int], most: int | None = None) -> None:
        self.used = used
        self.most = most_connections() if most is None else most

    def room(self) -> int:
        """How many more."""
        return self.most - self.used()


class Acceptor:
    """Accepts for one listener on its sockets, which stay the listener's. arriving: who is being let in.

    make: makes the protocol object of a new connection, such as a `Downstream`.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        spec: ListenerSpec,
        context: ListenerContext,
        make: Callable[[ListenerContext], Any],
        capacity: Capacity | None = None,
    ) -> None:
        self.loop = loop
        self.context = context
        self.make = make
        self.capacity = Capacity(self.clients) if capacity is None else capacity
        self.socks: tuple[socket.socket, ...] = ()
        self.servers: list[Server] = []
        self.opening: Task[None] | None = None
        self.watching = False
        self.looking: TimerHandle | None = None
        self.poll = select.poll()
        self.arriving: set[Task[None]] = set()
        self.ended = False
        self.dropped = False
        self.unchecked = 0
        self.say_at = 0.0
        self.adopt(spec)

    def adopt(self, spec: ListenerSpec) -> None:
        """Go by this specification's limit and backlog from now on."""
        self.name = spec.name
        self.backlog = spec.backlog
        self.most = spec.max_connections
        if self.servers and not self.is_plenty(1):
            self.narrow()

    async def start(self, socks: tuple[socket.socket, ...]) -> None:
        """Accept on these sockets from now on."""
        self.socks = socks
        for sock in socks:
            self.poll.register(sock, select.POLLIN)
        if self.is_plenty(1):
            await self._open()
        else:
            self._watch()

    def stop(self) -> None:
        """Accept nothing more. Who waits is let in before, as far as there is room."""
        if self.ended:
            return
        self.ended = True
        self._close_servers()
        self._unwatch()
        self._look_no_more()
        for sock in self.socks:
            while self.room() > 0 and self._accept_one(sock):
                pass

    def drop(self) -> None:
        """Those that are being let in are closed at once."""
        self.dropped = True

    def clients(self) -> int:
        """How many connections are open; who is being let in has one."""
        return len(self.context.downstreams) + len(self.arriving)

    # How much room there is.

    def room(self) -> int:
        """How many more connections may be open."""
        room = self.capacity.room()
        return room if self.most is None else min(room, self.most - self.context.door.connections())

    def is_plenty(self, factor: int) -> bool:
        """Whether there is room for all that may be accepted at once, so many times over."""
        return self.spare(factor) >= 0

    def spare(self, factor: int) -> int:
        """How much room there is beyond that."""
        # Linux queues one more than the backlog (sk_acceptq_is_full).
        at_once = (self.backlog + 1) * max(1, len(self.socks)) * factor
        spare = self.capacity.room() - at_once
        if self.most is not None:
            spare = min(spare, self.most - self.context.door.connections() - at_once * self.context.door.table.workers)
        return spare

    # While there is plenty: the loop accepts.

    async def _open(self) -> None:
        opened: list[Server] = []
        try:
            for sock in self.socks:
                made = await self.loop.create_server(
                    self._downstream,
                    sock=sock.dup(),
                    backlog=self.backlog,
                )
                opened.append(made)
        except OSError as exc:  # no descriptor for a duplicate: accept as one does who is near the limit
            for server in opened:
                server.close()
            if not self.ended:
                self._out_of_files(exc)
                self._watch()
            return
        finally:
            self.opening = None
        if self.ended or not self.is_plenty(1):
            for server in opened:
                server.close()
            if not self.ended:
                self._watch()
            return
        self._unwatch()
        self.servers = opened
        self.unchecked = 0

    def _downstream(self) -> Any:
        """For a connection that the loop has accepted."""
        if self.unchecked <= 0:
            spare = self.spare(1)
            # Others accept meanwhile: half of what is left, for all of us.
            self.unchecked = max(spare // (2 * self.context.door.table.workers), 1)
            if spare < 0:
                self.loop.call_soon(self.narrow)  # not from within the loop's accepting
        self.unchecked -= 1
        return self.make(self.context)

    def narrow(self) -> None:
        """There is no longer plenty of room."""
        if self.servers and not self.ended:
            self._close_servers()
            self._watch()

    def _close_servers(self) -> None:
        servers, self.servers = self.servers, []
        for server in servers:
            server.close()

    # Near the limit: one after the other.

    def _watch(self) -> None:
        if not self.watching:
            self.watching = True
            for sock in self.socks:
                self.loop.add_reader(sock.fileno(), self._accept, sock)

    def _unwatch(self) -> None:
        if self.watching:
            self.watching = False
            for sock in self.socks:
                self.loop.remove_reader(sock.fileno())

    def _accept(self, sock: socket.socket) -> None:
        """Somebody waits."""
        for _ in range(AT_ONCE):
            if self.room() <= 0:
                self._pause(full=True)
                return
            if not self._accept_one(sock):
                break
        if self.watching and self.opening is None and self.is_plenty(2):
            self.opening = self.loop.create_task(self._open())

    def _accept_one(self, sock: socket.socket) -> bool:
        """Accept one connection; False when nobody waits, or nobody can be accepted now."""
        try:
            waiting, _ = sock.accept()
        except BlockingIOError:
            return False
        except OSError as exc:
            if exc.errno not in EXHAUSTED:
                # That one has gone already: the next, please. But what a closed socket says, it says each time.
                return not self.ended or exc.errno == ECONNABORTED
            self._out_of_files(exc)
            if not self.ended:
                self._pause()
            return False
        waiting.setblocking(False)
        self.context.door.enter()
        task = self.loop.create_task(self._welcome(waiting))
        self.arriving.add(task)
        task.add_done_callback(self.arriving.discard)
        return True

    async def _welcome(self, waiting: socket.socket) -> None:
        downstream = self.make(self.context)
        downstream.counted = True
        if self.dropped:
            waiting.close()
            downstream.uncount()
            return
        try:
            await self.loop.connect_accepted_socket(lambda: downstream, waiting)
        except OSError:
            waiting.close()
            downstream.uncount()
            return
        if self.dropped:
            downstream.cut()

    # At the limit: nobody.

    def _pause(self, full: bool = False) -> None:
        """Accept nobody until there is room. full: as the limit says; else for want of descriptors."""
        self._unwatch()
        self.context.on_leave = self._left
        self._arm()
        if full and self.loop.time() >= self.say_at:
            self.say_at = self.loop.time() + SAY_EVERY_S
            _log.warning("listener %s: %s; whoever else comes waits", self.name, self._why_full())

    def _why_full(self) -> str:
        connections = self.context.door.connections()
        if self.most is not None and connections >= self.most:
            return f"{connections} connections are open, as max_connections allows"
        return (
            f"{self.capacity.used()} clients are connected, for more there are no descriptors (LimitNOFILE, ulimit -n)"
        )

    def _arm(self) -> None:
        if self.looking is not None:
            self.looking.cancel()
        self.looking = self.loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        """See whether others have left room."""
        self.looking = None
        self.context.door.set_waits(bool(self.poll.poll(0)))
        self._go_on()
        if not self.watching:
            self._arm()

    def _left(self) -> None:
        """One of our own connections has closed."""
        self._go_on()

    def _go_on(self) -> None:
        if not self.watching and self.room() > 0 and not self.context.door.should_yield():
            self._look_no_more()
            self._watch()

    def _look_no_more(self) -> None:
        self.context.on_leave = None
        if self.looking is not None:
            self.looking.cancel()
            self.looking = None
        self.context.door.set_waits(False)

    def _out_of_files(self, exc: OSError) -> None:
        no_files.say(exc.errno, self.loop.time(), "clients wait to be accepted")
