"""One rung as a program: `python -m bench.ladder.rung one-loop --port 8080 127.0.0.1:8000 127.0.0.1:8001`.

SIGUSR1 has it write what its pool has counted; SIGTERM ends it at once.
"""

import argparse
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from mmap import mmap
from typing import Final

from bench.ladder import one_loop, several_loops, thread_each, thread_pool
from bench.ladder.steps import BACKLOG
from bench.ladder.work import Work, pool_spec, rows_of
from steelyard.core.table import Table
from steelyard.wire.peer import Peer

HOST: Final = "127.0.0.1"
SERVE: Final = {"thread-each": thread_each.serve, "thread-pool": thread_pool.serve, "one-loop": one_loop.serve}
NAMES: Final = (*SERVE, "several-loops")


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(prog="python -m bench.ladder.rung", description="One rung of the ladder.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--port", type=int, default=0, help="where to listen; 0 (the default) is any free one")
    parser.add_argument("--loops", type=int, default=2, help="of several-loops (default 2)")
    parser.add_argument("backends", nargs="+", metavar="HOST:PORT", help="IP address and port")
    arguments = parser.parse_args(argv)
    addresses = [(host, int(port)) for host, _, port in (one.rpartition(":") for one in arguments.backends)]
    run(arguments.name, arguments.port, arguments.loops, addresses)


def run(name: str, port: int, loops: int, addresses: Sequence[tuple[str, int]]) -> None:
    """Serve as the rung of this name does."""
    spec = pool_spec(addresses)
    workers = loops if name == "several-loops" else 1
    listeners = [listen(port, workers > 1)]
    port = listeners[0].getsockname()[1]
    listeners += [listen(port, True) for _ in range(1, workers)]
    memory = mmap(-1, Table.size_bytes(rows_of(spec), workers))  # which forked processes share
    table = Table(memory, rows_of(spec), workers)
    lock = threading.Lock() if name.startswith("thread") else nullcontext()
    work = Work(spec, table, lock)
    # The clients of the benchmark are all from here: one Peer for all of them, as the proxy shares it among requests.
    peer = Peer(HOST, "http", (), f"{HOST}:{port}")
    # A thread waits for this signal: a handler would run only when the main thread has something else to do, too.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    if name in SERVE:
        serve: Callable[[], None] = partial(SERVE[name], listeners[0], work, peer)
    else:
        serve = several_loops.begin(listeners, spec, memory, peer).run
    threading.Thread(target=_tell, args=(work,), daemon=True).start()
    print(f"{name}: listening on http://{HOST}:{port}", flush=True)
    serve()


def _tell(work: Work) -> None:
    while True:
        signal.sigwait({signal.SIGUSR1})
        print(work.counted(), flush=True)


def listen(port: int, shared: bool) -> socket.socket:
    """A socket that listens. shared: others of ours listen on the same port."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((HOST, port))
    sock.listen(BACKLOG)
    return sock


if __name__ == "__main__":
    main()
