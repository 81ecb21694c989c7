"""System 7: broker, worker, client, from examples/broker.yaml, with programs that have the first ones' habits.

Clients write once, end no line, do not close their side, read 1024 bytes and go. Workers have a thread a connection,
read 1024 bytes once, take their time, answer and close (examples/broker/worker.py).
"""

import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Final

import pytest

from steelyard.control import config
from tests.systems.programs import EXAMPLES, HOST, PATIENCE_S, Program, program, variant

EXAMPLE: Final = EXAMPLES / "broker.yaml"
PROGRAMS: Final = EXAMPLES / "broker"
ANSWER: Final = b"Response from Worker"
CLIENTS: Final = 200

pytestmark = pytest.mark.real


def ask(port: int, request: bytes) -> bytes:
    """A client: one write, one read, and away."""
    with socket.create_connection((HOST, port), PATIENCE_S) as broker:
        broker.sendall(request)
        return broker.recv(1024)


def to_the_end(sock: socket.socket) -> bytes:
    """All that comes up to the close."""
    data = b""
    while piece := sock.recv(1024):
        data += piece
    return data


class Workers:
    """Worker programs 1, 2 and 3."""

    def __init__(self, running: list[Program]) -> None:
        self.running = running
        self.ports = [int(one.until(r"^\[Worker-\d\] Listening on port (\d+)\.\.\.$")[1]) for one in running]

    def received(self) -> list[list[str]]:
        """The kinds of the tasks that each has got so far, in order."""
        return [re.findall(r"Received: AppID:(\w+)$", "\n".join(one.rest()), re.MULTILINE) for one in self.running]

    def until(self, count: int) -> list[list[str]]:
        """The same, as soon as they have got so many together; fails where that takes too long."""
        give_up = monotonic() + PATIENCE_S
        while sum(map(len, received := self.received())) < count:
            assert monotonic() < give_up, received
            sleep(0.005)
        return received


@contextmanager
def workers(scale: float, count: int = 3) -> Iterator[Workers]:
    """So many workers on free ports."""
    with ExitStack() as stack:
        worker = PROGRAMS / "worker.py"
        yield Workers([stack.enter_context(program(worker, number + 1, scale, 0)) for number in range(count)])


@contextmanager
def broker(
    tmp_path: Path, ports: list[int], balancers: int = 1, head: str = "60s", response: str = "60s"
) -> Iterator[tuple[Program, int]]:
    """The example over workers on these ports; the program, and its port. head, response: its time-outs."""
    listed = "".join(f"      - {HOST}:{port}\n" for port in ports)
    file = variant(
        EXAMPLE,
        tmp_path / "broker.yaml",
        bind=f"bind: 127.0.0.1:8000 -> bind: {HOST}:0",
        workers=f"      - 127.0.0.1:9002\n      - 127.0.0.1:9003\n      - 127.0.0.1:9004\n -> {listed}"
        f"    timeouts: {{response: {response}}}\n",
        balancers=f"access_log: -> workers: {balancers}\naccess_log:",
        head=f"protocol: task -> protocol: task\n    timeouts: {{head: {head}}}",
    )
    with program("-m", "steelyard", "run", "-c", file) as running:
        yield running, int(running.until(r"listening on [a-z]+://[\w.]+:(\d+)")[1])


@contextmanager
def clients(count: int) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(count) as pool:
        yield pool


def at_once(port: int, requests: list[bytes]) -> list[bytes]:
    """All of these, each by a client of its own, connected before the first one asks; the answers."""
    gate = threading.Barrier(len(requests))

    def one(request: bytes) -> bytes:
        with socket.create_connection((HOST, port), PATIENCE_S) as sock:
            gate.wait(PATIENCE_S)
            sock.sendall(request)
            return sock.recv(1024)

    with clients(len(requests)) as pool:
        return list(pool.map(one, requests))


def test_the_file_is_that_of_the_three_programs() -> None:
    spec = config.load(EXAMPLE)
    (listener,) = spec.listeners
    (pool,) = spec.pools
    assert ("127.0.0.1:8000", "task") == (listener.address, listener.protocol)
    assert [f"127.0.0.1:{9001 + number}" for number in (1, 2, 3)] == [backend.address for backend in pool.backends]
    assert pool.health_check is None, "the first worker dies of a connection that sends nothing"


@pytest.mark.parametrize("balancers", [1, 2])
def test_two_hundred_clients_at_once_are_all_answered(tmp_path: Path, balancers: int) -> None:
    approaches = ["least_connections", "round_robin", "random", "power_of_two", "hash", "peak_ewma", "prequal"]
    requests = [
        f"AppID:{'Short' if number % 3 else 'Long'}:{approaches[number % len(approaches)]}".encode()
        for number in range(CLIENTS)
    ]
    with workers(0.01) as three, broker(tmp_path, three.ports, balancers) as (_, port):
        assert {ANSWER: CLIENTS} == Counter(at_once(port, requests))
        kinds = Counter(kind for got in three.until(CLIENTS) for kind in got)
        assert {"Long": 67, "Short": 133} == kinds


