"""Datagrams: what is lost, what each costs, and what a session takes, beside nginx's stream module.

1,000 clients send 50,000 datagrams of 100 bytes, evenly and by turns, at a rate that all balancers are given; an echo
backend sends each back. What a client does not get is lost, whoever on the way has thrown it away. CPU time is that of
the balancer, for a datagram and its answer; memory is what its resident memory has grown by for 1,000 sessions.
All are measured within each round, in an order that changes, each with a fresh process. The round with the least lost
counts, for where others use the machine a loss says more of them than of us.

    python -m bench.udp      this alone
"""

import re
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from bench import accounting, balancers, idle, processes
from bench.alone import alone
from bench.failure import BenchError

CLIENTS: Final = 1000
DATAGRAMS: Final = 50_000
BYTES: Final = 100
RATES: Final = (10_000, 20_000)
ROUNDS: Final = 3
# Of our memory for a session.
GOAL_BYTES: Final = 2048
# Sent before it is looked for answers.
AT_ONCE: Final = 16
# What has not come by then is lost.
PATIENCE_S: Final = 1.0
POLL_S: Final = 0.05

TITLES: Final = {"nginx": "nginx", "steelyard": "Steelyard"}
MODULE: Final = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
_COMMANDS: Final = {
    "nginx": ("nginx", "-p", "{directory}", "-c", "{file}"),
    "steelyard": (sys.executable, "-m", "steelyard", "run", "-c", "{file}", "--workers", "1"),
}
_TEMPLATES: Final = {"nginx": "udp.nginx.conf", "steelyard": "udp.steelyard.yaml"}


@dataclass(frozen=True, slots=True)
class Udp:
    """One measurement. rate: datagrams a second that were wanted; sent_per_s: and were. lost: of DATAGRAMS.

    cpu_us: for a datagram and its answer. session_bytes: of memory.
    """

    round: int
    balancer: str
    rate: int
    sent_per_s: float
    lost: int
    cpu_us: float
    session_bytes: float


def stream_module() -> str | None:
    """What nginx is told to have its stream module: nothing where it is built in; None where there is none."""
    if shutil.which("nginx") is None:
        return None
    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=False).stderr
    if re.search(r"--with-stream(\s|$)", built):
        return ""
    return f"load_module {MODULE};" if MODULE.exists() else None


def compared() -> tuple[str, ...]:
    """The balancers that can be measured here."""
    return ("steelyard",) if stream_module() is None else ("nginx", "steelyard")


def count(rounds: int) -> int:
    """How many measurements those are."""
    return rounds * len(RATES) * len(compared())


def measure(directory: Path, balancer_core: int, load_core: int, rounds: int = ROUNDS) -> Iterator[Udp]:
    """One for each balancer, rate and round. Raises BenchError where an answer comes to the wrong client."""
    own = directory / "udp"
    own.mkdir()
    own.chmod(0o755)
    with _echo(load_core) as backend:
        for number in range(1, rounds + 1):
            for rate in RATES:
                names = compared()
                for name in names if number % 2 else names[::-1]:
                    yield _sample(own, number, name, rate, backend, balancer_core)


def _sample(own: Path, number: int, name: str, rate: int, backend: int, core: int) -> Udp:
    directory = own / f"{name}-{rate}-{number}"
    directory.mkdir()
    directory.chmod(0o755)
    file = directory / _TEMPLATES[name]
    port = processes.free_port()
    values = {"directory": directory, "port": port, "backend": backend, "load_module": stream_module() or ""}
    file.write_text(balancers.fill((balancers.CONFIGS / file.name).read_text(), values))
    command = [part.format(directory=directory, file=file) for part in _COMMANDS[name]]
    with processes.server(name, command, core, port, directory) as pid, ExitStack() as stack:
        clients = [stack.enter_context(_client(port)) for _ in range(CLIENTS + 1)]
        warm = clients.pop()
        Load([warm]).run(200, 1000)
        time.sleep(idle.SETTLE_S)
        base_bytes, before = accounting.memory_bytes(pid), accounting.cpu_ns(pid)
        load = Load(clients)
        seconds = load.run(DATAGRAMS, rate)
        spent = accounting.spent_ns(before, accounting.cpu_ns(pid))
        session_bytes = (accounting.memory_bytes(pid) - base_bytes) / CLIENTS
    if load.wrong:
        raise BenchError(f"{name}: {load.wrong} answers were another client's, or not what was sent")
    lost = DATAGRAMS - load.answered
    return Udp(number, name, rate, DATAGRAMS / seconds, lost, spent / 1000 / DATAGRAMS, session_bytes)


