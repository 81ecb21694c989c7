"""The order of measuring: every round has every case, and every case every balancer in turn.

So the balancers of one comparison run within seconds of each other, and a machine that gets slower meanwhile (other
tenants, heat) slows all of them; ratios are made within a round. Who comes first changes from round to round. One
balancer runs at a time, and each measurement has a fresh process of it, so that the spread also shows what memory
layout does.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import accounting, balancers, checks, load
from bench.balancers import Balancer
from bench.workload import CASES, Case

# What a measurement takes beside its own time: start, checks, warm-up, stop (measured: 0.6 to 1 s).
OVERHEAD_S = 0.9


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a run takes place: who is measured, which cores, and for how long."""

    balancers: tuple[Balancer, ...]
    backend_ports: tuple[int, ...]
    directory: Path
    balancer_core: int
    load_core: int
    rounds: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement.

    cpu_us: CPU time per request. busy: share of the core that the balancer used (near 1: it was the bottleneck).
    foreign: share of that core that others used meanwhile, the hypervisor's other guests included; should be near 0.
    p50_us, p99_us: latencies of the closed loop at the case's number of connections.
    """

    round: int
    case: str
    balancer: str
    requests: int
    cpu_us: float
    requests_per_s: float
    p50_us: float
    p99_us: float
    busy: float
    foreign: float


def plan(stage: Stage) -> list[tuple[int, Case, Balancer]]:
    """All measurements of a run, in their order."""
    steps = []
    for number in range(1, stage.rounds + 1):
        turn = (number - 1) % len(stage.balancers)
        order = stage.balancers[turn:] + stage.balancers[:turn]
        for case in CASES:
            steps += [(number, case, balancer) for balancer in order if comparable(balancer, case)]
    return steps


def comparable(balancer: Balancer, case: Case) -> bool:
    """Whether this balancer does the same as the others in this case.

    The floor joins only the first: it opens a backend connection for each client's, and it is there to show where the
    kernel's share ends, which is plainest in the smallest answer.
    """
    return balancer.rewrites or case is CASES[0]


def planned_s(steps: Sequence[object], seconds: int) -> float:
    """How long the measurements will take, in seconds."""
    return len(steps) * (seconds + OVERHEAD_S)


def measure(stage: Stage, steps: Sequence[tuple[int, Case, Balancer]]) -> Iterator[Sample]:
    """Run the measurements, one after the other. Raises BenchError at the first that is not clean."""
    for number, case, balancer in steps:
        with balancers.running(balancer, stage.backend_ports, stage.directory, stage.balancer_core) as (pid, port):
            checks.check_answers(balancer.name, port, [case])
            if balancer.rewrites and number == 1:
                checks.check_work(balancer.name, port, stage.backend_ports)
            load.warm_up(case, port, stage.load_core)
            yield _sample(stage, number, case, balancer, pid, port)


def _sample(stage: Stage, number: int, case: Case, balancer: Balancer, pid: int, port: int) -> Sample:
    # The window is the generator's whole life: it counts every answer it got, and nobody else asks anything. Its start,
    # and the closing of its connections, are some 0.1 % of it.
    core_before = accounting.core_busy_ns(stage.balancer_core)
    began, before = time.monotonic_ns(), accounting.cpu_ns(pid)
    seen = load.run(case, port, stage.seconds, stage.load_core, stage.directory)
    after, ended = accounting.cpu_ns(pid), time.monotonic_ns()
    core_ns = accounting.core_busy_ns(stage.balancer_core) - core_before
    spent_ns = accounting.spent_ns(before, after)
    return Sample(
        round=number,
        case=case.name,
        balancer=balancer.name,
        requests=seen.requests,
        cpu_us=spent_ns / 1000 / seen.requests,
        requests_per_s=seen.requests / seen.seconds,
        p50_us=seen.p50_us,
        p99_us=seen.p99_us,
        busy=spent_ns / (ended - began),
        foreign=max(0.0, (core_ns - spent_ns) / (ended - began)),
    )