# Interpreted, two processes may once in a while be given the same turn (core/table.py).
@pytest.mark.parametrize("balancers", [1, pytest.param(2, marks=pytest.mark.compiled)])
def test_round_robin_is_exact_one_after_the_other_and_at_once(tmp_path: Path, balancers: int) -> None:
    with workers(0.01) as three, broker(tmp_path, three.ports, balancers) as (_, port):
        for number in range(1, 13):
            assert ANSWER == ask(port, b"AppID:Short:round_robin")
            assert ANSWER == ask(port, b"AppID:Short:least_connections")  # must not disturb the turns
            three.until(2 * number)
        before = [len(got) for got in three.received()]
        assert {ANSWER: 60} == Counter(at_once(port, [b"AppID:Long:round_robin"] * 60))
        assert [20, 20, 20] == [len(got) - was for got, was in zip(three.until(84), before, strict=True)]


def test_the_turns_are_one_two_three_whatever_else_is_asked(tmp_path: Path) -> None:
    with workers(0.001) as three, broker(tmp_path, three.ports, 2) as (_, port):
        order = []
        for turn in range(9):
            assert ANSWER == ask(port, b"AppID:Short:random")
            before = three.until(2 * turn + 1)
            assert ANSWER == ask(port, b"AppID:Long:round_robin")
            after = three.until(2 * turn + 2)
            order += [number for number in (1, 2, 3) if before[number - 1] != after[number - 1]]
        assert [1, 2, 3] * 3 == order


def test_long_tasks_at_once_are_spread_so_that_no_worker_has_over_one_more_than_another(tmp_path: Path) -> None:
    with workers(60.0) as three, broker(tmp_path, three.ports) as (_, port), ExitStack() as stack:
        socks = [socket.create_connection((HOST, port), PATIENCE_S) for _ in range(61)]
        for sock in socks:
            stack.callback(reset, sock)  # or the broker would wait for its answer
        for sock in socks:
            sock.sendall(b"AppID:Long:least_connections")
        assert [20, 20, 21] == sorted(map(len, three.until(61)))


def test_so_they_are_over_several_balancers_and_among_what_others_have_chosen(tmp_path: Path) -> None:
    """Each comes when the one before it is at work: no balancer has a count of its own."""
    with workers(60.0) as three, broker(tmp_path, three.ports, 2) as (_, port), ExitStack() as stack:
        counts: list[int] = []
        for number in range(1, 26):
            sock = socket.create_connection((HOST, port), PATIENCE_S)
            stack.callback(reset, sock)  # or the broker would wait for its answer
            sock.sendall(b"AppID:Long:first" if number <= 4 else b"AppID:Long:least_connections")
            counts = sorted(map(len, three.until(number)))
            assert number < 12 or counts[-1] - counts[0] <= 1, counts
        assert [8, 8, 9] == counts


def test_a_dead_worker_is_skipped_by_every_approach(tmp_path: Path) -> None:
    with workers(0.001) as three, broker(tmp_path, three.ports, 2) as (running, port):
        three.running[1].end()
        for approach in ("round_robin", "least_connections", "first", "random", "hash", "prequal") * 5:
            assert ANSWER == ask(port, f"AppID:Short:{approach}".encode())
        assert [] == three.received()[1]
        assert not [line for line in running.rest() if "failed" in line]


def test_when_all_are_dead_the_client_is_told_in_one_line(tmp_path: Path) -> None:
    with workers(0.001) as three, broker(tmp_path, three.ports) as (_, port):
        for one in three.running:
            one.end()
        line = ask(port, b"AppID:Short:round_robin")
        pattern = (
            rb"ERROR: no worker could be reached, 3 tried, the last one 127\.0\.0\.1:\d+: connection refused; "
            rb"start one, or try again later\n"
        )
        assert re.fullmatch(pattern, line), line


