"""Figures are medians, ratios are made within a round, goals are judged on the ratio to nginx."""

import pytest

from bench.idle import Idle
from bench.rounds import Sample
from bench.summary import Row, idle_goal_met, rows


def sample(number: int, balancer: str, cpu_us: float, case: str = "small") -> Sample:
    return Sample(number, case, balancer, 1000, cpu_us, cpu_us * 10, cpu_us * 100, cpu_us * 1000, 0.9, 0.0)


def row(samples: list[Sample], balancer: str, case: str = "small") -> Row:
    return next(row for row in rows(samples) if (row.balancer, row.case) == (balancer, case))


def test_a_row_has_the_median_and_the_extremes() -> None:
    found = row([sample(1, "nginx", 14), sample(2, "nginx", 13), sample(3, "nginx", 30)], "nginx")
    assert (14, 13, 30) == (found.cpu_us, found.cpu_low_us, found.cpu_high_us)
    assert (140, 1400, 14000) == (found.requests_per_s, found.p50_us, found.p99_us)


def test_a_slow_round_does_not_change_a_ratio() -> None:
    """In round 2 everything took twice the time; in each round Steelyard took 1.1 times nginx's."""
    cpu = {1: 10.0, 2: 20.0, 3: 10.0}
    samples = [sample(number, "nginx", us) for number, us in cpu.items()]
    samples += [sample(number, "steelyard", us * 1.1) for number, us in cpu.items()]
    assert pytest.approx(1.1) == row(samples, "steelyard").to_nginx


def test_a_round_that_the_other_side_missed_gives_no_ratio() -> None:
    samples = [sample(1, "haproxy", 10), sample(1, "steelyard", 20), sample(2, "steelyard", 90)]
    assert (None, 2.0) == (row(samples, "steelyard").to_nginx, row(samples, "steelyard").to_haproxy)


def test_the_goal_is_met_at_its_limit_and_missed_above_it() -> None:
    samples = [sample(1, "nginx", 100), sample(1, "steelyard", 115)]
    assert (1.15, True) == (row(samples, "steelyard").goal, row(samples, "steelyard").goal_met)
    samples[1] = sample(1, "steelyard", 115.1)
    assert row(samples, "steelyard").goal_met is False


def test_only_steelyard_has_goals_and_without_nginx_they_are_not_judged() -> None:
    assert row([sample(1, "nginx", 100)], "nginx").goal is None
    alone = row([sample(1, "steelyard", 1, "large")], "steelyard", "large")
    assert (0.7, None) == (alone.goal, alone.goal_met)


def test_rows_come_by_case_and_then_in_the_order_of_measuring() -> None:
    samples = [
        sample(1, "nginx", 1, "large"),
        sample(1, "steelyard", 1, "large"),
        sample(1, "nginx", 1),
        sample(1, "floor", 1),
    ]
    expected = [("small", "nginx"), ("small", "floor"), ("large", "nginx"), ("large", "steelyard")]
    assert expected == [(row.case, row.balancer) for row in rows(samples)]


def test_an_idle_client_must_cost_less_than_10_kib() -> None:
    assert idle_goal_met(Idle("steelyard", 5000, 1, 10 * 1024 - 1)) is True
    assert idle_goal_met(Idle("steelyard", 5000, 1, 10 * 1024)) is False
    assert idle_goal_met(Idle("nginx", 5000, 1, 1)) is None
