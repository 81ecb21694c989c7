"""The order of measuring is interleaved, and fair about who comes first."""

from pathlib import Path

import pytest

from bench.balancers import BALANCERS, FLOOR
from bench.rounds import OVERHEAD_S, Stage, plan, planned_s
from bench.workload import CASES

STAGE = Stage((*BALANCERS, FLOOR), (1, 2, 3), Path(), 0, 1, rounds=4, seconds=3)


def test_each_round_has_every_case_with_every_balancer_side_by_side() -> None:
    steps = plan(STAGE)
    for number in (1, 2, 3, 4):
        own = [(case.name, balancer.name) for step, case, balancer in steps if step == number]
        assert [case.name for case in CASES for _ in BALANCERS] == [case for case, name in own if name != "floor"]
        assert {(case.name, balancer.name) for case in CASES for balancer in BALANCERS} < set(own)


def test_every_balancer_comes_first_in_some_round() -> None:
    firsts = [next(balancer.name for number, _, balancer in plan(STAGE) if number == wanted) for wanted in (1, 2, 3, 4)]
    assert ["nginx", "haproxy", "steelyard", "floor"] == firsts


def test_the_floor_is_measured_with_the_smallest_answer_only() -> None:
    assert {"small"} == {case.name for _, case, balancer in plan(STAGE) if balancer is FLOOR}


def test_the_stated_time_counts_every_measurement() -> None:
    steps = plan(STAGE)
    assert 4 * (3 * 4 + 1) == len(steps)
    assert pytest.approx(52 * (3 + OVERHEAD_S)) == planned_s(steps, 3)
