"""What passing TCP on costs beside HAProxy, and what a held connection costs: `python -m bench.tcp` for these alone.

CPU time of an exchange over kept connections, both balancers in turn within seconds of each other, as everywhere
(rounds.py); one backend and its clients are a process of their own on the other core (echo.py). Memory as in idle.py:
each connection has asked once, and stays, with its backend's.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from bench import accounting, balancers, idle, processes
from bench.alone import alone
from bench.balancers import Balancer
from bench.failure import BenchError

ROUNDS: Final = 5
SECONDS: Final = 3
HELD: Final = 10_000
HELD_GOAL_BYTES: Final = 10 * 1024
# CPU per exchange over HAProxy's, at most.
GOALS: Final = {"echo": 1.2, "transfer": 1.0}
TITLES: Final = {"echo": "100 B echo", "transfer": "1 MiB"}
CONNECTIONS: Final = {"echo": 64, "transfer": 16}

HAPROXY: Final = Balancer("haproxy", "HAProxy", "haproxy-tcp.cfg", ("haproxy", "-db", "-f", "{file}"), ())
STEELYARD: Final = Balancer(
    "steelyard",
    "Steelyard",
    "steelyard-tcp.yaml",
    (sys.executable, "-m", "steelyard", "run", "-c", "{file}", "--workers", "1"),
    (),
)
COMPARED: Final = (HAPROXY, STEELYARD)
# HELD connections have 20,000 descriptors, and that is all that many a machine allows one process.
HOLDING: Final = replace(STEELYARD, command=(*STEELYARD.command[:-1], "2"))


@dataclass(frozen=True, slots=True)
class Tcp:
    """One measurement. cpu_us: CPU time of the balancer per exchange."""

    round: int
    case: str
    balancer: str
    exchanges: int
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Held:
    """connection_bytes: what each of the held connections adds to the balancer's memory."""

    balancer: str
    connections: int
    connection_bytes: float


class _Echo:
    """The process of the backend and the clients. port: the backend's."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.port = int(self._line())

    def begin(self, what: str) -> None:
        """Ask for something that begins with `ready`."""
        self._say(what)
        if self._line() != "ready":
            raise BenchError("the clients of the TCP measurement did not get ready")

    def number(self, what: str = "") -> int:
        if what:
            self._say(what)
        return int(self._line())

    def _say(self, what: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise BenchError("the process of the TCP clients has ended; what it said is above")
        return line.strip()


@contextmanager
def _echo(core: int) -> Iterator[_Echo]:
    command = processes.pinned([sys.executable, "-m", "bench.echo"], core)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _Echo(process)
        finally:
            process.kill()


def count(rounds: int) -> int:
    """How many measurements `measure` makes."""
    return rounds * len(GOALS) * len(COMPARED)


def measure(directory: Path, balancer_core: int, load_core: int, rounds: int, seconds: int) -> Iterator[Tcp]:
    """Each case with each balancer in every round. Raises BenchError where something is lost."""
    with _echo(load_core) as echo:
        for number in range(1, rounds + 1):
            for case in GOALS:
                for balancer in COMPARED if number % 2 else COMPARED[::-1]:
                    yield _sample(echo, number, case, balancer, directory, balancer_core, seconds)


def _sample(echo: _Echo, number: int, case: str, balancer: Balancer, directory: Path, core: int, seconds: int) -> Tcp:
    with balancers.running(balancer, [echo.port], directory, core) as (pid, port):
        echo.begin(f"{case} {port} {CONNECTIONS[case]} {seconds}")
        before = accounting.cpu_ns(pid)
        exchanges = echo.number()
        spent_ns = accounting.spent_ns(before, accounting.cpu_ns(pid))
    if not exchanges:
        raise BenchError(f"{balancer.name} passed nothing on")
    return Tcp(number, case, balancer.name, exchanges, spent_ns / 1000 / exchanges)


def can_hold() -> int:
    """How many connections one process can hold: HELD, or what descriptors allow, of which each takes two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return HELD if hard == resource.RLIM_INFINITY else min(HELD, (hard - 2 * idle.SPARE_DESCRIPTORS) // 2)


def hold(directory: Path, balancer_core: int, load_core: int) -> Iterator[Held]:
    """What held connections cost, of each balancer; Steelyard's workers share HELD, HAProxy holds what one process can.

    Half of the clients are a process of their own: the backend's has a descriptor of each connection already.
    """
    for balancer, connections in ((HAPROXY, can_hold()), (HOLDING, HELD)):
        with (
            _echo(load_core) as near,
            _echo(load_core) as far,
            balancers.running(balancer, [near.port], directory, balancer_core) as (pid, port),
        ):
            warm = sum(half.number(f"hold {port} 100") for half in (near, far))
            base = accounting.memory_bytes(pid)
            held = sum(half.number(f"hold {port} {connections // 2}") for half in (near, far)) - warm
            time.sleep(idle.SETTLE_S)
            with_them = accounting.memory_bytes(pid)
        if held != connections // 2 * 2:
            raise BenchError(f"{balancer.name} held {held} of {connections} connections")
        yield Held(balancer.name, held, (with_them - base) / held)


def ratio(samples: Sequence[Tcp], case: str) -> float | None:
    """Steelyard's CPU per exchange over HAProxy's: the median of the ratios within the rounds."""
    ours, theirs = (
        {one.round: one.cpu_us for one in samples if (one.case, one.balancer) == (case, balancer.name)}
        for balancer in (STEELYARD, HAPROXY)
    )
    ratios = [ours[number] / theirs[number] for number in ours if number in theirs]
    return median(ratios) if ratios else None


def main() -> int:
    """Measure and show these alone; gives the exit status."""
    return alone("haproxy", measure=_these)


def _these(directory: Path, balancer_core: int, load_core: int, console: Console) -> list[Table]:
    from bench import table  # which shows all tables, these included

    idle.raise_descriptor_limit(2 * can_hold())
    samples = []
    for sample in measure(directory, balancer_core, load_core, ROUNDS, SECONDS):
        console.print(f"round {sample.round}, {TITLES[sample.case]}, {sample.balancer}: {sample.cpu_us:.2f} us")
        samples.append(sample)
    return table.of_tcp(samples, list(hold(directory, balancer_core, load_core)))


if __name__ == "__main__":
    sys.exit(main())
