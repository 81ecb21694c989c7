"""Rung 3, one epoll loop: a single thread that waits for all sockets at once and never for one of them.

A connection that waits is an entry of a dictionary and a generator that stands still. Nothing has to be locked, and
nothing is switched to but what has work. But it is one thread, on one core.
"""

import errno
import select
import socket
from contextlib import suppress
from typing import Final

from bench.ladder.steps import (
    CONNECT,
    RECEIVE_BYTES,
    SEND,
    Connection,
    Step,
    Task,
    address_of,
    at_once,
)
from bench.ladder.work import Work
from steelyard.core.backend import Backend
from steelyard.wire.peer import Peer

# A step of our own: a connection that is on its way, with the backend in place of the bytes.
_CONNECTING: Final = 4
_NOT_YET: Final = (errno.EINPROGRESS, errno.EALREADY)
_DONE: Final = (0, errno.EISCONN)


class Loop:
    """waiting: by descriptor, who waits for it, and with which step. watched: what the kernel was told to watch for.

    lifeline: a descriptor that is the end of the loop when something happens to it.
    """

    def __init__(self, listener: socket.socket, work: Work, peer: Peer, lifeline: int | None = None) -> None:
        self.listener = listener
        self.lifeline = lifeline
        self.work = work
        self.peer = peer
        self.epoll = select.epoll()
        self.waiting: dict[int, tuple[Task, Step]] = {}
        self.watched: dict[int, int] = {}

    def run(self) -> None:
        """Serve until the lifeline is cut; without one, for good."""
        listener = self.listener.fileno()
        self.listener.setblocking(False)
        self.epoll.register(listener, select.EPOLLIN)
        if self.lifeline is not None:
            self.epoll.register(self.lifeline, select.EPOLLIN)
        while True:
            for descriptor, _ in self.epoll.poll():
                if descriptor == self.lifeline:
                    return
                if descriptor == listener:
                    self._accept()
                else:
                    self._wake(descriptor)

    def _accept(self) -> None:
        """Let in all who wait outside."""
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:  # nobody is left, or there are no more descriptors
                return
            self._own(sock)
            task = self.work.serve(Connection(sock), self.peer)
            self._park(task, next(task))  # a client's first step is to rest

    def _own(self, sock: socket.socket) -> None:
        """A socket is new: what was watched under its number was another, and is closed."""
        sock.setblocking(False)
        at_once(sock)
        self.watched.pop(sock.fileno(), None)

    def _wake(self, descriptor: int) -> None:
        """Something can be done with this socket."""
        waiter = self.waiting.pop(descriptor, None)
        if waiter is None:
            # Nobody wants it now: a client that sends its next request early, a kept connection that has ended. It is
            # watched again when somebody does.
            if self.watched.pop(descriptor, None) is not None:
                with suppress(OSError):  # an event before this one of the same poll has had it closed
                    self.epoll.unregister(descriptor)
        else:
            self._go_on(*waiter)

    def _go_on(self, task: Task, step: Step) -> None:
        """Take this step and those that follow, until one would have to be waited for."""
        try:
            while True:
                try:
                    result = self._take(step)
                except BlockingIOError:
                    self._park(task, step)
                    return
                except OSError as exc:
                    step = task.throw(exc)
                else:
                    if isinstance(result, tuple):  # what is left of it
                        step = result
                        continue
                    step = task.send(result)
                if step[0] < SEND:  # an answer takes its time: to ask at once would mostly be in vain
                    self._park(task, step)
                    return
        except StopIteration:
            pass

    def _park(self, task: Task, step: Step) -> None:
        """Go on with it when its socket is ready."""
        descriptor = step[1].fileno()
        self.waiting[descriptor] = (task, step)
        events = select.EPOLLIN if step[0] < SEND else select.EPOLLOUT
        watched = self.watched.get(descriptor)
        if watched != events:
            (self.epoll.register if watched is None else self.epoll.modify)(descriptor, events)
            self.watched[descriptor] = events

    def _take(self, step: Step) -> bytes | socket.socket | Step | None:
        """Do what can be done of it now; BlockingIOError for nothing, or the step that is left."""
        act, where, data = step
        if act == SEND:
            sent = where.send(data)
            return None if sent == len(data) else (SEND, where, data[sent:])
        if act == CONNECT:
            return self._begin_to_connect(where)
        if act == _CONNECTING:
            return _connected(where, data)  # type: ignore[arg-type]
        received: bytes = where.recv(RECEIVE_BYTES)
        return received

    def _begin_to_connect(self, backend: Backend) -> Step:
        sock = socket.socket(address_of(backend)[0], socket.SOCK_STREAM)
        self._own(sock)
        return _CONNECTING, sock, backend  # type: ignore[return-value]


def _connected(sock: socket.socket, backend: Backend) -> socket.socket:
    """The socket, once it is connected. Begins with it when called for the first time (connect(2), EINPROGRESS)."""
    code = sock.connect_ex(address_of(backend)[1])
    if code in _NOT_YET:
        raise BlockingIOError(code, "not yet")
    if code not in _DONE:
        sock.close()
        raise OSError(code, errno.errorcode.get(code, str(code)))
    return sock


def serve(listener: socket.socket, work: Work, peer: Peer) -> None:
    """Accept for good."""
    Loop(listener, work, peer).run()