@contextmanager
def _client(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(("127.0.0.1", port))
        yield sock


@contextmanager
def _echo(core: int) -> Iterator[int]:
    command = processes.pinned([sys.executable, "-m", "bench.echo_udp"], core)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline() or 0)
        finally:
            process.kill()


class Load:
    """What these clients send, and get. answered: right ones; wrong: all else."""

    def __init__(self, clients: Sequence[socket.socket]) -> None:
        self.clients = {client.fileno(): client for client in clients}
        self.order = list(clients)
        self.epoll = select.epoll()
        for descriptor in self.clients:
            self.epoll.register(descriptor, select.EPOLLIN)
        self.room = bytearray(65_536)
        self.answered = 0
        self.wrong = 0

    def run(self, datagrams: int, rate: int) -> float:
        """Send so many at this rate (or as near to it as we can) and wait for the answers. The seconds of sending."""
        began = time.perf_counter()
        sent = 0
        filling = b"." * (BYTES - 12)
        while sent < datagrams:
            due = min(datagrams, int((time.perf_counter() - began) * rate) + 1, sent + AT_ONCE)
            while sent < due:
                client = self.order[sent % len(self.order)]
                client.send(b"%12d%b" % (client.fileno(), filling))
                sent += 1
            self._receive(0.0)
        seconds = time.perf_counter() - began
        in_vain = 0  # polls in a row, and no clock: what came while we stood still has not come too late
        while self.answered + self.wrong < sent and in_vain < PATIENCE_S / POLL_S:
            in_vain = 0 if self._receive(POLL_S) else in_vain + 1
        self.epoll.close()
        return seconds

    def _receive(self, wait_s: float) -> int:
        """Take what has come, or comes within that time; of how many clients."""
        ready = self.epoll.poll(wait_s, 1024)
        for descriptor, _ in ready:
            size = self.clients[descriptor].recv_into(self.room)
            if size == BYTES and int(self.room[:12]) == descriptor:
                self.answered += 1
            else:
                self.wrong += 1
        return len(ready)


def best(samples: Sequence[Udp], balancer: str, rate: int) -> Udp | None:
    """The one with the least lost."""
    of_both = [sample for sample in samples if (sample.balancer, sample.rate) == (balancer, rate)]
    return min(of_both, key=lambda sample: sample.lost, default=None)


def keeps_up(samples: Sequence[Udp], rate: int) -> bool | None:
    """Whether we lose none at a rate at which nginx loses none; None where it does, or was not measured."""
    other, ours = best(samples, "nginx", rate), best(samples, "steelyard", rate)
    return None if other is None or ours is None or other.lost else ours.lost == 0


def typical(samples: Sequence[Udp], balancer: str, rate: int) -> tuple[float, float]:
    """The medians of CPU time (µs) and of memory for a session (bytes)."""
    of_both = [sample for sample in samples if (sample.balancer, sample.rate) == (balancer, rate)]
    return median(sample.cpu_us for sample in of_both), median(sample.session_bytes for sample in of_both)


def main() -> int:
    """Measure and show this table alone; gives the exit status."""
    return alone(measure=_this)


def _this(directory: Path, balancer_core: int, load_core: int, console: Console) -> list[Table]:
    from bench import table  # which shows all tables, this one included

    idle.raise_descriptor_limit(CLIENTS)
    samples = []
    for sample in measure(directory, balancer_core, load_core):
        console.print(f"round {sample.round}, {sample.balancer}, {sample.rate:,}/s: {sample.lost} lost")
        samples.append(sample)
    return [table.of_udp(samples)]


if __name__ == "__main__":
    sys.exit(main())
