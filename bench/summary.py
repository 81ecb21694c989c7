"""From samples to figures: medians, spread, ratios, goals. Pure.

A ratio is the median of the ratios within the rounds, not the ratio of the medians: what slows a round slows both of
its sides.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.idle import Idle
from bench.rounds import Sample
from bench.workload import CASES, IDLE_GOAL_BYTES, Case

MEASURED = "steelyard"
PEERS = ("nginx", "haproxy")


@dataclass(frozen=True, slots=True)
class Row:
    """One balancer in one case, over all rounds.

    cpu_us: median; cpu_low_us, cpu_high_us: the least and the most of any round.
    to_nginx, to_haproxy: CPU per request relative to theirs, or None where they were not measured.
    goal_met: None where there is no goal.
    """

    case: str
    balancer: str
    cpu_us: float
    cpu_low_us: float
    cpu_high_us: float
    to_nginx: float | None
    to_haproxy: float | None
    requests_per_s: float
    p50_us: float
    p99_us: float
    busy: float
    goal: float | None
    goal_met: bool | None


def rows(samples: Sequence[Sample]) -> list[Row]:
    """The table's rows: by case, and within it in the order of measuring."""
    balancers = list(dict.fromkeys(sample.balancer for sample in samples))
    table = []
    for case in CASES:
        for balancer in balancers:
            own = _select(samples, case, balancer)
            if own:
                table.append(_row(case, balancer, own, samples))
    return table


def _row(case: Case, balancer: str, own: list[Sample], samples: Sequence[Sample]) -> Row:
    cpu = [sample.cpu_us for sample in own]
    to_nginx, to_haproxy = (_ratio(own, _select(samples, case, peer)) for peer in PEERS)
    goal = case.goal if balancer == MEASURED else None
    return Row(
        case=case.name,
        balancer=balancer,
        cpu_us=median(cpu),
        cpu_low_us=min(cpu),
        cpu_high_us=max(cpu),
        to_nginx=to_nginx,
        to_haproxy=to_haproxy,
        requests_per_s=median(sample.requests_per_s for sample in own),
        p50_us=median(sample.p50_us for sample in own),
        p99_us=median(sample.p99_us for sample in own),
        busy=median(sample.busy for sample in own),
        goal=goal,
        goal_met=None if goal is None or to_nginx is None else to_nginx <= goal,
    )


def _select(samples: Iterable[Sample], case: Case, balancer: str) -> list[Sample]:
    return [sample for sample in samples if (sample.case, sample.balancer) == (case.name, balancer)]


def _ratio(own: Sequence[Sample], others: Sequence[Sample]) -> float | None:
    by_round = {sample.round: sample.cpu_us for sample in others}
    ratios = [sample.cpu_us / by_round[sample.round] for sample in own if sample.round in by_round]
    return median(ratios) if ratios else None


def idle_goal_met(idle: Idle) -> bool | None:
    """Whether an idle client costs little enough; None for those who have no goal."""
    return idle.client_bytes < IDLE_GOAL_BYTES if idle.balancer == MEASURED else None
