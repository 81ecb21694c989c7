"""What a second worker costs: CPU time per request of one worker and of two, on the same two cores.

Throughput itself would say little here: backends, load generator and balancer share the two cores, so who has more of
them is a matter of the scheduler. CPU time per request counts the others out: two workers that need no more of it for a
request than one does serve twice as many where there is room. Both runs may use both cores, and so do the others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from bench import accounting, balancers, load
from bench.balancers import BALANCERS, Balancer
from bench.rounds import Stage
from bench.workload import CASES

COUNTS = (1, 2)
# Of CPU per request, two workers over one. At 1.05 they serve 1.9 times as many.
GOAL = 1.05


@dataclass(frozen=True, slots=True)
class Scaling:
    """cpu_us: CPU time per request, of all processes of the balancer."""

    round: int
    workers: int
    requests: int
    cpu_us: float


def measured(stage: Stage) -> bool:
    """Whether Steelyard is among those that are compared."""
    return any(balancer.name == "steelyard" for balancer in stage.balancers)


def measure(stage: Stage) -> Iterator[Scaling]:
    """One for each round and count. Raises BenchError when a run is not clean."""
    case = CASES[0]
    cores = f"{stage.balancer_core},{stage.load_core}"
    for number in range(1, stage.rounds + 1):
        for workers in COUNTS if number % 2 else COUNTS[::-1]:
            with balancers.running(with_workers(workers), stage.backend_ports, stage.directory, cores) as (pid, port):
                load.warm_up(case, port, cores)
                before = accounting.cpu_ns(pid)
                seen = load.run(case, port, stage.seconds, cores, stage.directory)
                spent_ns = accounting.spent_ns(before, accounting.cpu_ns(pid))
            yield Scaling(number, workers, seen.requests, spent_ns / 1000 / seen.requests)


def with_workers(count: int) -> Balancer:
    """Steelyard with so many workers."""
    (steelyard,) = [balancer for balancer in BALANCERS if balancer.name == "steelyard"]
    return replace(steelyard, command=(*steelyard.command, "--workers", str(count)))


def ratio(samples: Sequence[Scaling]) -> float | None:
    """CPU per request of the larger count over that of one: the median of the ratios within the rounds."""
    one, more = ({sample.round: sample.cpu_us for sample in samples if sample.workers == count} for count in COUNTS)
    ratios = [more[number] / one[number] for number in one if number in more]
    return median(ratios) if ratios else None