@pytest.mark.parametrize(
    ("request_bytes", "line"),
    [
        (b"AppID:Long:best_worker", b"ERROR: unknown approach 'best_worker'; "),
        (b"AppID:Long:roundrobin", b"ERROR: unknown approach 'roundrobin'; did you mean round_robin?\n"),
        (b"hello", b"ERROR: 'hello' is no request; write AppID:KIND:APPROACH, such as AppID:Long:least_connections\n"),
        (b"AppID::hash", b"ERROR: there is no kind of work in 'AppID::hash'; write AppID:KIND:APPROACH, such as "),
        (b"A" * 1025, b"ERROR: the request is longer than 1024 bytes; write AppID:KIND:APPROACH, such as "),
        (b"A" * 100_000, b"ERROR: the request is longer than 1024 bytes; write AppID:KIND:APPROACH, such as "),
        (b"", b"ERROR: no whole request came within 0.5 s; write AppID:KIND:APPROACH, such as "),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_the_connection_closed(
    tmp_path: Path, request_bytes: bytes, line: bytes
) -> None:
    head = "60s" if request_bytes else "500ms"
    with broker(tmp_path, [1], head=head) as (_, port), socket.create_connection((HOST, port), PATIENCE_S) as sock:
        sock.sendall(request_bytes)
        said = to_the_end(sock)
        assert said.startswith(line)
        assert said.endswith(b"\n")
        assert 1 == said.count(b"\n")


def test_a_request_may_come_in_pieces(tmp_path: Path) -> None:
    with workers(0.001, 1) as one, broker(tmp_path, one.ports) as (_, port):
        with socket.create_connection((HOST, port), PATIENCE_S) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"AppID:Short:least_connections":
                sock.sendall(bytes([byte]))
            assert ANSWER == to_the_end(sock)
        assert ["Short"] == one.received()[0]


class Odd(threading.Thread):
    """A worker that gets one task, and does something else with it than answer."""

    def __init__(self, then: Callable[[socket.socket], object]) -> None:
        super().__init__()
        self.then = then
        self.listening = socket.create_server((HOST, 0))
        self.port: int = self.listening.getsockname()[1]
        self.got: list[bytes] = []

    def run(self) -> None:
        self.listening.settimeout(PATIENCE_S)
        with self.listening, self.listening.accept()[0] as sock:
            sock.settimeout(PATIENCE_S)
            self.got.append(sock.recv(1024))
            self.then(sock)


def reset(sock: socket.socket) -> None:
    """Close so that the other side sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def until_closed(sock: socket.socket) -> None:
    """Say nothing until the other side has enough."""
    with sock, suppress(ConnectionError):
        sock.recv(1)


@pytest.mark.parametrize(
    ("then", "line"),
    [
        (socket.socket.close, "closed without an answer; the task may have been done, so no other worker was asked"),
        (reset, "closed without an answer; the task may have been done, so no other worker was asked"),
        (until_closed, "did not answer within 0.5 s; the task may have been done, so no other worker was asked"),
    ],
)
def test_a_worker_that_does_not_answer_is_said_and_no_other_one_asked(
    tmp_path: Path, then: Callable[[socket.socket], object], line: str
) -> None:
    with workers(0.001, 1) as one:
        odd = Odd(then)
        odd.start()
        ports = [odd.port, *one.ports]
        with (
            broker(tmp_path, ports, response="500ms" if then is until_closed else "60s") as (_, port),
            socket.create_connection((HOST, port), PATIENCE_S) as sock,
        ):
            sock.sendall(b"AppID:Long:first")
            assert f"ERROR: worker {HOST}:{odd.port} {line}\n".encode() == to_the_end(sock)
        odd.join()
        assert [b"AppID:Long"] == odd.got, "exactly that, with no end of line"
        assert [[]] == one.received()


def test_a_connection_that_sends_nothing_costs_neither_broker_nor_worker(tmp_path: Path) -> None:
    with program("-m", "steelyard", "task", "serve", "--id", 1, "--scale", 0.001, "--port", 0) as worker:
        served = int(worker.until(r"^\[Worker-1\] Listening on port (\d+)\.\.\.$")[1])
        with broker(tmp_path, [served]) as (_, port), ExitStack() as stack:
            for at in (port, served):
                for _ in range(20):
                    stack.enter_context(socket.create_connection((HOST, at), PATIENCE_S))
                socket.create_connection((HOST, at), PATIENCE_S).close()
            assert ANSWER == ask(port, b"AppID:Long:round_robin")
            worker.until(r"^\[Worker-1\] Done: Long$")
        assert 0 == worker.end()


def test_every_pair_of_ours_and_foreign_programs_gets_on(tmp_path: Path) -> None:
    ours = ("-m", "steelyard", "task", "send", "Short", "--policy", "round_robin", "--port")
    foreign = (PROGRAMS / "client.py", "Short", "round_robin")
    served = program("-m", "steelyard", "task", "serve", "--id", 2, "--scale", 0.001, "--port", 0)
    with served as second, workers(0.001, 1) as first:
        second_port = int(second.until(r"Listening on port (\d+)")[1])
        with broker(tmp_path, [*first.ports, second_port]) as (running, port):
            for _ in range(2):
                for client in (ours, foreign):
                    with program(*client, port) as asking:
                        asking.until(r"^\[Client\] Received: Response from Worker$")
                        assert 0 == asking.process.wait(PATIENCE_S)
            running.until(r"\[Broker\] Connected with 127\.0\.0\.1:\d+$")
        first.running[0].until(r"^\[Worker-1\] Received: AppID:Short$")
        second.until(r"^\[Worker-2\] Received: Short$")


def test_many_tasks_that_wait_are_all_answered_when_the_broker_is_told_to_stop(tmp_path: Path) -> None:
    with workers(0.1) as three, broker(tmp_path, three.ports, 2) as (running, port), clients(30) as pool:
        waiting: list[Future[bytes]] = [pool.submit(ask, port, b"AppID:Long:round_robin") for _ in range(30)]
        three.until(30)
        assert 0 == running.end()
        assert {ANSWER: 30} == Counter(future.result() for future in waiting)
