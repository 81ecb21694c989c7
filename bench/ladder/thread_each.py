"""Rung 1, a thread a connection: it waits for its client, then for the backend, then for its client again.

The simplest there is: the code of one client from top to bottom, and the kernel's scheduler does the rest. Every open
connection has a thread, whether it asks anything or not; and in Python only one of all those threads runs at a time,
and nobody sees to it that each gets its turn.
"""

import socket
import threading

from bench.ladder.blocking import go_on
from bench.ladder.steps import Connection, Task, at_once
from bench.ladder.work import Work
from steelyard.wire.peer import Peer


def serve(listener: socket.socket, work: Work, peer: Peer) -> None:
    """Accept for good."""
    while True:
        sock, _ = listener.accept()
        at_once(sock)
        client = Connection(sock)
        try:
            threading.Thread(target=_serve_one, args=(work.serve(client, peer),), daemon=True).start()
        except RuntimeError:  # the kernel gives no more threads: this client is turned away
            client.close()


def _serve_one(task: Task) -> None:
    go_on(task, None, until_rest=False)
