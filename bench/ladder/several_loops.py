"""Rung 4, several epoll loops: a process with a loop of its own for every core, over one table.

Each has its own socket on the same port (SO_REUSEPORT), so that the kernel deals new connections out, and its own
interpreter. What they share is the table of the core: whose turn it is, and what is in flight where. That is how
Steelyard serves, with uvloop in place of this loop, and with a supervisor.
"""

import os
import socket
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from mmap import mmap

from bench.ladder.one_loop import Loop
from bench.ladder.work import Work, rows_of
from steelyard.core.spec import PoolSpec
from steelyard.core.table import Table
from steelyard.wire.peer import Peer


def begin(listeners: Sequence[socket.socket], spec: PoolSpec, memory: mmap, peer: Peer) -> Loop:
    """Start a process with a loop for each listener but the first, whose loop is given back, for this process to run.

    However this one ends, the others end with it. memory: shared, and a table already that knows the pool.
    """

    def loop(worker: int, lifeline: int | None) -> Loop:
        table = Table(memory, rows_of(spec), len(listeners), worker)
        return Loop(listeners[worker], Work(spec, table, nullcontext(), fresh=False), peer, lifeline)

    # A pipe into which nobody writes: it ends when the only process that could is no more.
    lifeline, ours = os.pipe()
    for worker in range(1, len(listeners)):
        if os.fork() == 0:
            os.close(ours)
            loop(worker, lifeline).run()
            sys.exit(0)
    os.close(lifeline)
    return loop(0, None)
