"""What an idle client costs: memory of a balancer before and after 5,000 clients that each asked once and stay.

The clients ask one after the other, so that backend connections do not grow with them. The kernel's memory for the
sockets is not the balancer's and not counted. A client that the balancer has dropped makes the figure worthless: the
run fails.
"""

import resource
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench import accounting, balancers, load
from bench.balancers import Balancer
from bench.failure import BenchError
from bench.rounds import Stage
from bench.workload import CASES, request_head

# A balancer has one descriptor a client, and so have we; the rest is small.
SPARE_DESCRIPTORS = 1000
SETTLE_S = 0.5


@dataclass(frozen=True, slots=True)
class Idle:
    """base_bytes: the balancer's memory after a warm-up, without clients. client_bytes: what each client adds."""

    balancer: str
    clients: int
    base_bytes: int
    client_bytes: float


def raise_descriptor_limit(clients: int) -> None:
    """Allow ourselves, and so the processes we start, enough descriptors. Raises BenchError when that is refused."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # HAProxy wants two for each of its maxconn 8000 connections, whether they come or not.
    wanted = max(clients + SPARE_DESCRIPTORS, 17_000)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise BenchError(f"{wanted} file descriptors are needed, {hard} allowed; as root: ulimit -Hn {wanted}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def measure(stage: Stage, balancer: Balancer, clients: int) -> Idle:
    """Memory per idle client of one balancer. Takes about two seconds."""
    with balancers.running(balancer, stage.backend_ports, stage.directory, stage.balancer_core) as (pid, port):
        load.warm_up(CASES[0], port, stage.load_core)
        time.sleep(SETTLE_S)
        base = accounting.memory_bytes(pid)
        with ExitStack() as stack:
            connections = [stack.enter_context(_client(port)) for _ in range(clients)]
            time.sleep(SETTLE_S)
            with_clients = accounting.memory_bytes(pid)
            dropped = sum(1 for connection in connections if not _still_open(connection))
        if dropped:
            raise BenchError(f"{balancer.name} dropped {dropped} of {clients} idle clients")
    return Idle(balancer.name, clients, base, (with_clients - base) / clients)


def compared(stage: Stage) -> Sequence[Balancer]:
    """Those that keep clients by themselves: all but the floor."""
    return [balancer for balancer in stage.balancers if balancer.rewrites]


def _client(port: int) -> socket.socket:
    """A connection that has got one answer."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    try:
        connection.sendall(request_head(CASES[0]))
        answer = b""
        while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < CASES[0].body_bytes:
            piece = connection.recv(65536)
            if not piece:
                raise BenchError("an idle client got only part of its answer")
            answer += piece
    except BaseException:
        connection.close()
        raise
    if not answer.startswith(b"HTTP/1.1 200 "):
        connection.close()
        raise BenchError(f"an idle client was answered {answer.splitlines()[0]!r}")
    return connection


def _still_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:  # nothing to read, and no end either
        return True
    except OSError:
        return False
