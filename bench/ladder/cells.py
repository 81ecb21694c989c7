"""Measuring the ladder: every rung at every number of connections, and Steelyard itself behind them.

All of it, rungs, backends and load generator, may use both cores: the last rung has a process for each. At each number
of connections the rungs are measured one after the other, in an order that changes from round to round, each as a fresh
process; clients connect within the measurement. A rung that fails is no failure of the run: its errors are among the
figures, and so are clients that it never answered, which no load generator tells of.
"""

import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, fields, replace
from statistics import median
from typing import Final

from bench import accounting, balancers, checks, load, scaling
from bench.balancers import Balancer
from bench.rounds import Stage
from bench.workload import CASES

CONNECTIONS: Final = (10, 100, 1000, 5000)
QUICK: Final = (10, 1000)
BACKENDS: Final = ("127.0.0.1:{backend1}", "127.0.0.1:{backend2}", "127.0.0.1:{backend3}")
TITLES: Final = {
    "thread-each": "a thread a connection",
    "thread-pool": "a thread pool",
    "one-loop": "one epoll loop",
    "several-loops": "several epoll loops",
    "steelyard-1": "Steelyard, one worker",
    "steelyard-2": "Steelyard, two workers",
}
# What is compared with what: the four rungs upwards, and Steelyard with the rung that it is built like.
STEPS: Final = (
    ("thread-each", "thread-pool"),
    ("thread-pool", "one-loop"),
    ("one-loop", "several-loops"),
    ("one-loop", "steelyard-1"),
    ("several-loops", "steelyard-2"),
)
# How often memory and clients are looked at during a measurement: it takes some ms of a core.
LOOK_S: Final = 0.45


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement. rung: of TITLES.

    cpu_us: CPU time per answered request; 0 without any, as the latencies are. cores: how many of the two the balancer
    kept busy; others: backends, load generator and this program; foreign: whoever else runs on the machine.
    memory_bytes: the most that was seen. errors: that the load generator met. unanswered: clients that had got no
    answer at all when they were looked at last.
    """

    round: int
    rung: str
    connections: int
    requests: int
    requests_per_s: float
    p50_us: float
    p99_us: float
    cpu_us: float
    cores: float
    others: float
    foreign: float
    memory_bytes: int
    errors: int
    unanswered: int


def balancer_of(rung: str) -> Balancer:
    """How it is started."""
    if rung.startswith("steelyard"):
        return replace(scaling.with_workers(int(rung[-1])), template="ladder.yaml")
    command = (sys.executable, "-m", "bench.ladder.rung", rung, "--port", "{port}", *BACKENDS)
    return Balancer(rung, TITLES[rung], None, command, ())


def plan(rounds: int, connections: Sequence[int]) -> list[tuple[int, int, str]]:
    """All measurements in their order: round, connections, rung."""
    steps = []
    rungs = list(TITLES)
    for number in range(1, rounds + 1):
        turn = (number - 1) % len(rungs)
        steps += [(number, many, rung) for many in connections for rung in rungs[turn:] + rungs[:turn]]
    return steps


def measure(stage: Stage, steps: Sequence[tuple[int, int, str]]) -> Iterator[Cell]:
    """One for each step. Raises BenchError where a rung does not start, does other work, or ends."""
    case = CASES[0]
    cores = f"{stage.balancer_core},{stage.load_core}"
    checked: set[str] = set()
    for number, connections, rung in steps:
        with balancers.running(balancer_of(rung), stage.backend_ports, stage.directory, cores) as (pid, port):
            if rung not in checked:
                checks.check_answers(rung, port)
                checks.check_work(rung, port, stage.backend_ports)
                checked.add(rung)
            load.warm_up(case, port, cores)
            yield _cell(stage, number, connections, rung, pid, port)


def _cell(stage: Stage, number: int, connections: int, rung: str, pid: int, port: int) -> Cell:
    both = (stage.balancer_core, stage.load_core)
    cores = ",".join(map(str, both))
    busy_before, all_before = _busy_ns(both), _family_ns()
    before, began = accounting.lifetime_ns(pid), time.monotonic_ns()
    with ThreadPoolExecutor(1) as beside:
        run = beside.submit(load.run_counting, CASES[0], port, connections, stage.seconds, cores)
        memory_bytes, answered = _look(run, pid, port)
    seen, errors = run.result()
    took_ns = time.monotonic_ns() - began
    spent_ns = accounting.spent_ns(before, accounting.lifetime_ns(pid))
    family_ns, busy_ns = _family_ns() - all_before, _busy_ns(both) - busy_before
    return Cell(
        round=number,
        rung=rung,
        connections=connections,
        requests=seen.requests,
        requests_per_s=seen.requests / seen.seconds,
        p50_us=seen.p50_us,
        p99_us=seen.p99_us,
        cpu_us=spent_ns / 1000 / seen.requests if seen.requests else 0.0,
        cores=spent_ns / took_ns,
        others=max(0.0, (family_ns - spent_ns) / took_ns),
        foreign=max(0.0, (busy_ns - family_ns) / took_ns),
        memory_bytes=memory_bytes,
        errors=errors,
        unanswered=connections - min(answered, connections),
    )


def _look(run: "Future[tuple[load.Load, int]]", pid: int, port: int) -> tuple[int, int]:
    """The most memory, and the most clients with an answer, that were seen until the run was over."""
    memory_bytes = answered = 0
    while True:
        wait([run], LOOK_S)
        memory_bytes = max(memory_bytes, accounting.memory_bytes(pid))
        answered = max(answered, clients_answered(port))
        if run.done():
            return memory_bytes, answered


def clients_answered(port: int) -> int:
    """How many open connections to a port have taken in some bytes from it."""
    command = ["ss", "-tinHO", "state", "established", f"sport = :{port}"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sum(1 for line in shown.splitlines() if re.search(r"\bbytes_acked:[1-9]", line))


def _family_ns() -> int:
    """CPU time of this program and of all that it has started, also of what has ended since (the load generator)."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(accounting.lifetime_ns(os.getpid()).values()) + int((ended.ru_utime + ended.ru_stime) * 1e9)


def _busy_ns(cores: Sequence[int]) -> int:
    return sum(accounting.core_busy_ns(core) for core in cores)


def medians(cells: Sequence[Cell]) -> list[Cell]:
    """One for each rung and number of connections: the median round; of memory and of what went wrong the worst one."""
    found = []
    for connections in dict.fromkeys(cell.connections for cell in cells):
        for rung in TITLES:
            own = [cell for cell in cells if (cell.connections, cell.rung) == (connections, rung)]
            if own:
                found.append(_median(own))
    return found


def _median(own: Sequence[Cell]) -> Cell:
    worst = {name: max(getattr(cell, name) for cell in own) for name in ("memory_bytes", "errors", "unanswered")}
    said = {"round": 0, "rung": own[0].rung, "connections": own[0].connections, **worst}
    middle = {
        field.name: median(getattr(cell, field.name) for cell in own)
        for field in fields(Cell)
        if field.name not in said
    }
    return Cell(**said, **middle)
