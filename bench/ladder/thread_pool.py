"""Rung 2, a thread pool: so many threads and no more, however many clients there are.

A thread takes a client that has sent something, serves what it asks, and hands it back: clients between two requests
wait with a poller, in the main thread, and cost no thread. (In the naive pool a thread stays with its client until that
leaves: the 65th client of 64 threads with kept connections waits for good.) But whoever has begun a request holds a
thread until its answer is out: 64 clients that send half a head, or one slow backend, hold all of them. So it is the
pool's size that says how many requests can be in flight.
"""

import queue
import select
import socket
import threading
from typing import Final

from bench.ladder.blocking import go_on
from bench.ladder.steps import Connection, Step, Task, at_once
from bench.ladder.work import Work
from steelyard.wire.peer import Peer

THREADS: Final = 64

Waiting = tuple[socket.socket, Task, Step | None]


class ThreadPool:
    """waiting: clients between two requests. ready: those that have sent something, for the next free thread."""

    def __init__(self, listener: socket.socket, work: Work, peer: Peer) -> None:
        self.listener = listener
        self.work = work
        self.peer = peer
        self.poller = select.epoll()
        self.waiting: dict[int, Waiting] = {}
        self.ready: queue.SimpleQueue[Waiting] = queue.SimpleQueue()

    def run(self) -> None:
        """Accept and poll for good."""
        for _ in range(THREADS):
            threading.Thread(target=self._work, daemon=True).start()
        self.poller.register(self.listener, select.EPOLLIN)
        while True:
            for descriptor, _ in self.poller.poll():
                if descriptor == self.listener.fileno():
                    self._accept()
                else:
                    self.ready.put(self.waiting.pop(descriptor))

    def _accept(self) -> None:
        sock, _ = self.listener.accept()
        at_once(sock)
        self.poller.register(sock, 0)
        self._await((sock, self.work.serve(Connection(sock), self.peer), None))

    def _await(self, client: Waiting) -> None:
        # First noted, then watched, and once: from then on another thread may have it.
        self.waiting[client[0].fileno()] = client
        self.poller.modify(client[0], select.EPOLLIN | select.EPOLLONESHOT)

    def _work(self) -> None:
        """One of the threads."""
        while True:
            sock, task, step = self.ready.get()
            if step is None:
                step = next(task)  # a client's first step is to rest, and it has just sent something
            step = go_on(task, step, until_rest=True)
            if step is not None:
                self._await((sock, task, step))


def serve(listener: socket.socket, work: Work, peer: Peer) -> None:
    """Accept for good."""
    ThreadPool(listener, work, peer).run()
